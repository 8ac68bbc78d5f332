"""The answers of one who knows how often things are, and reads nothing."""

import pytest

from bertline.evaluation.majority import first_sentence, majority_rule
from bertline.evaluation.metrics import score
from bertline.tasks.schema import TaskInfo


def task(kind: str, train: list[dict]) -> TaskInfo:
    return TaskInfo.of("t", kind, {"train": train, "validation": [], "test": []}, "made up")


def qa(context: str, answer: str) -> dict:
    answers = [{"text": answer, "start": context.index(answer)}] if answer else []
    return {"question": "what?", "context": context, "answers": answers}


@pytest.mark.parametrize("kind", ["classification", "pair"])
def test_the_commonest_label_is_the_answer_to_everything(kind: str) -> None:
    train = [{"text": "x", "text_pair": "y", "label": label} for label in "abb"]
    assert majority_rule(task(kind, train), train)({"text": "anything"}) == {"label": "b"}


def test_of_equally_common_labels_the_first_is_taken_whatever_the_order() -> None:
    train = [{"text": "x", "label": label} for label in "baab"]
    for rows in (train, train[::-1]):
        assert majority_rule(task("classification", rows), rows)({})["label"] == "a"


def test_a_regression_baseline_is_the_mean_and_correlates_with_nothing() -> None:
    train = [{"text": "x", "label": value} for value in (1.0, 2.0, 6.0)]
    info, rule = task("regression", train), majority_rule(task("regression", train), train)
    assert rule(train[0]) == {"value": 3.0}
    assert score(info, train, [rule(row) for row in train])[info.metric] == 0


def test_a_word_gets_its_commonest_tag_and_an_unknown_word_the_commonest_of_all() -> None:
    train = [
        {"words": ["Paris", "is", "Paris"], "tags": ["B-LOC", "O", "B-LOC"]},
        {"words": ["an", "x"], "tags": ["O", "O"]},
    ]
    rule = majority_rule(task("tagging", train), train)
    assert rule({"words": ["Paris", "or", "is"]}) == {"tags": ["B-LOC", "O", "O"]}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([qa("It rains. It pours now.", "It rains")], "Sun shines."),
        ([qa("It rains. It pours now.", "rains. It pours now.")], "Sun shines. Moon too."),
        ([qa("It rains. It pours now.", "")], ""),
    ],
    ids=["first sentence", "whole context", "no answer"],
)
def test_a_span_baseline_is_the_trivial_answer_that_fits_the_training_rows_best(
    rows: list[dict], expected: str
) -> None:
    rule = majority_rule(task("span", rows), rows)
    assert rule({"question": "?", "context": "Sun shines. Moon too."}) == {"answer": expected}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("One. Two.", "One."),
        ("version 2.0 is here! yes", "version 2.0 is here!"),
        ("a\nb", "a"),
        ("no end", "no end"),
        ("天气好。走吧", "天气好。"),
        ("बारिश है। चलो", "बारिश है।"),
    ],
)
def test_the_first_sentence_ends_where_a_reader_would_say(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence
