"""`bertline fill-mask`, `scoreboard` and `submission`; and where the models are that people ask."""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError, not_utf8
from bertline.base.files import read_json
from bertline.base.params import load_params
from bertline.cli.console import Debug, Json, Root, WholeMarkdown, console, find_root, print_json, reporting, whole


def read_texts(texts: Sequence[str]) -> list[str]:
    """The arguments, or the lines of standard input in place of a single "-"."""
    if list(texts) != ["-"]:
        return list(texts)
    try:  # bytes: in a locale like C.UTF-8, sys.stdin lets what is not UTF-8 pass
        lines = [line.decode().strip() for line in sys.stdin.buffer]
    except UnicodeDecodeError as error:
        raise not_utf8(error, "standard input") from None
    return [line for line in lines if line]


def find_model(artifacts: Artifacts, task: str) -> Path:
    """The directory of a task's fine-tuned model.

    Raises:
        BertlineError: it is not made yet, or there is no such task; names those that there are.
    """
    directory = artifacts.finetuned(task)
    if directory.is_dir() and task == directory.name:
        return directory
    there = directory.parent
    made = (
        sorted(folder.name for folder in there.iterdir() if not folder.name.startswith(".")) if there.is_dir() else []
    )
    wanted = load_params(artifacts.params).tasks
    if task in wanted:
        fix = f"Make it with `dvc repro finetune@{task}`"
    elif made:
        fix = f"Choose one of: {', '.join(made)}"
    else:
        fix = f"`dvc repro` makes those of: {', '.join(wanted) or 'no task yet; add one to params.yaml'}"
    raise BertlineError(f"no fine-tuned model for a task {task!r}", where=str(there), fix=fix)


def fill_mask(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text with [MASK] in it.", show_default=False)],
    top: Annotated[int, typer.Option(min=1, max=100, help="How many guesses a [MASK].")] = 5,
    as_json: Json = False,
    root: Root = None,
    debug: Debug = False,
) -> None:
    """Let the pre-trained model guess words.

    bertline fill-mask "Return a new [MASK] of the given shape."
    """
    with reporting(debug):
        directory = find_pretrained(Artifacts(find_root(root)))
        from bertline.inference.fill_mask import FillMask  # noqa: PLC0415

        guesses = FillMask(directory).fill(text, top)
        if as_json:
            for guess in guesses:
                print_json(guess)
            return
        table = Table("score", "token", "text", header_style="bold", box=None, padding=(0, 2))
        for guess in guesses:
            table.add_row(f"{guess['score']:.3f}", guess["token"], guess["text"])
        console().print(whole(table))


def find_pretrained(artifacts: Artifacts) -> Path:
    """The directory of the pre-trained model.

    Raises:
        BertlineError: it is not made yet.
    """
    directory = artifacts.pretrained
    if not directory.is_dir():
        raise BertlineError("no pre-trained model", where=str(directory), fix="Make it with `dvc repro pretrain`")
    return directory


def scoreboard(as_json: Json = False, root: Root = None, debug: Debug = False) -> None:
    """Show the scores of every task."""
    with reporting(debug):
        artifacts = Artifacts(find_root(root))
        path = artifacts.scoreboard / ("scoreboard.json" if as_json else "scoreboard.md")
        if not path.is_file():
            raise BertlineError("no scoreboard yet", where=str(path), fix="Run the pipeline: `dvc repro`")
        text = path.read_text(encoding="utf-8")
        if as_json:
            print_json(json.loads(text))
        elif sys.stdout.isatty():
            console().print(WholeMarkdown(text))
        else:
            typer.echo(text, nl=False)
        _tell_of_others(artifacts)


def _tell_of_others(artifacts: Artifacts) -> None:
    """Say that the scoreboard is of other tasks than those of params.yaml, as where a first run of own rows failed."""
    with suppress(BertlineError):  # a params.yaml that is being edited hides no scores
        shown = read_json(artifacts.scoreboard / "scoreboard.json")["tasks"]
        wanted = load_params(artifacts.params).tasks
        if shown.keys() != wanted.keys():
            names = [", ".join(sorted(tasks)) or "no task" for tasks in (shown, wanted)]
            typer.echo(f"note: this is of {names[0]}; params.yaml has {names[1]}. `dvc repro` makes it anew.", err=True)


def submission(
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="The zip; data/runs/glue-submission.zip by default.")
    ] = None,
    root: Root = None,
    debug: Debug = False,
) -> None:
    """Write the predictions for GLUE's leaderboard, of every fine-tuned GLUE task of params.yaml."""
    with reporting(debug):
        artifacts = Artifacts(find_root(root))
        chosen = _glue_tasks(artifacts.params)
        from bertline.inference.predictor import Predictor  # noqa: PLC0415
        from bertline.inference.submission import write_submission  # noqa: PLC0415

        predictors = {builder: Predictor(find_model(artifacts, name)) for builder, name in chosen.items()}
        directories = {builder: artifacts.task(name) for builder, name in chosen.items()}
        path = out or artifacts.submission
        answered = write_submission(path, directories, predictors)
        typer.echo(f"{path} written: {', '.join(file for file, true in answered.items() if true)}")
        others = ", ".join(file for file, true in answered.items() if not true)
        if others:
            typer.echo(f"One answer to all rows, because params.yaml has no such task: {others}")


def _glue_tasks(params: Path) -> dict[str, str]:
    """Builder (cola, sst2, …) -> the task that is made with it.

    Raises:
        BertlineError: there is none, or there are two of one builder: the server takes one file of each.
    """
    from bertline.tasks.glue import GLUE  # noqa: PLC0415

    where, chosen = f"{params}, key tasks", dict[str, str]()
    for name, task in load_params(params).tasks.items():
        builder = task.data.builder
        if builder not in GLUE:
            continue
        if builder in chosen:
            what = f"{chosen[builder]} and {name} are both of builder {builder}, and a submission has one of each"
            raise BertlineError(what, where=where, fix="Keep one of them in params.yaml")
        chosen[builder] = name
    if not chosen:
        fix = f"Add one, for example `cola: {{data: {{builder: cola}}}}`; builders are: {', '.join(GLUE)}"
        raise BertlineError("no task of GLUE", where=where, fix=fix)
    return chosen
