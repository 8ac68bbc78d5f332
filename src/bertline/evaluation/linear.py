"""A linear model over given features, its regularisation chosen on the validation rows: what baselines are made of.

    fit = fit_linear(task, train_features, train_rows, validation_features, validation_rows)
    predictions = fit.predict(test_features)

Logistic regression for labels, ridge regression for numbers (scikit-learn). Deterministic: solvers without randomness,
on one thread, whose sums do not depend on how many there are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bertline.evaluation.metrics import score
from bertline.evaluation.predictions import label_answers, rounded
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Predict = Callable[[Any], list[dict[str, Any]]]

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Of the fit over the regularisation: C of the logistic regression, 1 / alpha of the ridge; for rows of length 1."""
_ITERATIONS = 1000
_CHANCES = 20_000_000  # rows times labels that are predicted at once


class Fit(NamedTuple):
    """A fitted model.

    Attributes:
        predict: features (rows, features) to predictions as `inference.decode` makes them.
        strength: the one of STRENGTHS that was best.
        score: its primary metric on the validation rows.
    """

    predict: Predict
    strength: float
    score: float


def fit_linear(
    task: TaskInfo, train: Any, train_rows: Sequence[Row], validation: Any, validation_rows: Sequence[Row]
) -> Fit:
    """Fit a model for each of STRENGTHS, and choose by the primary metric on the validation rows (of equals the first).

    Args:
        task: of kind classification, pair or regression.
        train, validation: features (rows, features), dense or sparse, of length 1 on average: what a strength means
            goes by their square.
        train_rows, validation_rows: with their labels.
    """
    best: Fit | None = None  # the others are let go: of many labels, each takes as much memory as the features
    with threadpool_limits(1):
        for strength in STRENGTHS:
            predict = _on_one_thread(_fit(task, train, [row["label"] for row in train_rows], strength))
            value = score(task, validation_rows, predict(validation))[task.metric] if validation_rows else 0.0
            if best is None or value > best.score:
                best = Fit(predict, strength, value)
    assert best is not None
    return best


def _on_one_thread(predict: Predict) -> Predict:
    def limited(features: Any) -> list[dict[str, Any]]:
        with threadpool_limits(1):
            return predict(features)

    return limited


def _fit(task: TaskInfo, features: Any, labels: Sequence[Any], strength: float) -> Predict:
    from sklearn.linear_model import LogisticRegression, Ridge  # noqa: PLC0415  (2 s; half the kinds have no use for it)

    if task.kind == "regression":
        ridge = Ridge(alpha=1 / strength, solver="lsqr").fit(features, labels)
        return lambda rows: [{"value": rounded(value)} for value in ridge.predict(rows)]
    if len(set(labels)) < 2:  # of one class there is nothing to learn
        return lambda rows: [{"label": labels[0]} for _ in range(rows.shape[0])]
    model = LogisticRegression(C=strength, max_iter=_ITERATIONS).fit(features, labels)
    classes = model.classes_.tolist()

    def predict(rows: Any) -> list[dict[str, Any]]:
        step = max(_CHANCES // len(classes), 1)
        parts = (rows[start : start + step] for start in range(0, rows.shape[0], step))
        return [answer for part in parts for answer in label_answers(classes, model.predict_proba(part))]

    return predict
