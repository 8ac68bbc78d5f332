"""Calibration, slices and the worst mistakes, checked on rows small enough to count by hand."""

import re
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from bertline.evaluation.calibration import calibration
from bertline.evaluation.mistakes import worst_mistakes
from bertline.evaluation.slices import slices
from bertline.tasks.schema import METRICS, TaskInfo

Rows = list[dict[str, Any]]


def info(kind: Any, labels: tuple[str, ...] = ("no", "yes")) -> TaskInfo:
    return TaskInfo("t", kind, labels, METRICS[kind][0], METRICS[kind], kind == "pair", {}, "made up")


def said(label: str, sure: float) -> dict[str, Any]:
    return {"label": label, "scores": {label: sure, "yes" if label == "no" else "no": 1 - sure}}


def labelled(count: int) -> tuple[Rows, Rows]:
    """Rows of lengths 1 to `count`, and predictions of every confidence."""
    random = np.random.Generator(np.random.Philox(key=0))
    rows = [
        {"id": str(n), "text": "x" * (n + 1), "label": str(random.choice(["no", "yes", "yes"]))} for n in range(count)
    ]
    return rows, [said(str(random.choice(["no", "yes"])), round(float(random.uniform(0.5, 1)), 3)) for _ in rows]


def test_the_calibration_error_is_the_gap_of_each_bin_weighted_by_its_rows() -> None:
    rows = [{"label": label} for label in ("yes", "yes", "no", "yes")]
    found = calibration(rows, [said("yes", 0.95), said("yes", 0.93), said("yes", 0.97), said("no", 0.6)])
    # Three rows at a mean of 0.95, two of them right; one at 0.6, wrong: 0.6 is in the bin up to 0.6.
    assert found["expected_calibration_error"] == pytest.approx(3 / 4 * (0.95 - 2 / 3) + 1 / 4 * 0.6, abs=1e-6)
    assert [(some["low"], some["high"], some["rows"]) for some in found["bins"]] == [(0.5, 0.6, 1), (0.9, 1.0, 3)]
    modest = calibration(rows[:2], [said("yes", 0.75)] * 2)
    assert modest["expected_calibration_error"] == 0.25, "too little sureness is an error too"


def test_a_model_that_is_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    rows = [{"label": "yes" if n % 4 else "no"} for n in range(400)]
    assert calibration(rows, [said("yes", 0.75)] * 400)["expected_calibration_error"] == 0


def test_lengths_are_cut_into_quarters_that_hold_every_row_once() -> None:
    rows, predictions = labelled(100)
    table = slices(info("classification"), rows, predictions)[0]
    assert [(part["slice"], part["rows"]) for part in table["slices"]] == [
        ("1 to 25", 25),
        ("26 to 50", 25),
        ("51 to 75", 25),
        ("76 to 100", 25),
    ]
    right = [row["label"] == some["label"] for row, some in zip(rows, predictions, strict=True)]
    assert [part["scores"]["accuracy"] for part in table["slices"]] == [
        pytest.approx(np.mean(right[start : start + 25])) for start in range(0, 100, 25)
    ]


def test_rows_of_one_length_are_one_slice_and_two_texts_have_that_of_both() -> None:
    rows, predictions = labelled(8)
    for kind, second, length in (("classification", {}, "3"), ("pair", {"text_pair": "yyyy"}, "7")):
        same = [{**row, "text": "xxx", **second} for row in rows]
        (part,) = slices(info(kind), same, predictions)[0]["slices"]
        assert (part["slice"], part["rows"]) == (length, 8)


def test_labels_have_the_precision_recall_and_f1_of_scikit_learn() -> None:
    rows, predictions = labelled(200)
    table = slices(info("classification"), rows, predictions)[1]
    assert [part["slice"] for part in table["slices"]] == ["yes", "no"]  # the commonest first
    gold, guess = [row["label"] for row in rows], [some["label"] for some in predictions]
    expected = precision_recall_fscore_support(gold, guess, labels=["yes", "no"])
    for place, part in enumerate(table["slices"]):
        got = [part["scores"][name] for name in ("precision", "recall", "f1")] + [part["rows"]]
        assert got == pytest.approx([column[place] for column in expected], abs=1e-6)


def test_of_many_labels_the_commonest_are_shown_and_how_many_there_are() -> None:
    rows = [{"id": str(n), "text": "x", "label": f"{n % 31}"} for n in range(33)]
    table = slices(info("classification"), rows, rows)[1]
    assert table["by"] == "label, the 30 commonest of 31"
    shown = [part["slice"] for part in table["slices"]]
    assert len(shown) == 30
    assert shown[:2] == ["0", "1"]  # two rows each; of the others, which have one, the last by name is left out
    assert "9" not in shown


def test_entities_are_told_apart_by_type() -> None:
    rows = [{"id": "1", "words": ["a", "b", "c"], "tags": ["B-PER", "O", "B-LOC"]}]
    predictions = [{"tags": ["B-PER", "B-PER", "O"], "scores": [0.9, 0.8, 0.7]}]
    table = slices(info("tagging"), rows, predictions)[1]
    found = {part["slice"]: (part["rows"], part["scores"]) for part in table["slices"]}
    assert found["PER"] == (1, {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3, abs=1e-6)})
    assert found["LOC"] == (1, {"precision": 0.0, "recall": 0.0, "f1": 0.0})


