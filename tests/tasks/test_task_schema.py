"""Rows and task.json: what is written reads back, and what is wrong is named with file, line and fix."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertline.base.errors import BertlineError
from bertline.tasks.schema import METRICS, TaskInfo, read_rows, write_task

TEXTS = [{"id": "a", "text": "good", "label": "yes"}, {"id": "b", "text": "bad", "label": "no"}]
TAGGED = [{"id": "a", "words": ["Ada", "King", "sang"], "tags": ["B-PER", "I-PER", "O"]}]
SPANS = [{"id": "a", "question": "Who?", "context": "It was Ada.", "answers": [{"text": "Ada", "start": 7}]}]


def splits(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {"train": rows, "validation": rows, "test": rows}


@pytest.mark.parametrize(("kind", "rows"), [("classification", TEXTS), ("tagging", TAGGED), ("span", SPANS)])
def test_what_is_written_reads_back(tmp_path: Path, kind: Any, rows: list[dict[str, Any]]) -> None:
    info = TaskInfo.of("t", kind, splits(rows), "here")
    write_task(tmp_path / "t", info, splits(rows))
    assert TaskInfo.read(tmp_path / "t") == info
    assert read_rows(tmp_path / "t", "test") == rows
    assert info.rows == {"train": len(rows), "validation": len(rows), "test": len(rows)}


def test_labels_are_sorted_and_the_primary_metric_comes_first() -> None:
    info = TaskInfo.of("t", "classification", splits(TEXTS), "")
    assert info.labels == ("no", "yes")
    assert info.metric == METRICS["classification"][0] == info.metrics[0]
    assert TaskInfo.of("t", "tagging", splits(TAGGED), "").labels == ("B-PER", "I-PER", "O")


def test_a_regression_of_two_texts_is_a_pair_and_has_no_labels() -> None:
    one = [{"id": "a", "text": "x", "label": 1.5}]
    two = [{"id": "a", "text": "x", "text_pair": "y", "label": 1.5}]
    assert not TaskInfo.of("t", "regression", splits(one), "").pair
    assert TaskInfo.of("t", "regression", splits(two), "").pair
    assert TaskInfo.of("t", "regression", splits(two), "").labels == ()


BAD = [
    ("classification", {"text": "x", "label": "yes"}, "no column 'id'"),
    ("classification", {"id": "z", "label": "yes"}, "no column 'text'"),
    ("classification", {"id": "z", "text": " ", "label": "yes"}, "text is empty"),
    ("classification", {"id": "z", "text": 5, "label": "yes"}, "text is 5, not a text"),
    ("classification", {"id": "z", "text": "x", "label": "maybe"}, "unknown label 'maybe'"),
    ("classification", {"id": "z", "text": "x", "label": 1}, "label is 1, not a text"),
    ("classification", {"id": "a", "text": "x", "label": "yes"}, "id 'a' occurs twice"),
    ("pair", {"id": "z", "text": "x", "text_pair": "", "label": "yes"}, "text_pair is empty"),
    ("regression", {"id": "z", "text": "x", "label": "much"}, "label 'much' is not a number"),
    ("regression", {"id": "z", "text": "x", "label": float("nan")}, "is not a number"),
    ("classification", {"id": "z", "text": "x", "label": "yes\r"}, r"label 'yes\r' holds a control character"),
    ("tagging", {"id": "z", "words": ["a", "b"], "tags": ["O"]}, "2 words but 1 tags"),
    ("tagging", {"id": "z", "words": [], "tags": []}, "words is empty"),
    ("tagging", {"id": "z", "words": ["a", "b"], "tags": ["O", "B-ORG"]}, "unknown tag 'B-ORG'"),
    ("tagging", {"id": "z", "words": ["a", "b"], "tags": ["O", "I-PER"]}, "I-PER at 'b' follows O"),
    ("tagging", {"id": "z", "words": ["a", "b"], "tags": ["B-LOC", "I-PER"]}, "I-PER at 'b' follows B-LOC"),
    ("tagging", {"id": "z", "words": ["a", " "], "tags": ["O", "O"]}, "word is empty"),
    ("span", {"id": "z", "question": "q", "context": "abc", "answers": [{"text": "b", "start": 0}]}, "not at offset 0"),
    (
        "span",
        {"id": "z", "question": "q", "context": "abc", "answers": [{"text": "c", "start": -1}]},
        "not at offset",
    ),
    ("span", {"id": "z", "question": "q", "context": "abcd", "answers": [{"text": "bc", "start": -3}]}, "offset -3"),
    ("span", {"id": "z", "question": "q", "context": "abc", "answers": [{"text": "b"}]}, "lacks text or start"),
    ("span", {"id": "z", "question": "q", "context": "abc", "answers": [{"text": "b", "start": 1.0}]}, "not a whole"),
    ("span", {"id": "z", "question": "q", "context": "abc", "answers": "b"}, "answers is not a list"),
]


@pytest.mark.parametrize(("kind", "row", "message"), BAD)
def test_a_wrong_row_is_named_with_file_and_line(tmp_path: Path, kind: Any, row: dict[str, Any], message: str) -> None:
    good = {"classification": TEXTS, "tagging": TAGGED, "span": SPANS}.get(kind, [])
    labels = {"tagging": ("B-LOC", "B-PER", "I-PER", "O"), "pair": ("no", "yes"), "classification": ("no", "yes")}.get(
        kind, ()
    )
    info = TaskInfo("t", kind, labels, "", (), False, {}, "")
    info.write(tmp_path)
    lines = [json.dumps(line) + "\n" for line in (*good, row)]
    (tmp_path / "test.jsonl").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(BertlineError) as caught:
        read_rows(tmp_path, "test")
    assert message in str(caught.value)
    assert caught.value.where == f"{tmp_path / 'test.jsonl'}, line {len(lines)}"
    assert caught.value.fix


def test_a_wrong_row_leaves_the_old_task_as_it_was(tmp_path: Path) -> None:
    info = TaskInfo.of("t", "classification", splits(TEXTS), "")
    write_task(tmp_path / "t", info, splits(TEXTS))
    wrong = splits(TEXTS) | {"test": [{"id": "c", "text": "", "label": "yes"}]}
    with pytest.raises(BertlineError, match="text is empty"):
        write_task(tmp_path / "t", info, wrong)
    assert read_rows(tmp_path / "t", "test") == TEXTS
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_the_fix_of_a_shifted_answer_gives_the_right_offset(tmp_path: Path) -> None:
    row = {**SPANS[0], "answers": [{"text": "Ada", "start": 0}]}
    with pytest.raises(BertlineError, match="Set start to 7"):
        write_task(tmp_path / "t", TaskInfo.of("t", "span", splits(SPANS), ""), splits([row]))


@pytest.mark.parametrize(
    ("text", "message"), [("{}", "no field 'name'"), ("[]", "no field 'name'"), ("{", "not valid JSON")]
)
def test_a_broken_task_json_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "task.json").write_text(text, encoding="utf-8")
    with pytest.raises(BertlineError, match=message) as caught:
        TaskInfo.read(tmp_path)
    assert str(tmp_path / "task.json") in str(caught.value)


def test_an_unknown_kind_in_task_json_is_named(tmp_path: Path) -> None:
    TaskInfo.of("t", "span", splits(SPANS), "").write(tmp_path)
    text = (tmp_path / "task.json").read_text(encoding="utf-8").replace('"span"', '"spam"')
    (tmp_path / "task.json").write_text(text, encoding="utf-8")
    with pytest.raises(BertlineError, match="unknown kind 'spam'"):
        TaskInfo.read(tmp_path)
