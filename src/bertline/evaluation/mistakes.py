"""The worst mistakes of a model: the answers that were wrong and that it was surest of.

| kind | wrong is | how sure |
|---|---|---|
| classification, pair | another label | the label's probability |
| tagging | a word with another tag; one a sentence, the surest | the tag's probability |
| span | an answer that shares no word with an accepted one | the answer's probability |
| regression | any, the largest differences | none: they are ordered by the difference |

Texts are cut: this is to read, `predictions.jsonl` and the task's rows are to work with.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bertline.base.config import Kind
from bertline.evaluation.metrics import gold_value, predicted_value
from bertline.evaluation.predictions import rounded
from bertline.evaluation.squad import answer_scores
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Mistake = dict[str, Any]
"""id, texts [[column, text]], actual, predicted, confidence (None for regression), by (what it is ordered by)."""

MOST = 10
_TEXT, _ANSWER = 320, 120  # characters
_WORDS_AROUND = 14


def worst_mistakes(task: TaskInfo, rows: Sequence[Row], predictions: Sequence[Row], most: int = MOST) -> list[Mistake]:
    """Up to `most` mistakes, the worst first; of equals the earlier row.

    Args:
        task: gives the kind.
        rows: with their labels, tags or answers.
        predictions: one a row.
        most: how many.
    """
    found = list(_FINDERS[task.kind](rows, predictions))
    return sorted(found, key=lambda mistake: -mistake["by"])[:most]


def _of_labels(rows: Sequence[Row], predictions: Sequence[Row]) -> Iterator[Mistake]:
    for row, some in zip(rows, predictions, strict=True):
        if row["label"] != some["label"]:
            sure = some["scores"][some["label"]]
            yield _mistake(row, _texts(row), row["label"], some["label"], sure)


def _of_values(rows: Sequence[Row], predictions: Sequence[Row]) -> Iterator[Mistake]:
    for row, some in zip(rows, predictions, strict=True):
        made = _mistake(row, _texts(row), f"{row['label']:.6g}", f"{some['value']:.6g}", None)
        yield made | {"by": rounded(abs(row["label"] - some["value"]))}


def _of_tags(rows: Sequence[Row], predictions: Sequence[Row]) -> Iterator[Mistake]:
    for row, some in zip(rows, predictions, strict=True):
        wrong = [place for place, tag in enumerate(row["tags"]) if tag != some["tags"][place]]
        if wrong:
            worst = max(wrong, key=lambda place: some["scores"][place])
            before, after = max(worst - _WORDS_AROUND, 0), worst + 1 + _WORDS_AROUND
            around = " ".join(row["words"][before:after])
            texts = [["word", row["words"][worst]], ["in", _around(before, around, after < len(row["words"]))]]
            yield _mistake(row, texts, row["tags"][worst], some["tags"][worst], some["scores"][worst])


def _of_answers(rows: Sequence[Row], predictions: Sequence[Row]) -> Iterator[Mistake]:
    for row, some in zip(rows, predictions, strict=True):
        golds, guess = gold_value("span", row), predicted_value("span", some)
        if answer_scores(golds, guess)[1] == 0:
            first = row["answers"][0]["start"] if golds else 0
            start = max(first - _TEXT // 3, 0)
            shown = row["context"][start : start + _TEXT]
            context = _around(start, shown, start + _TEXT < len(row["context"]))
            texts = [["question", row["question"]], ["context", context]]
            actual = " / ".join(dict.fromkeys(golds)) or "no answer"
            yield _mistake(row, texts, actual, guess or "no answer", some.get("score", 0.0))


def _texts(row: Row) -> list[list[str]]:
    return [[column, row[column]] for column in ("text", "text_pair") if column in row]


def _around(start: int, text: str, more: bool) -> str:
    """A part of a text, with the marks of what was left out before and after it."""
    return ("… " if start else "") + text + (" …" if more else "")


def _mistake(row: Row, texts: Sequence[Sequence[str]], actual: str, predicted: str, sure: float | None) -> Mistake:
    return {
        "id": _cut(row["id"], _ANSWER),
        "texts": [[column, _cut(text, _TEXT + 4)] for column, text in texts],
        "actual": _cut(actual, _ANSWER),
        "predicted": _cut(predicted, _ANSWER),
        "confidence": sure,
        "by": sure or 0.0,
    }


def _cut(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


_FINDERS: Mapping[Kind, Callable[[Sequence[Row], Sequence[Row]], Iterator[Mistake]]] = {
    "classification": _of_labels,
    "pair": _of_labels,
    "regression": _of_values,
    "tagging": _of_tags,
    "span": _of_answers,
}
