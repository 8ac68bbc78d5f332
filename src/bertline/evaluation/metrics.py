"""The metrics of every kind of task, in one call: what the scoreboard shows.

    score(task, rows, predictions)   # {"accuracy": 0.91, "f1_macro": 0.90, "matthews": 0.82}

Rows are those of `tasks.schema`, predictions those of `inference.predictor`. Every metric is in 0 to 1 (correlations in
-1 to 1), higher is better, and follows the definition that the benchmarks use: scikit-learn's for classification,
Pearson's r and Spearman's rho, conlleval for tagging (entities.py), SQuAD for spans (squad.py).
Plain NumPy: importing it costs nothing on a node that only trains.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bertline.base.config import Kind
from bertline.evaluation.entities import entity_scores
from bertline.evaluation.squad import best_thresholds, squad_scores
from bertline.tasks.rows import COLUMNS
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Prediction = Mapping[str, Any]
Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.int64]

_DIGITS = 6
GOLD_COLUMNS: Mapping[Kind, str] = {kind: columns[-1] for kind, columns in COLUMNS.items()}
"""Where the right answer of a row stands."""
_PREDICTED: Mapping[Kind, str] = {
    "classification": "label",
    "pair": "label",
    "regression": "value",
    "tagging": "tags",
    "span": "answer",
}


def gold_value(kind: Kind, row: Row) -> Any:
    """What is right for a row: label, number, list of tags, or list of accepted answer texts."""
    value = row[GOLD_COLUMNS[kind]]
    return [answer["text"] for answer in value] if kind == "span" else value


def predicted_value(kind: Kind, prediction: Prediction) -> Any:
    """The part of a prediction that is compared with `gold_value`."""
    return prediction[_PREDICTED[kind]]


def score(task: TaskInfo, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
    """Every metric of a task, rounded to six digits.

    Args:
        task: gives the kind and the names of the metrics.
        rows: with their labels, tags or answers.
        predictions: one a row.

    Raises:
        ValueError: there are not as many predictions as rows.
    """
    gold = [gold_value(task.kind, row) for row in rows]
    guess = [predicted_value(task.kind, prediction) for prediction in predictions]
    scores = _SCORERS[task.kind](gold, guess)
    if task.positive:
        scores["f1"] = binary_f1(gold, guess, task.positive)
    if task.kind == "span":
        scores |= _best_span_scores(gold, predictions, scores)
    return {name: round(scores[name], _DIGITS) for name in task.metrics}


def _best_span_scores(
    gold: Sequence[Sequence[str]], predictions: Sequence[Prediction], scores: Mapping[str, float]
) -> dict[str, float]:
    """best_f1 and best_exact_match: with the threshold on the null difference that would have been best.

    Predictions without a null difference have no threshold: their best scores are their scores.
    """
    if not all("null_difference" in prediction for prediction in predictions):
        return {f"best_{name}": scores[name] for name in ("f1", "exact_match")}
    spans = [prediction["best_answer"] for prediction in predictions]
    found = best_thresholds(gold, spans, [prediction["null_difference"] for prediction in predictions])
    return {f"best_{name}": threshold.score for name, threshold in found.items()}


def classification_scores(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Accuracy, macro-averaged F1 and Matthews correlation of labels; 0 where undefined."""
    matrix = confusion_matrix(gold, predicted)
    return {
        "accuracy": float(np.trace(matrix) / max(matrix.sum(), 1)),
        "f1_macro": f1_macro(matrix),
        "matthews": matthews(matrix),
    }


def binary_f1(gold: Sequence[str], predicted: Sequence[str], positive: str) -> float:
    """F1 of one label, 2 TP / (actual + predicted), as GLUE scores MRPC and QQP; 0 if it is on neither side."""
    right = sum(a == b == positive for a, b in zip(gold, predicted, strict=True))
    total = sum(label == positive for label in (*gold, *predicted))
    return 2 * right / total if total else 0.0


def confusion_matrix(gold: Sequence[str], predicted: Sequence[str]) -> Matrix:
    """Counts (actual, predicted) over the sorted labels that occur in either."""
    pairs = list(zip(gold, predicted, strict=True))
    classes = {label: place for place, label in enumerate(sorted({*gold, *predicted}))}
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    places = np.array([(classes[a], classes[b]) for a, b in pairs], dtype=np.int64).reshape(-1, 2)
    np.add.at(matrix, (places[:, 0], places[:, 1]), 1)
    return matrix


def f1_macro(matrix: Matrix) -> float:
    """Mean over the labels of 2 TP / (actual + predicted)."""
    totals = matrix.sum(axis=0) + matrix.sum(axis=1)
    return float(np.mean(2 * np.diag(matrix) / totals)) if len(matrix) else 0.0


def matthews(matrix: Matrix) -> float:
    """Matthews correlation of any number of classes: R_K of Gorodkin 2004, as scikit-learn; 0 if a side is constant."""
    total, right = float(matrix.sum()), float(np.trace(matrix))
    actual, predicted = matrix.sum(axis=1).astype(np.float64), matrix.sum(axis=0).astype(np.float64)
    spread = (total**2 - float(predicted @ predicted)) * (total**2 - float(actual @ actual))
    return (right * total - float(actual @ predicted)) / float(np.sqrt(spread)) if spread else 0.0


def regression_scores(gold: Sequence[float], predicted: Sequence[float]) -> dict[str, float]:
    """Pearson's r and Spearman's rho; 0 where undefined."""
    x, y = np.asarray(gold, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    return {"pearson": pearson(x, y), "spearman": pearson(ranks(x), ranks(y))}


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's r; 0 if either side is constant, as a prediction that is always the same tells nothing."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.clip(_unit(x) @ _unit(y), -1.0, 1.0))


def _unit(values: Floats) -> Floats:
    """Centred and of length 1; scaled to at most 1 first, as the squares of tiny values would be 0."""
    centred = values - values.mean()
    centred /= np.abs(centred).max()
    return np.asarray(centred / np.linalg.norm(centred), dtype=np.float64)


def ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs (scipy.stats.rankdata)."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places], dtype=np.float64)


_SCORERS: Mapping[Kind, Callable[[Any, Any], dict[str, float]]] = {
    "classification": classification_scores,
    "pair": classification_scores,
    "regression": regression_scores,
    "tagging": entity_scores,
    "span": squad_scores,
}
