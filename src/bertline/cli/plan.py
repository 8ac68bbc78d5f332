"""`bertline plan`: what a run of the pipeline would do. DVC is asked by pipelines/, in a process of its own."""

import subprocess
import sys
from typing import Annotated

import typer

from bertline.base.artifacts import Artifacts
from bertline.base.params import load_params
from bertline.cli.console import Debug, Root, find_root, reporting


def plan(
    stages: Annotated[
        list[str] | None,
        typer.Argument(metavar="STAGE", help="Only what leads to these (default: all).", show_default=False),
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid diagram.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Fail where dvc.lock is not what code and params.yaml give; needs no data.")
    ] = False,
    root: Root = None,
    debug: Debug = False,
) -> None:
    """Show what `dvc repro` would do: every stage in order, up to date or what has changed. Runs nothing."""
    with reporting(debug):
        checkout = find_root(root)
        load_params(Artifacts(checkout).params)  # which stages refuse; DVC passes over what no stage reads
        options = [*(["--mermaid"] if mermaid else []), *(["--check"] if check else [])]
        command = [sys.executable, "-m", "pipelines.graph", *options, "--", *(stages or [])]
        raise typer.Exit(subprocess.run(command, cwd=checkout, check=False).returncode)
