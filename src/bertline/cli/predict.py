"""`bertline predict`: what a fine-tuned model answers, to texts or to the rows of a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bertline.base.artifacts import Artifacts
from bertline.base.config import Device, Precision
from bertline.base.errors import BertlineError
from bertline.base.files import write_jsonl
from bertline.base.params import load_params
from bertline.cli.ask import find_model, read_texts
from bertline.cli.console import Debug, Json, Root, check_not_lost, console, find_root, print_json, reporting, whole

if TYPE_CHECKING:
    from bertline.inference.predictor import Predictor
    from bertline.tasks.schema import TaskInfo

_COLUMNS = {"tagging": ("entity", "type"), "span": ("answer", "score"), "regression": ("value",)}
_SHOWN_LABELS = 3
_SHOWN_CHARACTERS = 60
"""Of an input, in a table."""


_File = Annotated[
    Path | None,
    typer.Option(help="Rows in place of TEXT, in any form that a task takes; answers are JSON, one a line."),
]
_Out = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Where the answers to --file go; standard output by default.")
]


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
    file: _File = None,
    out: _Out = None,
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

    bertline predict docs_topic --file rows.csv --out answers.jsonl
    """
    with reporting(debug):
        artifacts = Artifacts(find_root(root))
        directory = find_model(artifacts, task)
        from bertline.inference.predictor import Predictor  # noqa: PLC0415  (torch takes seconds; --help must not)

        predictor = Predictor(directory, device=device, precision=precision)
        options = {"--pair": pair, "--question": question, "--context": context, "--n-best": n_best}
        refuse_useless(predictor.task, [option for option, given in options.items() if given])
        if file or out:
            beside = [texts, pair, question, context]
            _answer_file(predictor, _only(file, beside), out, _columns(artifacts, task), n_best)
            return
        inputs = make_inputs(predictor.task, [*(read_texts(texts or [])), *(question or [])], pair or [], context or [])
        _show(predictor.task.kind, inputs, predictor.predict(inputs, n_best=n_best), as_json)


def _only(file: Path | None, beside: Sequence[object]) -> Path:
    """The file, given alone."""
    where = "bertline predict"
    if file is None:
        raise BertlineError("--out is for the answers to --file", where=where, fix="Add --file, or leave --out out")
    if any(beside):
        fix = "The file has all inputs: leave the others out"
        raise BertlineError("--file beside other inputs", where=where, fix=fix)
    return file


def _columns(artifacts: Artifacts, task: str) -> Mapping[str, str]:
    """What the task's own files call their columns: our names -> theirs."""
    tasks = load_params(artifacts.params).tasks
    return tasks[task].data.columns if task in tasks else {}


def _answer_file(predictor: "Predictor", file: Path, out: Path | None, columns: Mapping[str, str], n_best: int) -> None:
    from bertline.inference.files import predict_file  # noqa: PLC0415

    check_not_lost(file, out)
    answers = predict_file(predictor, file, columns, n_best=n_best)
    if out is not None:
        typer.echo(f"{out} written: {write_jsonl(out, answers):,} answers")
        return
    for answer in answers:
        print_json(answer)


def refuse_useless(task: "TaskInfo", given: Sequence[str]) -> None:
    """Raise a BertlineError for an option that a task of this kind has no use for."""
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


def _show(
    kind: str, inputs: Sequence[str | Mapping[str, str]], predictions: Sequence[Mapping[str, Any]], as_json: bool
) -> None:
    if not as_json:
        console().print(_table(kind, inputs, predictions))
        return
    for prediction in predictions:
        print_json(prediction)


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
