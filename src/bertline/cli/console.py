"""What all commands share: options, the checkout they work in, and errors on one line."""

import json
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.table import Table
from rich.text import Text

from bertline.base.errors import BertlineError, has_advice, one_line, reason
from bertline.base.messages import for_terminal

Root = Annotated[
    Path | None,
    typer.Option("--root", help="The checkout. Default: the one around the current directory.", show_default=False),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def find_root(given: Path | None) -> Path:
    """The checkout: the given folder, or the nearest one above the current directory that has a dvc.yaml.

    Returns:
        Its path from the current directory, which keeps messages short.

    Raises:
        BertlineError: there is none.
    """
    if given is not None:
        if not (given / "dvc.yaml").is_file():
            raise BertlineError(
                "no checkout of bertline (no dvc.yaml)", where=str(given), fix="Give the clone's folder"
            )
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            return Path(os.path.relpath(folder))
    fix = "Change into the folder that `git clone` made, or give it with --root"
    raise BertlineError("not in a checkout of bertline (no dvc.yaml here or above)", where=str(here), fix=fix)


def check_not_lost(file: Path, out: Path | None) -> None:
    """Raise a BertlineError where a file of rows would be written over by what comes of it."""
    if out is not None and out.exists() and file.exists() and out.samefile(file):
        raise BertlineError(
            "--out is the file that is read", where=str(out), fix="Name another: its rows would be lost"
        )


@contextmanager
def reporting(debug: bool) -> Iterator[None]:
    """End the command with status 1 and one clear line when its work fails; with `debug`, the traceback before it."""
    try:
        yield
    except BrokenPipeError:  # of `bertline … | head`: Typer ends the command quietly, with status 1
        raise
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None
    except Exception as error:
        what = f"internal error, {type(error).__name__}: {reason(error)}"
        message = one_line(error) if has_advice(error) else f"{what}. Run it again with --debug and report it."
    else:
        return
    if debug:
        traceback.print_exc()
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


def console() -> Console:
    """Where tables and texts go; made when needed, so that it is the standard output of that moment."""
    return _Console(markup=False, emoji=False, highlight=False)  # texts hold [MASK], which is no markup


class _Console(Console):
    """A console whose texts are text: the colours of a log's lines are none of its own."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(for_terminal(text), **options)


def whole(table: Table) -> Table:
    """A table of which nothing is cut, however narrow the terminal is: Rich itself makes 0.672 into 0.6…"""
    for column in table.columns:
        column.overflow = "fold"
    return table


class _WholeTable(TableElement):
    """A table in Markdown; where its words have no room side by side, the cells of a row are listed."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            assert isinstance(table, Table)
            needed = console.measure(table, options=options.update(width=_WIDE)).minimum
            table.columns[0].no_wrap = True
            yield whole(table if needed <= options.max_width else self._listed())

    def _listed(self) -> Table:
        assert self.header and self.header.row and self.body
        listed = Table.grid("", "", padding=(0, 2))
        for row in self.body.rows:
            for heading, cell in zip(self.header.row.cells, row.cells, strict=True):
                if cell.content:
                    listed.add_row(heading.content, cell.content)
            listed.add_row()
        return listed


class WholeMarkdown(Markdown):
    """Markdown with such tables."""

    elements: ClassVar = Markdown.elements | {"table_open": _WholeTable}


_WIDE = 10_000  # columns of a terminal that has room for all


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False))
