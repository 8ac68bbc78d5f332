"""The baseline of TF-IDF and a linear model."""

from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from bertline.base.config import Kind
from bertline.evaluation import tfidf
from bertline.evaluation.linear import STRENGTHS
from bertline.evaluation.metrics import score
from bertline.evaluation.tfidf import tfidf_baseline
from bertline.tasks.schema import TaskInfo
from toy_tasks import toy_task


@pytest.mark.parametrize("kind", ["classification", "pair", "regression"])
def test_words_alone_solve_what_words_alone_decide(kind: Kind) -> None:
    info, rows = toy_task(kind)
    answers = tfidf_baseline(info, rows["train"], rows["validation"])
    assert answers is not None
    assert score(info, rows["test"], answers(rows["test"]))[info.metric] > 0.95


@pytest.mark.parametrize("kind", ["tagging", "span"])
def test_tags_and_spans_have_no_such_baseline(kind: Kind) -> None:
    info, rows = toy_task(kind)
    assert tfidf_baseline(info, rows["train"], rows["validation"]) is None


def test_it_is_scikit_learns_tfidf_and_logistic_regression() -> None:
    info, rows = toy_task("classification")
    train, test = rows["train"][:60], rows["test"]
    found = tfidf_baseline(info, train, [])(test)  # type: ignore[misc]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\w+|[^\w\s]", sublinear_tf=True)
    model = LogisticRegression(C=STRENGTHS[0], max_iter=1000)
    model.fit(vectorizer.fit_transform([row["text"] for row in train]), [row["label"] for row in train])
    expected = model.predict_proba(vectorizer.transform([row["text"] for row in test]))
    assert [row["label"] for row in found] == model.classes_[expected.argmax(axis=1)].tolist()
    ours = [[row["scores"][label] for label in model.classes_] for row in found]
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_rows_of_many_labels_are_predicted_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    info, rows = toy_task("classification")
    answers = tfidf_baseline(info, rows["train"], rows["validation"])
    assert answers is not None
    at_once = answers(rows["test"])
    monkeypatch.setattr("bertline.evaluation.linear._CHANCES", 7 * len(info.labels))
    assert answers(rows["test"]) == at_once


@pytest.mark.parametrize(
    ("words", "between"),
    [
        (
            {"good": ["很好", "满意", "舒服"], "bad": ["很差", "失望", "糟糕"]},
            ["酒店", "房间", "服务", "早餐", "真的", "让我"],
        ),
        ({"good": ["अच्छी", "बढ़िया"], "bad": ["बुरी", "घटिया"]}, [" फ़िल्म ", " कहानी ", " बहुत ", " लगी "]),
    ],
    ids=["Chinese", "Hindi"],
)
def test_words_are_seen_in_scripts_without_spaces_and_with_marks(words: dict, between: list[str]) -> None:
    random = np.random.Generator(np.random.Philox(key=3))

    def row(number: int) -> dict:
        label = ("good", "bad")[number % 2]
        parts = [*random.choice(between, 4).tolist(), str(random.choice(words[label]))]
        return {"id": str(number), "text": "".join(parts) + "".join(random.choice(between, 3)), "label": label}

    rows = {"train": [row(number) for number in range(400)], "test": [row(number) for number in range(400, 500)]}
    info = TaskInfo.of("reviews", "classification", rows, "made up")
    answers = tfidf_baseline(info, rows["train"], [])
    assert answers is not None
    assert score(info, rows["test"], answers(rows["test"]))["accuracy"] > 0.95


def test_many_labels_leave_room_for_the_commonest_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    info, rows = toy_task("classification")
    sizes = []
    fit = tfidf.fit_linear
    monkeypatch.setattr(tfidf, "fit_linear", lambda *given: (sizes.append(given[1].shape[1]), fit(*given))[1])
    for weights in (5_000_000, 12):
        monkeypatch.setattr(tfidf, "_WEIGHTS", weights)
        assert tfidf_baseline(info, rows["train"], rows["validation"]) is not None
    outputs = len(info.labels) if len(info.labels) > 2 else 1
    assert sizes[1] == 12 // outputs < sizes[0]


