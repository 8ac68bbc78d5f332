"""`bertline preset list|show|use`: ready-made configurations, and the params.yaml they write.

A preset is an overlay in pipelines/presets/NAME.yaml: the options in which it differs from the defaults in
base/config.py. The first line of the file is a comment that says what it is for.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import write_text
from bertline.base.params import flat, load_params, parse_params, read_yaml, render_params
from bertline.cli.console import Debug, Root, console, find_root, reporting

app = typer.Typer(no_args_is_help=True, help="List, show and use ready-made configurations.")
_SHOWN = 5  # differing options in a message


@dataclass(frozen=True)
class Preset:
    """A preset with all of its options."""

    name: str
    description: str
    params: Params

    def render(self) -> str:
        """The params.yaml that it stands for."""
        heading = f"Written by `bertline preset use {self.name}`; edit freely. `dvc repro` picks up what changed."
        return render_params(self.params, heading)


def _load_presets(root: Path) -> tuple[list[Preset], list[BertlineError]]:
    """All presets of a checkout by name, and what is wrong with those that are not valid."""
    presets, faults = [], []
    for file in sorted((root / "pipelines" / "presets").glob("*.yaml")):
        try:
            presets.append(_load(file))
        except BertlineError as error:
            faults.append(error)
    return presets, faults


def load_preset(root: Path, name: str) -> Preset:
    """One preset.

    Raises:
        BertlineError: there is none of that name, or it holds a wrong option.
    """
    file = root / "pipelines" / "presets" / f"{name}.yaml"
    names = sorted(other.stem for other in file.parent.glob("*.yaml"))
    if name not in names:
        fix = f"Choose one of: {', '.join(names)}"
        raise BertlineError(f"no preset named {name!r}", where=str(file.parent), fix=fix)
    return _load(file)


def _load(file: Path) -> Preset:
    params = parse_params(read_yaml(file), str(file))
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return Preset(file.stem, first.removeprefix("#").strip() if first.startswith("#") else "", params)


@app.command("list")
def show_list(root: Root = None, debug: Debug = False) -> None:
    """List the presets; * marks the one that params.yaml holds unchanged."""
    with reporting(debug):
        checkout = find_root(root)
        active = _text(Artifacts(checkout).params)
        table = Table("", "preset", "what it is for", box=None, padding=(0, 1), header_style="bold")
        presets, faults = _load_presets(checkout)
        for preset in presets:
            table.add_row("*" if preset.render() == active else "", preset.name, preset.description)
        console().print(table)
        if faults:
            raise faults[0]


@app.command("show")
def show_one(
    name: Annotated[str, typer.Argument(help="Which preset.")] = "quickstart", root: Root = None, debug: Debug = False
) -> None:
    """Print the params.yaml that a preset stands for: the usual options with their meaning, and what it sets."""
    with reporting(debug):
        typer.echo(load_preset(find_root(root), name).render(), nl=False)


@app.command("use")
def use(
    name: Annotated[str, typer.Argument(help="Which preset.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Write over a params.yaml that was edited by hand.")] = False,
    root: Root = None,
    debug: Debug = False,
) -> None:
    """Write params.yaml from a preset."""
    with reporting(debug):
        checkout = find_root(root)
        preset = load_preset(checkout, name)
        path = Artifacts(checkout).params
        before = _text(path)
        if before is not None and not force:
            _refuse_to_lose_edits(path, before, _load_presets(checkout)[0])
        text = preset.render()
        write_text(path, text)
        word = "is unchanged" if before == text else "written"
        typer.echo(f"{path} {word}: {preset.description or preset.name}\nNext: dvc repro")


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def _refuse_to_lose_edits(path: Path, text: str, presets: Sequence[Preset]) -> None:
    if any(text == preset.render() for preset in presets):
        return
    fix = "Keep a copy of it (or commit it), then repeat the command with --force"
    try:
        params = load_params(path)
    except BertlineError as error:
        raise BertlineError(f"edited by hand, and not valid: {error}".rstrip("."), where=str(path), fix=fix) from None
    changes = {preset.name: differences(params, preset.params) for preset in presets}
    nearest = min(changes, key=lambda name: len(changes[name]))
    what = "; ".join(changes[nearest][:_SHOWN]) or "comments or layout only"
    more = len(changes[nearest]) - _SHOWN
    rest = f" and {more} more" if more > 0 else ""
    found = f"edited by hand, or of an older preset; it differs from {nearest} in {what}{rest}"
    raise BertlineError(found, where=str(path), fix=fix)


def differences(ours: Params, theirs: Params) -> list[str]:
    """The options in which two configurations differ, as `section.option: ours (not theirs)`."""
    left, right = flat(dataclasses.asdict(ours)), flat(dataclasses.asdict(theirs))
    keys = [*left, *(key for key in right if key not in left)]
    return [
        f"{key}: {left.get(key, 'nothing')} (not {right.get(key, 'nothing')})"
        for key in keys
        if left.get(key) != right.get(key)
    ]
