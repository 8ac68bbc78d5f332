"""What was taken for what: the rows of confusion.csv, which `dvc plots` draws as a matrix.

| kind | a row of the file |
|---|---|
| classification, pair | a row of the task: actual label, predicted label |
| tagging | a word: actual tag, predicted tag; words outside on both sides, which would drown the rest, are left out |
| span | a question: "answer" or "no answer", and exact, partial (some words), wrong |
| regression | a row: actual and predicted value, each rounded to a whole number |
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.base.files import write_text
from bertline.evaluation.entities import OUTSIDE
from bertline.evaluation.metrics import gold_value, predicted_value
from bertline.evaluation.squad import answer_scores

COLUMNS = ("actual", "predicted")
# `dvc plots` writes labels into a script of its page as they are: what follows this in one would be run.
_END_OF_SCRIPT = re.compile("</(?=script)", re.IGNORECASE)


def confusion(
    kind: Kind, rows: Sequence[Mapping[str, Any]], predictions: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """(actual, predicted) pairs, in the order of the rows."""
    for row, prediction in zip(rows, predictions, strict=True):
        gold, guess = gold_value(kind, row), predicted_value(kind, prediction)
        if kind == "tagging":
            pairs = zip(gold, guess, strict=True)
            yield from (pair for pair in pairs if pair != (OUTSIDE, OUTSIDE))
        elif kind == "span":
            yield "answer" if gold else "no answer", _outcome(gold, guess)
        elif kind == "regression":
            yield f"{gold:z.0f}", f"{guess:z.0f}"  # z: what rounds to -0 is 0, the same category
        else:
            yield gold, guess


def _outcome(golds: Sequence[str], guess: str) -> str:
    exact, f1 = answer_scores(golds, guess)
    return "exact" if exact else "partial" if f1 else "wrong"


def write_confusion(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write the pairs as CSV with a heading, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_END_OF_SCRIPT.sub("<\u200b/", label) for label in pair] for pair in pairs)
    write_text(path, text.getvalue())


def read_confusion(path: Path) -> list[tuple[str, str]]:
    """The pairs of a file that write_confusion wrote.

    Raises:
        BertlineError: it is missing.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [(row[0], row[1]) for row in list(csv.reader(stream))[1:]]
    except FileNotFoundError:
        raise BertlineError("file not found", where=str(path), fix="Run `dvc repro evaluate` to make it") from None