def question(asked: str, answer: str, context: str = "Ada sang in Rome.") -> dict[str, Any]:
    answers = [{"text": answer, "start": context.index(answer)}] if answer else []
    return {"id": asked, "question": asked, "context": context, "answers": answers}


def test_questions_are_told_apart_by_what_they_ask_and_by_having_an_answer() -> None:
    rows = [
        question("Who sang?", "Ada"),
        question("In which town?", "Rome"),
        question("Where?", ""),
        question("Eh", ""),
        question("Where then?", ""),
    ]
    predictions = [{"answer": answer, "score": 0.5} for answer in ("Ada", "Ada", "", "Rome", "")]
    _, asked, answered = slices(info("span", ()), rows, predictions)
    assert [(part["slice"], part["rows"], part["scores"]["f1"]) for part in asked["slices"]] == [
        ("where", 2, 1.0),  # the commonest first
        ("other", 1, 0.0),
        ("which", 1, 0.0),
        ("who", 1, 1.0),
    ]
    assert [(part["slice"], part["rows"], part["scores"]["f1"]) for part in answered["slices"]] == [
        ("without an answer", 3, pytest.approx(2 / 3, abs=1e-6)),
        ("with an answer", 2, 0.5),
    ]


def test_numbers_are_told_apart_by_quarters_with_their_errors() -> None:
    rows = [{"id": str(n), "text": "x", "label": float(n)} for n in range(8)]
    table = slices(info("regression", ()), rows, [{"value": 3.5}] * 8)[1]
    assert [(part["slice"], part["scores"]["mean_error"]) for part in table["slices"]] == [
        ("0 to 1", 3.0),
        ("2 to 3", 1.0),
        ("4 to 5", -1.0),
        ("6 to 7", -3.0),
    ]


def test_the_worst_mistakes_are_the_surest_wrong_answers_cut_to_a_length() -> None:
    rows = [{"id": str(n), "text": "word " * 400, "label": "yes"} for n in range(4)]
    predictions = [said("yes", 0.99), said("no", 0.7), said("no", 0.9), said("no", 0.8)]
    found = worst_mistakes(info("classification"), rows, predictions, most=2)
    assert [(some["id"], some["actual"], some["predicted"], some["confidence"]) for some in found] == [
        ("2", "yes", "no", 0.9),
        ("3", "yes", "no", 0.8),
    ]
    assert all(len(text) < 400 and text.endswith("…") for some in found for _, text in some["texts"])


def test_a_wrong_tag_is_shown_with_its_word_and_its_sentence() -> None:
    rows = [{"id": "1", "words": ["Ada", "sang", "here"], "tags": ["B-PER", "O", "O"]}]
    predictions = [{"tags": ["O", "O", "B-LOC"], "scores": [0.6, 0.99, 0.8]}]
    (found,) = worst_mistakes(info("tagging"), rows, predictions)
    assert (found["actual"], found["predicted"], found["confidence"]) == ("O", "B-LOC", 0.8)
    assert found["texts"] == [["word", "here"], ["in", "Ada sang here"]]


@pytest.mark.parametrize(("place", "shown"), [(20, "… 6 to 34 …"), (2, "0 to 16 …"), (38, "… 24 to 39")])
def test_of_a_long_sentence_a_wrong_tag_is_shown_with_the_words_around_it(place: int, shown: str) -> None:
    words = [str(number) for number in range(40)]
    predictions = [{"tags": ["B-LOC" if at == place else "O" for at in range(40)], "scores": [0.9] * 40}]
    (found,) = worst_mistakes(info("tagging"), [{"id": "1", "words": words, "tags": ["O"] * 40}], predictions)
    first, last = (int(part) for part in shown.strip("… ").split(" to "))
    assert found["texts"] == [
        ["word", str(place)],
        ["in", re.sub(r"\d+ to \d+", " ".join(words[first : last + 1]), shown)],
    ]


def test_an_answer_that_shares_a_word_is_no_worst_mistake_and_the_context_shows_the_right_one() -> None:
    far = "x " * 500 + "Ada sang in Rome."
    rows = [question("Where?", "in Rome"), question("Who?", "Ada", far), question("Why?", "")]
    predictions = [{"answer": answer, "score": 0.9} for answer in ("Rome", "Rome", "Ada")]
    found = worst_mistakes(info("span", ()), rows, predictions)
    assert [(some["id"], some["actual"], some["predicted"]) for some in found] == [
        ("Who?", "Ada", "Rome"),
        ("Why?", "no answer", "Ada"),
    ]
    assert "Ada sang" in found[0]["texts"][1][1]


def test_numbers_are_ordered_by_how_far_they_are_off() -> None:
    rows = [{"id": str(n), "text": "x", "label": float(n)} for n in range(3)]
    found = worst_mistakes(info("regression", ()), rows, [{"value": 1.25}] * 3)
    assert [(some["id"], some["by"], some["confidence"]) for some in found] == [
        ("0", 1.25, None),
        ("2", 0.75, None),
        ("1", 0.25, None),
    ]


def test_large_numbers_that_differ_are_told_apart() -> None:
    (found,) = worst_mistakes(
        info("regression", ()), [{"id": "0", "text": "x", "label": 123456.0}], [{"value": 123499}]
    )
    assert (found["actual"], found["predicted"], found["by"]) == ("123456", "123499", 43)
