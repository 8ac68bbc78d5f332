"""Metrics are those of scikit-learn and SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bertline.evaluation.metrics import (
    binary_f1,
    classification_scores,
    gold_value,
    ranks,
    regression_scores,
    score,
)
from bertline.tasks.schema import METRICS, TaskInfo
from toy_tasks import KINDS, toy_task

labels = st.sampled_from(["a", "b", "c", "d"])
label_pairs = st.lists(st.tuples(labels, labels), min_size=1, max_size=60)
numbers = st.one_of(st.integers(-5, 5).map(float), st.floats(-1e6, 1e6))


@pytest.mark.filterwarnings("ignore:A single label")
@given(label_pairs)
def test_classification_scores_equal_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = zip(*pairs, strict=True)
    scores = classification_scores(gold, predicted)
    assert scores["accuracy"] == pytest.approx(accuracy_score(gold, predicted))
    assert scores["f1_macro"] == pytest.approx(f1_score(gold, predicted, average="macro", zero_division=0))
    assert scores["matthews"] == pytest.approx(matthews_corrcoef(gold, predicted))


def test_without_rows_every_score_of_labels_is_0() -> None:
    assert classification_scores([], []) == {"accuracy": 0, "f1_macro": 0, "matthews": 0}


@given(label_pairs)
def test_f1_of_one_label_equals_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = ([label == "a" for label in side] for side in zip(*pairs, strict=True))
    expected = f1_score(gold, predicted, zero_division=0)
    assert binary_f1(*zip(*pairs, strict=True), "a") == pytest.approx(expected)


def test_a_benchmark_with_a_positive_label_is_scored_by_its_f1() -> None:
    rows = [
        {"id": str(n), "text": "x", "text_pair": "y", "label": label} for n, label in enumerate(("no", "yes", "yes"))
    ]
    splits = {"train": rows, "validation": rows, "test": rows}
    task = TaskInfo.of("t", "pair", splits, "", metrics=("f1", "accuracy"), positive="yes")
    guesses = [{"label": "no"}, {"label": "no"}, {"label": "yes"}]
    assert score(task, rows, guesses) == {
        "f1": pytest.approx(2 / 3, abs=1e-6),
        "accuracy": pytest.approx(2 / 3, abs=1e-6),
    }


def test_matthews_of_two_classes_is_the_textbook_formula() -> None:
    gold = ["yes"] * 100 + ["no"] * 100
    predicted = ["yes"] * 90 + ["no"] * 10 + ["yes"] * 30 + ["no"] * 70
    true, false_negative, false, true_negative = 90, 10, 30, 70
    expected = (true * true_negative - false * false_negative) / math.sqrt(120 * 100 * 100 * 80)
    assert classification_scores(gold, predicted)["matthews"] == pytest.approx(expected)


@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=60))
def test_correlations_equal_scipy(pairs: list[tuple[float, float]]) -> None:
    gold, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    scores = regression_scores(gold, predicted)
    assert ranks(gold).tolist() == rankdata(gold).tolist()
    assert all(-1 <= value <= 1 for value in scores.values())
    if any(np.ptp(side) < 1e-6 * max(1, np.abs(side).max()) for side in (gold, predicted)):
        return  # SciPy gives NaN, or warns that it has no precision left
    # Where values spread over a millionth of their size, rounding alone moves either result in the ninth digit.
    assert scores["pearson"] == pytest.approx(pearsonr(gold, predicted).statistic, abs=1e-6)
    assert scores["spearman"] == pytest.approx(spearmanr(gold, predicted).statistic, abs=1e-6)


def test_values_too_small_to_square_correlate_all_the_same() -> None:
    scores = regression_scores([0.0, 0.0, 1.0], [0.0, 4e-228, 0.0])
    assert scores == {"pearson": pytest.approx(-0.5), "spearman": pytest.approx(-0.5)}


def test_a_constant_prediction_correlates_with_nothing() -> None:
    assert regression_scores([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]) == {"pearson": 0.0, "spearman": 0.0}


@pytest.mark.parametrize("kind", KINDS)
def test_right_predictions_score_one_in_every_metric(kind: str) -> None:
    task, rows = toy_task(kind)
    key = {"regression": "value", "tagging": "tags", "span": "answer"}.get(kind, "label")
    gold = [gold_value(task.kind, row) for row in rows["test"]]
    predictions = [{key: value[0] if kind == "span" else value} for value in gold]
    assert score(task, rows["test"], predictions) == dict.fromkeys(METRICS[task.kind], 1.0)


def test_a_missing_prediction_is_refused() -> None:
    task, rows = toy_task("classification")
    with pytest.raises(ValueError, match="zip"):
        score(task, rows["test"], [{"label": "red"}])
