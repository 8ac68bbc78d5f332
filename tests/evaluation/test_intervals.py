"""Bootstrap intervals: each draw scored as `score` scores it, and intervals that hold what they promise."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from bertline.evaluation import intervals as module
from bertline.evaluation.intervals import intervals
from bertline.evaluation.metrics import score
from bertline.tasks.schema import TaskInfo
from toy_tasks import KINDS, toy_rows


def task_of(kind: Any, rows: list[dict[str, Any]]) -> TaskInfo:
    metrics = {
        "pair": ("f1", "accuracy", "f1_macro", "matthews"),
        "span": ("f1", "exact_match", "has_answer_f1", "no_answer_accuracy"),
    }.get(kind, ())
    splits = {"train": rows, "validation": rows, "test": rows}
    return TaskInfo.of("t", kind, splits, "", metrics=metrics, positive="dog" if kind == "pair" else "")


def guesses(kind: str, rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Predictions of which about half are right."""
    random = np.random.Generator(np.random.Philox(seed))
    others = random.permutation(len(rows))
    found = []
    for row, other in zip(rows, others, strict=True):
        source = row if random.integers(2) else rows[other]
        if kind == "regression":
            found.append({"value": float(row["label"] + random.normal(0, 5))})
        elif kind == "tagging":
            length = len(row["words"])
            found.append({"tags": (source["tags"] + ["O"] * length)[:length]})
        elif kind == "span":
            found.append({"answer": source["answers"][0]["text"] if source["answers"] else ""})
        else:
            found.append({"label": source["label"]})
    return found


def rows_of(kind: Any, count: int) -> list[dict[str, Any]]:
    rows = toy_rows(kind, count, 0)
    if kind == "span":
        rows = [{**row, "answers": []} if place % 3 == 0 else row for place, row in enumerate(rows)]
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_every_draw_is_scored_as_the_rows_that_were_drawn(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(kind, 40)
    task, predictions = task_of(kind, rows), guesses(kind, rows, 1)
    places = np.random.Generator(np.random.Philox(3)).integers(40, size=40)
    if kind in ("classification", "pair"):
        pairs = [(row["label"], some["label"]) for row, some in zip(rows, predictions, strict=True)]
        drawn = [pairs[place] for place in places]
        counts = [drawn.count(pair) for pair in sorted(set(pairs))]

        class Fixed:
            def multinomial(self, total: int, shares: Any, size: int) -> Any:
                return np.array([counts])

        monkeypatch.setattr(module.np.random, "Generator", lambda _: Fixed())
    else:
        monkeypatch.setattr(module, "_places", lambda *_: [places[None, :]])
    found = intervals(task, rows, predictions, draws=1)
    expected = score(task, [rows[place] for place in places], [predictions[place] for place in places])
    assert {name: low for name, (low, _) in found.items()} == pytest.approx(expected, abs=2e-6)


@settings(max_examples=20)
@given(st.sampled_from(KINDS), st.integers(5, 60), st.integers(0, 100))
def test_every_metric_has_an_interval_that_its_seed_repeats(kind: Any, count: int, seed: int) -> None:
    rows = rows_of(kind, count)
    task, predictions = task_of(kind, rows), guesses(kind, rows, seed)
    found = intervals(task, rows, predictions, draws=200)
    assert found == intervals(task, rows, predictions, draws=200)
    assert list(found) == list(task.metrics)
    assert all(-1 <= low <= high <= 1 for low, high in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_draws_are_the_same_however_many_are_made_at_once(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(kind, 30)
    task, predictions = task_of(kind, rows), guesses(kind, rows, 1)
    whole = intervals(task, rows, predictions, draws=50)
    monkeypatch.setattr(module, "_CHUNK", 7)
    assert intervals(task, rows, predictions, draws=50) == whole


def test_the_interval_of_an_accuracy_is_that_of_scipy() -> None:
    rows = [{"id": str(n), "text": "x", "label": "ab"[n % 2]} for n in range(400)]
    predictions = [{"label": "a"} if n % 3 else {"label": row["label"]} for n, row in enumerate(rows)]
    right = np.array([row["label"] == some["label"] for row, some in zip(rows, predictions, strict=True)], dtype=float)
    theirs = bootstrap((right,), np.mean, n_resamples=5000, method="percentile", rng=0).confidence_interval
    ours = intervals(task_of("classification", rows), rows, predictions, draws=5000)["accuracy"]
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.005)


def many_labels(labels: int, count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of so many labels, of which every third is taken for the next."""
    names = [f"label {n:04}" for n in range(labels)]
    rows = [{"id": str(n), "text": "x", "label": names[n % labels]} for n in range(count)]
    return rows, [{"label": names[(n + (n % 3 == 0)) % labels]} for n in range(count)]


def test_the_intervals_of_many_labels_are_those_of_rows_drawn_again() -> None:
    rows, predictions = many_labels(20, 300)
    task = task_of("classification", rows)
    random = np.random.Generator(np.random.Philox(5))
    scores = []
    for _ in range(1000):
        places = random.integers(len(rows), size=len(rows))
        scores.append(score(task, [rows[place] for place in places], [predictions[place] for place in places]))
    for name, found in intervals(task, rows, predictions).items():
        expected = np.quantile([some[name] for some in scores], (0.025, 0.975))
        assert found == pytest.approx(expected, abs=0.012), name  # four deviations of a quantile of so many draws


def test_labels_by_the_thousand_take_little_memory() -> None:
    rows, predictions = many_labels(1000, 3000)
    task = task_of("classification", rows)
    tracemalloc.start()
    intervals(task, rows, predictions, draws=20)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50 * 2**20


def test_a_label_that_a_draw_has_not_drawn_lowers_no_macro_f1() -> None:
    rows = [{"id": str(n), "text": "x", "label": "rare" if n == 0 else "ab"[n % 2]} for n in range(60)]
    found = intervals(task_of("classification", rows), rows, [{"label": row["label"]} for row in rows])
    assert found["f1_macro"] == (1, 1)  # in a third of the draws nothing is rare


def test_the_intervals_of_one_right_row_are_points() -> None:
    rows = rows_of("classification", 1)
    found = intervals(task_of("classification", rows), rows, [{"label": rows[0]["label"]}])
    assert found["accuracy"] == (1, 1)


def test_correlations_are_0_in_every_draw_where_both_sides_are_constant() -> None:
    rows = [{"id": str(n), "text": "x", "label": 0.1} for n in range(30)]
    found = intervals(task_of("regression", rows), rows, [{"value": 0.3}] * 30, draws=50)
    assert found == {"spearman": (0, 0), "pearson": (0, 0)}


def test_test_rows_by_the_ten_thousand_take_little_memory() -> None:
    rows = [{"id": str(n), "words": ["ann"], "tags": ["B-PER"]} for n in range(50_000)]
    task, predictions = task_of("tagging", rows), [{"tags": ["O"] if n % 3 else ["B-PER"]} for n in range(50_000)]
    tracemalloc.start()
    intervals(task, rows, predictions, draws=100)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 80 * 2**20
