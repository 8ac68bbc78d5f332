"""What is said of one row of a task: the form of its columns, the order of its tags, the places of its answers."""

import math
from typing import Any

import pytest

from bertline.validation.row_faults import answers_fault, form_fault, tags_fault

TEXT = {"id": "1", "text": "a", "label": "x"}
SCORED = {"id": "1", "text": "a", "text_pair": "b", "label": 2.5}
TAGGED = {"id": "1", "words": ["a"], "tags": ["O"]}
ASKED = {"id": "1", "question": "a", "context": "b", "answers": [{"text": "b", "start": 0}]}


@pytest.mark.parametrize(
    ("kind", "row", "fault"),
    [
        ("classification", TEXT, ""),
        ("classification", {"text": "a", "label": "x"}, "no id"),
        ("classification", TEXT | {"id": " "}, "id is empty"),
        ("classification", TEXT | {"text": None}, "text is null"),
        ("classification", TEXT | {"label": 1}, "label is of type int"),
        ("pair", TEXT, "no text_pair"),
        ("pair", TEXT | {"text_pair": "\t"}, "text_pair is empty"),
        ("regression", SCORED, ""),
        ("regression", TEXT | {"label": 0}, ""),
        ("regression", SCORED | {"text_pair": None}, "text_pair is null"),
        *(("regression", SCORED | {"label": value}, "label is no finite number") for value in (math.nan, True, "2")),
        ("tagging", TAGGED, ""),
        ("tagging", TAGGED | {"words": "a b"}, "words is of type str"),
        ("tagging", TAGGED | {"words": []}, "words is empty"),
        ("tagging", TAGGED | {"words": [""]}, "words holds something else than texts"),
        ("tagging", TAGGED | {"tags": [None]}, "tags holds something else than texts"),
        ("span", ASKED, ""),
        ("span", ASKED | {"answers": []}, ""),
        ("span", ASKED | {"answers": None}, "answers is null"),
        ("span", ASKED | {"answers": ["text, start"]}, "an answer lacks text or start"),
        ("span", ASKED | {"answers": [{"text": "b"}]}, "an answer lacks text or start"),
        ("span", ASKED | {"question": ""}, "question is empty"),
    ],
)
def test_the_form_of_a_row_is_that_of_its_kind(kind: str, row: dict[str, Any], fault: str) -> None:
    assert form_fault(row, kind) == fault


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ("B-X I-X I-X", ""),
        ("O B-X B-X", ""),
        ("noun verb noun", ""),
        ("I-X O O", "I-X at a after O"),
        ("B-X O I-X", "I-X at c after O"),
        ("B-X I-Y O", "I-Y at b after B-X"),
        ("B-X I-X I-Y", "I-Y at c after I-X"),
        ("O O", "3 words, 2 tags"),
        ("O O O O", "3 words, 4 tags"),
    ],
)
def test_an_entity_begins_before_it_goes_on(tags: str, fault: str) -> None:
    assert tags_fault(["a", "b", "c"], tags.split()) == fault


@pytest.mark.parametrize(
    ("text", "start", "fault"),
    [
        ("abc", 0, ""),
        ("abc", 4, ""),
        ("abc", 3, "'abc' is not at 3: ' ab'"),
        ("abc", -3, "'abc' is not at -3: 'abc'"),  # counted from the end, it is there
        ("abc", 40, "'abc' is not at 40: ''"),
        (" ", 3, "an answer is empty"),
        (None, 3, "an answer is empty"),
        ("abc", "4", "start is of type str"),
        ("bc", True, "start is of type bool"),
        ("abc", None, "start is null"),
    ],
)
def test_an_answer_stands_where_it_says(text: Any, start: Any, fault: str) -> None:
    assert answers_fault("abc abc", [{"text": "abc", "start": 0}, {"text": text, "start": start}]) == fault
    assert answers_fault("abc abc", []) == ""
