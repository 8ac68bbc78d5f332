"""`bertline explain`: which words an answer rests on."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from bertline.base.artifacts import Artifacts
from bertline.cli.ask import find_model
from bertline.cli.console import Debug, Json, Root, console, find_root, print_json, reporting, whole
from bertline.cli.predict import make_inputs, refuse_useless

if TYPE_CHECKING:
    from bertline.inference.explain import Explanation

_SHADES = ((0.5, "bold"), (0.1, ""))  # of the heaviest word's weight; lighter words are left as they are
_FOR, _AGAINST = "green", "red"


def explain(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task with a fine-tuned model.", show_default=False)],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What it is asked about.", show_default=False)],
    pair: Annotated[str | None, typer.Option(help="The second text, for tasks on pairs.")] = None,
    top: Annotated[int, typer.Option(min=1, help="So many words, the heaviest first.")] = 10,
    as_json: Json = False,
    root: Root = None,
    debug: Debug = False,
) -> None:
    """Show which words an answer rests on: what it loses where one of them is hidden.

    bertline explain docs_topic "Compute the eigenvalues of a matrix."

    A word's weight is how much the log-odds of the answer (or the value) fall without it; below 0, it speaks against.
    """
    with reporting(debug):
        directory = find_model(Artifacts(find_root(root)), task)
        from bertline.inference.explain import check_explained  # noqa: PLC0415  (torch takes seconds; --help must not)
        from bertline.inference.explain import explain as explanation_of  # noqa: PLC0415
        from bertline.inference.predictor import Predictor  # noqa: PLC0415

        predictor = Predictor(directory)
        check_explained(predictor.task)
        refuse_useless(predictor.task, ["--pair"] if pair else [])
        [given] = make_inputs(predictor.task, [text], [pair] if pair else [], [])
        explanation = explanation_of(predictor, given)
        if as_json:
            print_json(asdict(explanation))
            return
        texts = [text] if pair is None else [text, pair]
        for column, shown in zip(("text", "text_pair"), texts, strict=False):
            console().print(_coloured(shown, column, explanation))
        console().print(_table(explanation, top))


def _coloured(text: str, column: str, explanation: "Explanation") -> Text:
    """The text; what speaks for the answer in green, what speaks against it in red, the heaviest bold."""
    coloured = Text(text)
    heaviest = max((abs(word.weight) for word in explanation.words), default=0)
    for word in explanation.words:
        style = next((style for share, style in _SHADES if abs(word.weight) > share * heaviest), None)
        if word.column == column and style is not None:
            coloured.stylize(f"{style} {_FOR if word.weight > 0 else _AGAINST}", word.start, word.end)
    return coloured


def _table(explanation: "Explanation", top: int) -> Table:
    answer = "value" if explanation.label is None else explanation.label
    table = Table("hidden", answer, "weight", header_style="bold", box=None, padding=(0, 2))
    table.add_row("nothing", _figure(explanation, explanation.score), "")
    for word in sorted(explanation.words, key=lambda word: -abs(word.weight))[:top]:
        table.add_row(word.word, _figure(explanation, word.without), f"{word.weight:+.2f}")
    return whole(table)


def _figure(explanation: "Explanation", value: float) -> str:
    return f"{value:.6g}" if explanation.label is None else f"{value:.3f}"
