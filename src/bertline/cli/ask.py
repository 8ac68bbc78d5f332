"""`bertline predict`, `fill-mask` and `scoreboard`: what the models say, and how good they are."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bertline.base.artifacts import Artifacts
from bertline.base.config import Device, Precision
from bertline.base.errors import BertlineError, not_utf8
from bertline.base.params import load_params
from bertline.cli.console import Debug, Json, Root, WholeMarkdown, console, find_root, print_json, reporting, whole

if TYPE_CHECKING:
    from bertline.tasks.schema import TaskInfo

PANEL = "Ask the models"
_COLUMNS = {"tagging": ("entity", "type"), "span": ("answer", "score"), "regression": ("value",)}
_SHOWN_LABELS = 3
_SHOWN_CHARACTERS = 60
"""Of an input, in a table."""


def add_questions(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("predict", rich_help_panel=PANEL)(predict)
    app.command("fill-mask", rich_help_panel=PANEL)(fill_mask)
    app.command("scoreboard", rich_help_panel=PANEL)(scoreboard)
    app.command("submission", rich_help_panel=PANEL)(submission)


def predict(  # noqa: PLR0913, PLR0917  (a command has as many parameters as options)
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task with a fine-tuned model.", show_default=False)],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Texts (question answering: questions); - reads lines, empty ones left out.",
            show_default=False,
        ),
    ] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="The second text, for tasks on pairs; once, or once a TEXT.")
    ] = None,
    question: Annotated[list[str] | None, typer.Option(help="A question; the same as TEXT.")] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="Where the answer stands; once, or once a question.")
    ] = None,
    n_best: Annotated[int, typer.Option(min=0, help="Question answering: list so many answers, best first.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = "cpu",
    precision: Annotated[
        Precision, typer.Option(help="bf16: faster where the processor has it; scores are then less exact.")
    ] = "fp32",
    as_json: Json = False,
    root: Root = None,
    debug: Debug = False,
) -> None:
    """Ask a fine-tuned model.

    bertline predict docs_topic "Compute the eigenvalues of a matrix."

    bertline predict docs_pair "Sort an array." --pair "The array is sorted in place."

    bertline predict docs_qa "What does axis do?" --context "axis: the axis to sum over."
    """
    with reporting(debug):
        directory = _model_of(Artifacts(find_root(root)), task)
        from bertline.inference.predictor import Predictor  # noqa: PLC0415  (torch takes seconds; --help must not)

        predictor = Predictor(directory, device=device, precision=precision)
        options = {"--pair": pair, "--question": question, "--context": context, "--n-best": n_best}
        _refuse_useless(predictor.task, [option for option, given in options.items() if given])
        inputs = make_inputs(predictor.task, [*(_read(texts or [])), *(question or [])], pair or [], context or [])
        predictions = predictor.predict(inputs, n_best=n_best)
        if as_json:
            for prediction in predictions:
                print_json(prediction)
        else:
            console().print(_table(predictor.task.kind, inputs, predictions))


def _read(texts: Sequence[str]) -> list[str]:
    if list(texts) != ["-"]:
        return list(texts)
    try:  # bytes: in a locale like C.UTF-8, sys.stdin lets what is not UTF-8 pass
        lines = [line.decode().strip() for line in sys.stdin.buffer]
    except UnicodeDecodeError as error:
        raise not_utf8(error, "standard input") from None
    return [line for line in lines if line]


def _model_of(artifacts: Artifacts, task: str) -> Path:
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


def _refuse_useless(task: "TaskInfo", given: Sequence[str]) -> None:
    for option in given:
        used = task.pair if option == "--pair" else task.kind == "span"
        if not used:
            what, where = f"{option} makes no sense for {task.kind}", f"task {task.name}"
            raise BertlineError(what, where=where, fix="Leave it out")


def make_inputs(
    task: "TaskInfo", texts: Sequence[str], pairs: Sequence[str], contexts: Sequence[str]
) -> list[str | dict[str, str]]:
    """Bring the arguments into inputs for a Predictor (see inference/inputs.py).

    Raises:
        BertlineError: the task needs what was not given.
    """
    if not texts:
        kind = "question" if task.kind == "span" else "text"
        raise BertlineError(f"no {kind} given", where=f"task {task.name}", fix=f"Add the {kind} in quotes")
    for option, given, used in (("--pair", pairs, task.pair), ("--context", contexts, task.kind == "span")):
        if used and len(given) not in (1, len(texts)):
            what = f"{len(texts)} × TEXT, but {len(given)} × {option}"
            fix = f"Give {option} once, or once for each TEXT"
            raise BertlineError(what, where=f"task {task.name}", fix=fix)
    if task.kind == "span":
        return [{"question": text, "context": context} for text, context in _together(texts, contexts)]
    if task.pair:
        return [{"text": text, "text_pair": second} for text, second in _together(texts, pairs)]
    return list(texts)


def _together(texts: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(texts, [*others] * (len(texts) if len(others) == 1 else 1), strict=True))


def _table(kind: str, inputs: Sequence[str | Mapping[str, str]], predictions: Sequence[Mapping[str, Any]]) -> Table:
    """One line an input, an entity (tagging), or an answer of several (spans)."""
    columns = _COLUMNS.get(kind, ("label", "score", "next"))
    table = Table("input", *columns, header_style="bold", box=None, padding=(0, 2))
    for value, prediction in zip(inputs, predictions, strict=True):
        asked = value if isinstance(value, str) else " | ".join(_short(part) for part in value.values())
        for cells in _cells(kind, prediction):
            table.add_row(_short(asked), *cells)
            asked = ""
    return whole(table)


def _cells(kind: str, prediction: Mapping[str, Any]) -> list[tuple[str, ...]]:
    if kind == "tagging":
        return [(entity["text"], entity["type"]) for entity in prediction["entities"]] or [("none", "")]
    if kind == "span":
        answers = prediction.get("n_best", [prediction])
        return [(answer["answer"] or "(no answer)", f"{answer['score']:.3f}") for answer in answers]
    if kind == "regression":
        return [(f"{prediction['value']:.6g}",)]
    ranked = sorted(prediction["scores"].items(), key=lambda item: -item[1])[1:_SHOWN_LABELS]
    others = ", ".join(f"{label} {score:.3f}" for label, score in ranked)
    return [(str(prediction["label"]), f"{prediction['score']:.3f}", others)]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"


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
        directory = Artifacts(find_root(root)).pretrained
        if not directory.is_dir():
            raise BertlineError("no pre-trained model", where=str(directory), fix="Make it with `dvc repro pretrain`")
        from bertline.inference.predictor import FillMask  # noqa: PLC0415

        guesses = FillMask(directory).fill(text, top)
        if as_json:
            for guess in guesses:
                print_json(guess)
            return
        table = Table("score", "token", "text", header_style="bold", box=None, padding=(0, 2))
        for guess in guesses:
            table.add_row(f"{guess['score']:.3f}", guess["token"], guess["text"])
        console().print(whole(table))


def scoreboard(as_json: Json = False, root: Root = None, debug: Debug = False) -> None:
    """Show the scores of every task."""
    with reporting(debug):
        folder = Artifacts(find_root(root)).scoreboard
        path = folder / ("scoreboard.json" if as_json else "scoreboard.md")
        if not path.is_file():
            raise BertlineError("no scoreboard yet", where=str(path), fix="Run the pipeline: `dvc repro`")
        text = path.read_text(encoding="utf-8")
        if as_json:
            print_json(json.loads(text))
        elif sys.stdout.isatty():
            console().print(WholeMarkdown(text))
        else:
            typer.echo(text, nl=False)


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

        predictors = {builder: Predictor(_model_of(artifacts, name)) for builder, name in chosen.items()}
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
