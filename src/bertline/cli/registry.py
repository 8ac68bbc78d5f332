"""`bertline promote` and `rollback`: which registered version serves."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertline.base.artifacts import Artifacts
from bertline.base.params import load_params
from bertline.cli.console import Debug, Root, find_root, reporting

if TYPE_CHECKING:
    from bertline.registry.aliases import Change
    from bertline.registry.store import Store

PANEL = "Registry"
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A task, or a registered model's whole name.", show_default=False)
]


def add_registry(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("promote", rich_help_panel=PANEL)(promote)
    app.command("rollback", rich_help_panel=PANEL)(rollback)


def promote(
    model: Model,
    version: Annotated[str, typer.Option(help="Which version. Default: the challenger.", show_default=False)] = "",
    root: Root = None,
    debug: Debug = False,
) -> None:
    """Make a version the champion, whatever the promotion rule says of it."""
    with reporting(debug):
        from bertline.registry import aliases  # noqa: PLC0415  (mlflow takes seconds; --help must not)

        _change(find_root(root), model, lambda store, name: aliases.promote(store, name, version))


def rollback(model: Model, root: Root = None, debug: Debug = False) -> None:
    """Make the champion before this one the champion again."""
    with reporting(debug):
        from bertline.registry import aliases  # noqa: PLC0415

        _change(find_root(root), model, aliases.rollback)


def _change(root: Path, model: str, change: Callable[["Store", str], "Change"]) -> None:
    from bertline.registry.aliases import model_name  # noqa: PLC0415
    from bertline.registry.store import open_store  # noqa: PLC0415

    artifacts = Artifacts(root)
    params = load_params(artifacts.params)
    with open_store(artifacts, params.register.experiment) as store:
        typer.echo(change(store, model_name(params, model)))
