"""The linear model of the baselines: its regularisation is the best one on the validation rows, and is told."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from bertline.evaluation.linear import STRENGTHS, fit_linear
from bertline.evaluation.metrics import score
from bertline.tasks.schema import TaskInfo


def noisy(kind: Any, labelled: Any) -> tuple[TaskInfo, dict[str, np.ndarray], dict[str, list[dict[str, Any]]]]:
    """More features than rows, of which one tells the label: how much is regularised matters."""
    random = np.random.Generator(np.random.Philox(key=1))
    features = {split: random.normal(size=(count, 60)) for split, count in (("train", 30), ("validation", 200))}
    rows = {
        split: [
            {"id": str(n), "text": "x", "label": labelled(row[0] + random.normal(0, 0.5))} for n, row in enumerate(x)
        ]
        for split, x in features.items()
    }
    return TaskInfo.of("noisy", kind, {**rows, "test": rows["validation"]}, "made up"), features, rows


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_regularisation_is_the_best_one_on_the_validation_rows(kind: str) -> None:
    labels = (lambda value: "yes" if value > 0 else "no") if kind == "classification" else float
    task, features, rows = noisy(kind, labels)
    theirs, scores = {}, {}
    for strength in STRENGTHS:
        model: Any = LogisticRegression(C=strength, max_iter=1000)
        model = model if kind == "classification" else Ridge(alpha=1 / strength, solver="lsqr")
        theirs[strength] = model.fit(features["train"], [row["label"] for row in rows["train"]])
        key = "label" if kind == "classification" else "value"
        guesses = [{key: value} for value in theirs[strength].predict(features["validation"]).tolist()]
        scores[strength] = score(task, rows["validation"], guesses)[task.metric]
    assert len(set(scores.values())) == len(STRENGTHS), "they can be told apart"
    fit = fit_linear(task, features["train"], rows["train"], features["validation"], rows["validation"])
    assert (fit.strength, fit.score) == (max(scores, key=scores.__getitem__), max(scores.values()))
    found = fit.predict(features["validation"])
    if kind == "regression":
        expected = theirs[fit.strength].predict(features["validation"])
        assert [row["value"] for row in found] == pytest.approx(expected.tolist(), rel=1e-6)
    else:
        expected = theirs[fit.strength].predict_proba(features["validation"])
        assert [[row["scores"][name] for name in ("no", "yes")] for row in found] == pytest.approx(expected, abs=1e-6)
        assert [row["label"] for row in found] == [("no", "yes")[int(place)] for place in expected.argmax(axis=1)]


def test_of_equally_good_ones_the_strongest_regularisation_is_taken() -> None:
    task, features, rows = noisy("regression", float)
    assert fit_linear(task, features["train"], rows["train"], features["validation"], []).strength == STRENGTHS[0]