@pytest.mark.parametrize(("large", "size"), [(12, 1 + 12 + 12), (11, 1)])
def test_of_many_texts_words_and_pairs_that_stand_in_one_alone_are_left_out(
    large: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfidf, "_LARGE", large)
    sizes = []
    fit = tfidf.fit_linear
    monkeypatch.setattr(tfidf, "fit_linear", lambda *given: (sizes.append(given[1].shape[1]), fit(*given))[1])
    rows = [{"id": str(n), "text": f"common name{n}", "label": "ab"[n % 2]} for n in range(12)]
    tfidf_baseline(TaskInfo.of("names", "classification", {"train": rows}, "made up"), rows, [])
    assert sizes == [size]


def test_where_no_word_stands_in_two_texts_all_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfidf, "_LARGE", 10)
    rows = {"train": [{"id": str(n), "text": f"name{n}", "label": "ab"[n % 2]} for n in range(20)]}
    answers = tfidf_baseline(TaskInfo.of("names", "classification", rows, "made up"), rows["train"], [])
    assert answers is not None
    assert [answer["label"] for answer in answers(rows["train"])] == [row["label"] for row in rows["train"]]


def test_the_unit_of_the_labels_changes_no_score() -> None:
    info, rows = toy_task("regression")
    scores = []
    for unit in (1.0, 1e-8):
        train, validation, test = (
            [{**row, "label": unit * row["label"]} for row in rows[split]] for split in ("train", "validation", "test")
        )
        answers = tfidf_baseline(info, train, validation)
        assert answers is not None
        scores.append(score(info, test, answers(test)))
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_the_overlap_of_two_texts_is_seen() -> None:
    words = [f"w{number}" for number in range(400)]
    random = np.random.Generator(np.random.Philox(key=3))

    def row(number: int) -> dict:
        first = random.choice(words, 8, replace=False).tolist()
        same = number % 2
        second = list(reversed(first)) if same else random.choice(words, 8, replace=False).tolist()
        return {"id": str(number), "text": " ".join(first), "text_pair": " ".join(second), "label": "ny"[same]}

    rows = {"train": [row(n) for n in range(200)], "validation": [row(n) for n in range(40)]}
    rows["test"] = [row(n) for n in range(100)]
    info = TaskInfo.of("same", "pair", rows, "made up")
    answers = tfidf_baseline(info, rows["train"], rows["validation"])
    assert answers is not None
    assert score(info, rows["test"], answers(rows["test"]))["accuracy"] > 0.9  # no word says anything by itself


def test_the_validation_rows_choose_the_regularisation() -> None:
    info, rows = toy_task("classification")
    train = rows["train"][:8]
    wrong = [{**row, "label": "red" if row["label"] != "red" else "blue"} for row in rows["validation"]]
    chosen = tfidf_baseline(info, train, rows["validation"])
    other = tfidf_baseline(info, train, wrong)
    assert chosen is not None and other is not None
    assert chosen(rows["test"]) != other(rows["test"])


def test_rare_words_that_decide_a_rare_label_are_learned() -> None:
    random = np.random.Generator(np.random.Philox(key=1))

    def row(number: int) -> dict[str, Any]:
        rare = bool(random.random() < 0.2)
        words = [f"filler{place}" for place in random.integers(0, 40, 8)]
        if rare:
            words.insert(int(random.integers(0, 8)), f"rare{random.integers(5)}")
        return {"id": str(number), "text": " ".join(words), "label": "yes" if rare else "no"}

    rows = {split: [row(n) for n in range(count)] for split, count in (("train", 200), ("validation", 100))}
    rows["test"] = [row(n) for n in range(100)]
    info = TaskInfo.of("rare", "classification", rows, "made up", metrics=("matthews",))
    answers = tfidf_baseline(info, rows["train"], rows["validation"])
    assert answers is not None
    assert score(info, rows["test"], answers(rows["test"]))["matthews"] > 0.5  # all "no" has 0


def test_one_class_gives_that_class() -> None:
    rows = [{"id": str(n), "text": f"text {n}", "label": "only"} for n in range(5)]
    info = TaskInfo.of("one", "classification", {"train": rows, "validation": [], "test": rows}, "made up")
    answers = tfidf_baseline(info, rows, [])
    assert answers is not None
    assert {row["label"] for row in answers(rows)} == {"only"}
