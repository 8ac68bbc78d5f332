"""`bertline promote` and `rollback`: which registered version serves."""

from typing import Annotated

import typer

from bertline.base.artifacts import Artifacts
from bertline.cli.console import Debug, Root, find_root, reporting

PANEL = "Registry"
Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A task, encoder, or a registered model's whole name.", show_default=False),
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

        place = Artifacts(find_root(root))
        typer.echo(aliases.move(place, model, lambda store, name: aliases.promote(store, name, version)))


def rollback(model: Model, root: Root = None, debug: Debug = False) -> None:
    """Make the champion before this one the champion again."""
    with reporting(debug):
        from bertline.registry import aliases  # noqa: PLC0415

        typer.echo(aliases.move(Artifacts(find_root(root)), model, aliases.rollback))
