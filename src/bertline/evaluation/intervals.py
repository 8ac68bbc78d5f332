"""How sure a score is: bootstrap intervals (Efron 1979, percentile method) over the scored rows.

    intervals(task, rows, predictions)   # {"accuracy": (0.89, 0.93), "f1_macro": (0.88, 0.92)}

Rows are drawn again with replacement, as many as there are; between the 2.5th and the 97.5th percentile of a metric lie
95 % of the draws. The same rows give the same draws. What a metric needs of a row is computed once, and a draw is a
product with it: a thousand draws of ten thousand questions take a second.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bertline.base.config import Kind
from bertline.evaluation.entities import entity_counts, scores_of_counts
from bertline.evaluation.metrics import confusion_matrix, gold_value, predicted_value
from bertline.evaluation.squad import answer_scores
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Draws = dict[str, Floats]

DRAWS = 1000
_EDGES = (0.025, 0.975)
_CHUNK = 100  # draws at once, and
_VALUES = 1_000_000  # rows times draws at once: memory stays small
_DIGITS = 6


def intervals(
    task: TaskInfo, rows: Sequence[Row], predictions: Sequence[Row], *, draws: int = DRAWS
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of every metric of a task that is a function of the rows alone.

    Args:
        task: gives the kind and the names of the metrics.
        rows: with their labels, tags or answers; one at least.
        predictions: one a row.
        draws: how often the rows are drawn.
    """
    gold = [gold_value(task.kind, row) for row in rows]
    guess = [predicted_value(task.kind, prediction) for prediction in predictions]
    random = np.random.Generator(np.random.Philox(key=0))
    found = _DRAWS_OF[task.kind](task, gold, guess, draws, random)
    return {
        name: (round(float(low), _DIGITS), round(float(high), _DIGITS))
        for name in task.metrics
        if name in found
        for low, high in [np.quantile(found[name], _EDGES)]
    }


def _of_labels(
    task: TaskInfo, gold: Sequence[str], guess: Sequence[str], draws: int, random: np.random.Generator
) -> Draws:
    """All that counts is how often each pair of labels occurs: a multinomial draw of those that do."""
    counts = confusion_matrix(gold, guess)
    pairs = np.nonzero(counts)
    there = _indicators(*pairs, size=len(counts))
    labels = sorted({*gold, *guess})
    positive = labels.index(task.positive) if task.positive in labels else None
    found: dict[str, list[Floats]] = defaultdict(list)
    for done in range(0, draws, _CHUNK):
        drawn = random.multinomial(len(gold), counts[pairs] / len(gold), size=min(_CHUNK, draws - done))
        right, actual, predicted = (drawn @ some for some in there)
        f1 = _divided(2 * right, actual + predicted)
        found["accuracy"].append(right.sum(axis=1) / len(gold))
        found["f1_macro"].append(f1.sum(axis=1) / (actual + predicted > 0).sum(axis=1))
        found["matthews"].append(_matthews(right.sum(axis=1), actual, predicted, len(gold)))
        found["f1"].append(np.zeros(len(f1)) if positive is None else f1[:, positive])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _indicators(gold: Places, guess: Places, *, size: int) -> tuple[Any, Any, Any]:
    """For pairs of labels (pairs,): which label is right, actual, predicted; each sparse (pairs, labels)."""
    pairs = np.arange(len(gold))
    actual, predicted = (
        sparse.csr_array((np.ones(len(pairs)), (pairs, labels)), shape=(len(pairs), size)) for labels in (gold, guess)
    )
    return actual.multiply(predicted).tocsr(), actual, predicted


def _matthews(right: Floats, actual: Floats, predicted: Floats, total: int) -> Floats:
    """R_K of Gorodkin 2004 for each draw: `right` (draws,), `actual` and `predicted` (draws, labels)."""
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (actual**2).sum(axis=1))
    return _divided(right * total - (actual * predicted).sum(axis=1), np.sqrt(spread))


def _of_values(
    task: TaskInfo, gold: Sequence[float], guess: Sequence[float], draws: int, random: np.random.Generator
) -> Draws:
    from scipy.stats import rankdata  # noqa: PLC0415  (half a second, and for this kind alone)

    x, y = np.asarray(gold, dtype=np.float64), np.asarray(guess, dtype=np.float64)
    pearson, spearman = [], []
    for places in _places(len(gold), draws, random):
        pearson.append(_correlations(x[places], y[places]))
        spearman.append(_correlations(rankdata(x[places], axis=1), rankdata(y[places], axis=1)))
    return {"pearson": np.concatenate(pearson), "spearman": np.concatenate(spearman)}


def _correlations(x: Floats, y: Floats) -> Floats:
    """Pearson's r of each row of two arrays (draws, rows); 0 where a side is constant."""
    # From the first value, not from the mean: that of equal values may differ from them in its last digit.
    x, y = x - x[:, :1], y - y[:, :1]
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    return _divided((x * y).sum(axis=1), np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))


def _of_tags(
    task: TaskInfo,
    gold: Sequence[Sequence[str]],
    guess: Sequence[Sequence[str]],
    draws: int,
    random: np.random.Generator,
) -> Draws:
    counts = np.array([entity_counts(true, some) for true, some in zip(gold, guess, strict=True)], dtype=np.float64)
    sums = np.concatenate([weights @ counts for weights in _weights(len(gold), draws, random)])
    scores = [scores_of_counts(*row) for row in sums.tolist()]
    return {name: np.array([score[name] for score in scores]) for name in scores[0]}


def _of_answers(
    task: TaskInfo, gold: Sequence[Sequence[str]], guess: Sequence[str], draws: int, random: np.random.Generator
) -> Draws:
    """Means over all questions, and over those with and without an answer."""
    scores = np.array([answer_scores(some, text) for some, text in zip(gold, guess, strict=True)], dtype=np.float64)
    answered = np.array([bool(some) for some in gold])
    ones = np.ones(len(gold))
    columns = np.stack([ones, *scores.T, answered, *(scores * answered[:, None]).T], axis=1)
    sums = np.concatenate([weights @ columns for weights in _weights(len(gold), draws, random)]).T
    total, exact, f1, with_answer, exact_with, f1_with = sums
    return {
        "exact_match": exact / total,
        "f1": f1 / total,
        "has_answer_exact_match": _divided(exact_with, with_answer),
        "has_answer_f1": _divided(f1_with, with_answer),
        "no_answer_accuracy": _divided(exact - exact_with, total - with_answer),
    }


def _places(rows: int, draws: int, random: np.random.Generator) -> Iterator[Places]:
    """Which rows are drawn: arrays (some draws, rows); the same draws in chunks of any size."""
    chunk = max(1, min(_CHUNK, _VALUES // rows))
    for done in range(0, draws, chunk):
        yield random.integers(rows, size=(min(chunk, draws - done), rows))


def _weights(rows: int, draws: int, random: np.random.Generator) -> Iterator[Floats]:
    """How often each row is drawn: arrays (some draws, rows)."""
    for places in _places(rows, draws, random):
        flat = (places + rows * np.arange(len(places))[:, None]).ravel()
        yield np.bincount(flat, minlength=places.size).reshape(places.shape).astype(np.float64)


def _divided(part: Floats, whole: Floats) -> Floats:
    """part / whole; 0 where whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0), dtype=np.float64)


_DRAWS_OF: Mapping[Kind, Callable[[TaskInfo, Any, Any, int, np.random.Generator], Draws]] = {
    "classification": _of_labels,
    "pair": _of_labels,
    "regression": _of_values,
    "tagging": _of_tags,
    "span": _of_answers,
}
