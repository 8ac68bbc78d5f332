"""`bertline doctor`: is this machine ready, and if not, what to do about it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from bertline.base.errors import reason
from bertline.cli.checks import CHECKS, Finding
from bertline.cli.console import Debug, Root, console, find_root, reporting, whole

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(root: Root = None, debug: Debug = False) -> None:
    """Check the machine and the installation; exit status 1 where something must be done."""
    with reporting(debug):
        checkout = find_root(root)
        with console().status("Checking …"):
            findings = list(_examine(checkout))
        console().print(_table(findings))
        failed = sum(finding.level == "fail" for finding in findings)
        warned = sum(finding.level == "warn" for finding in findings)
        summary = "Ready." if not failed else "Not ready."
        typer.echo(f"\n{summary} {len(findings)} checks, {failed} failed, {warned} with a warning.")
        if failed:
            raise typer.Exit(1)


def _examine(root: Path) -> Iterator[Finding]:
    """Run every check; one that breaks is a finding itself and does not hide the others."""
    for check in CHECKS:
        try:
            yield from check(root)
        except Exception as error:  # whatever it is, the other findings are wanted
            told = f"cannot be checked ({type(error).__name__}: {reason(error)})"
            yield Finding(check.__name__, "fail", told, "Correct that, or report it")


def _table(findings: Iterable[Finding]) -> Table:
    table = Table("", "check", "found", "what to do", box=None, padding=(0, 1), header_style="bold")
    for finding in findings:
        level = Text(finding.level, style=_COLOURS[finding.level])
        table.add_row(level, finding.name, finding.detail, finding.fix)
    return whole(table)
