"""Scores of parts of the test rows: by length, and by what is to be predicted.

| kind | by length of | by |
|---|---|---|
| classification, pair | the texts, in characters | label |
| regression | the texts, in characters | value, in quarters |
| tagging | the sentence, in words | type of entity |
| span | the context, in characters | first word of the question; with and without an answer |

A slice has its count beside its scores: of a few rows, a score says little.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bertline.base.config import Kind
from bertline.evaluation.entities import entities, scores_of_counts
from bertline.evaluation.metrics import gold_value, predicted_value, score
from bertline.evaluation.squad import squad_scores
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Table = dict[str, Any]
"""{"by": what is told apart, "metrics": names, "slices": [{"slice", "rows", "scores": {metric: value}}]}."""

_DIGITS = 6
_PARTS = 4
_MOST = 30  # slices a table, the largest ones
_ASKING = ("what", "who", "when", "where", "which", "why", "how", "whose", "whom")


def slices(task: TaskInfo, rows: Sequence[Row], predictions: Sequence[Row]) -> list[Table]:
    """The tables of a task: by length first.

    Args:
        task: gives the kind and the primary metric, in which lengths are scored.
        rows: with their labels, tags or answers.
        predictions: one a row.
    """
    return [_by_length(task, rows, predictions), *_FURTHER[task.kind](rows, predictions)]


def _by_length(task: TaskInfo, rows: Sequence[Row], predictions: Sequence[Row]) -> Table:
    unit = {"tagging": "words of the sentence", "span": "characters of the context"}.get(task.kind, "characters")
    lengths = [_length(task.kind, row) for row in rows]
    found = []
    for name, places in _quarters(lengths, lambda value: f"{value:,.0f}"):
        some = [rows[place] for place in places], [predictions[place] for place in places]
        found.append(_slice(name, len(places), {task.metric: score(task, *some)[task.metric]}))
    return {"by": unit, "metrics": [task.metric], "slices": found}


def _length(kind: Kind, row: Row) -> int:
    if kind == "tagging":
        return len(row["words"])
    return sum(len(row[column]) for column in ("context", "text", "text_pair") if column in row)


def _quarters(values: Sequence[float], shown: Callable[[float], str]) -> Iterator[tuple[str, list[int]]]:
    """Up to four parts of about one size, from the least values on: what each spans, and the places in it."""
    array = np.asarray(values, dtype=np.float64)
    edges = np.unique(np.quantile(array, np.arange(1, _PARTS) / _PARTS, method="lower"))
    parts = np.searchsorted(edges, array, side="left")  # equal values stay together
    for part in np.unique(parts).tolist():
        places = np.flatnonzero(parts == part).tolist()
        low, high = shown(float(array[places].min())), shown(float(array[places].max()))
        yield low if low == high else f"{low} to {high}", places


def _by_label(rows: Sequence[Row], predictions: Sequence[Row]) -> Iterator[Table]:
    counts: dict[Hashable, list[int]] = defaultdict(lambda: [0, 0, 0])  # right, predicted, actual
    for row, some in zip(rows, predictions, strict=True):
        counts[row["label"]][2] += 1
        counts[some["label"]][1] += 1
        counts[some["label"]][0] += row["label"] == some["label"]
    yield _found_and_missed("label", counts)


def _by_entity(rows: Sequence[Row], predictions: Sequence[Row]) -> Iterator[Table]:
    counts: dict[Hashable, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row, some in zip(rows, predictions, strict=True):
        gold, guess = set(entities(row["tags"])), set(entities(some["tags"]))
        for place, found in enumerate((gold & guess, guess, gold)):
            for entity in found:
                counts[entity.type][place] += 1
    yield _found_and_missed("type of entity", counts)


def _found_and_missed(by: str, counts: Mapping[Hashable, Sequence[int]]) -> Table:
    """Precision, recall and F1 of each class, the commonest first."""
    order = sorted(counts, key=lambda name: (-counts[name][2], str(name)))[:_MOST]
    if len(order) < len(counts):
        by = f"{by}, the {_MOST} commonest of {len(counts):,}"
    metrics = ("precision", "recall", "f1")
    found = []
    for name in order:
        right, predicted, actual = counts[name]
        scores = scores_of_counts(right, predicted, actual)
        found.append(_slice(str(name), actual, {metric: scores[metric] for metric in metrics}))
    return {"by": by, "metrics": list(metrics), "slices": found}


def _by_value(rows: Sequence[Row], predictions: Sequence[Row]) -> Iterator[Table]:
    gold, guess = [row["label"] for row in rows], [some["value"] for some in predictions]
    found = []
    for name, places in _quarters(gold, lambda value: f"{value:g}"):
        wrong = [guess[place] - gold[place] for place in places]
        errors = {"mean_error": float(np.mean(wrong)), "mean_absolute_error": float(np.mean(np.abs(wrong)))}
        found.append(_slice(name, len(places), errors))
    yield {"by": "value", "metrics": ["mean_error", "mean_absolute_error"], "slices": found}


def _by_question(rows: Sequence[Row], predictions: Sequence[Row]) -> Iterator[Table]:
    golds = [gold_value("span", row) for row in rows]
    guesses = [predicted_value("span", some) for some in predictions]
    asked = [_asking(row["question"]) for row in rows]
    answered = ["with an answer" if gold else "without an answer" for gold in golds]
    for by, names in (("question", asked), ("answer", answered)):
        groups: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(names):
            groups[name].append(place)
        found = []
        for name in sorted(groups, key=lambda each: (-len(groups[each]), each)):
            scores = squad_scores(*([some[place] for place in groups[name]] for some in (golds, guesses)))
            metrics = {metric: scores[metric] for metric in ("f1", "exact_match")}
            found.append(_slice(name, len(groups[name]), metrics))
        if by == "question" or len(found) > 1:
            yield {"by": by, "metrics": ["f1", "exact_match"], "slices": found}


def _asking(question: str) -> str:
    """The first word that asks something; a question may begin with others (In which year …)."""
    words = (word.strip("¿?,.'\"") for word in question.lower().split())
    return next((word for word in words if word in _ASKING), "other")


def _slice(name: str, rows: int, scores: Mapping[str, float]) -> dict[str, Any]:
    return {
        "slice": name,
        "rows": rows,
        "scores": {metric: round(float(value), _DIGITS) for metric, value in scores.items()},
    }


_FURTHER: Mapping[Kind, Callable[[Sequence[Row], Sequence[Row]], Iterator[Table]]] = {
    "classification": _by_label,
    "pair": _by_label,
    "regression": _by_value,
    "tagging": _by_entity,
    "span": _by_question,
}
