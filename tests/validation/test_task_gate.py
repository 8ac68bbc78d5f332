"""gate_task lets sound rows of each kind pass, and names what is wrong with others."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import GateTask
from bertline.base.errors import BertlineError
from bertline.stages import gate_task
from bertline.validation.label_shift import hashed_words, label_shift
from gate_data import ROWS, change_json, change_rows, small_params


def rows(kind: str, change: Callable[[list[dict]], object], split: str = "train"):
    return kind, lambda artifacts: change_rows(artifacts, kind, split, change)


def row(kind: str, split: str = "train", **values: object):
    """A change of three rows."""
    return rows(kind, lambda found: [row.update(values) for row in found[4:7]] and None, split)


def leak(kind: str):
    def change(artifacts: Artifacts) -> None:
        taken: list[dict] = []
        change_rows(artifacts, kind, "train", lambda found: taken.extend(found[:3]))
        upper = [{**row, "id": f"leaked-{row['id']}"} for row in taken]
        for row in upper:
            if "question" in row:
                row["question"] = "Another question on the same context?"
            for column in ("text", "text_pair"):
                if column in row:
                    row[column] = row[column].upper() + "!"
        change_rows(artifacts, kind, "test", lambda found: found + upper)

    return kind, change


def shift(found: list[dict]) -> None:
    labels = [row["label"] for row in found]
    for row, label in zip(found, labels[1:] + labels[:1], strict=True):
        row["label"] = label


def one_label(found: list[dict]) -> list[dict]:
    return [row for row in found if row["label"] != "cat"]


def info(kind: str, change: Callable[[dict], object]):
    return kind, lambda artifacts: change_json(artifacts.task(kind) / "task.json", change)


ANSWER = {"text": "x6", "start": 12}
FAULTS: dict[str, tuple[tuple[str, Callable[[Artifacts], object]], str]] = {
    "a label outside the set": (row("classification", label="cow"), "labels_are_known"),
    "an unknown label in test": (row("pair", "test", label="cow"), "labels_are_known"),
    "labels as numbers": (row("classification", label=1), "rows_are_well_formed"),
    "no label": (rows("pair", lambda found: found[0].pop("label") and None), "rows_are_well_formed"),
    "labels a row off": (rows("classification", shift), "labels_stand_with_their_texts"),
    "a label never trained": (rows("classification", one_label), "every_label_is_trained"),
    "one label": (
        rows("classification", lambda found: [r.update(label="dog") for r in found] and None),
        "labels_are_several.*labels_are_balanced",
    ),
    "an empty text": (row("classification", text="  "), "rows_are_well_formed"),
    "an endless text": (row("classification", text="word " * 30_000), "texts_are_of_normal_length"),
    "no text": (row("pair", text_pair=None), "rows_are_well_formed"),
    "no column": (rows("pair", lambda found: found[3].pop("text_pair") and None), "rows_are_well_formed"),
    "the same id twice": (row("classification", id="train-0"), "ids_are_unique"),
    "an id of another split": (row("regression", "test", id="train-9"), "ids_are_unique"),
    "leaked texts": (leak("classification"), "test_is_not_in_train"),
    "leaked pairs": (leak("pair"), "test_is_not_in_train"),
    "leaked words": (leak("tagging"), "test_is_not_in_train"),
    "leaked contexts": (leak("span"), "test_is_not_in_train"),
    "few rows": (rows("classification", lambda found: found[:19], "test"), "rows_are_enough"),
    "lost rows": (info("classification", lambda value: value["rows"].update(train=301)), "no_row_was_lost"),
    "HTML": (
        rows("classification", lambda found: [r.update(text=f"<div>{r['text']}</div>") for r in found[::5]] and None),
        "markup_is_gone",
    ),
    "mojibake": (
        rows("classification", lambda found: [r.update(text=f"CafÃ© {r['text']}") for r in found[::9]] and None),
        "encoding_is_intact",
    ),
    "a label that is NaN": (row("regression", label=float("nan")), "rows_are_well_formed"),
    "labels as texts": (row("regression", label="3.5"), "rows_are_well_formed"),
    "labels all alike": (
        rows("regression", lambda found: [r.update(label=1) for r in found] and None),
        "labels_differ",
    ),
    "I- after O": (row("tagging", tags=["O", "I-PER", "I-PER", "O", "B-PER", "O"]), "tags_are_in_order"),
    "I- of another type": (row("tagging", tags=["O", "B-PER", "I-LOC", "O", "B-PER", "O"]), "tags_are_in_order"),
    "too few tags": (row("tagging", tags=["O", "B-PER"]), "tags_are_in_order"),
    "an unknown tag": (row("tagging", tags=["O", "B-ORG", "I-ORG", "O", "B-PER", "O"]), "labels_are_known"),
    "words that are no texts": (row("tagging", words=["a", 2, "c", "d", "e", "f"]), "rows_are_well_formed"),
    "a shifted offset": (row("span", answers=[ANSWER]), "answers_stand_at_their_offsets"),
    "an answer not in the text": (
        row("span", answers=[{"text": "nowhere", "start": 0}]),
        "answers_stand_at_their_offsets",
    ),
    "an answer without start": (row("span", answers=[{"text": "x6"}]), "rows_are_well_formed"),
}


@pytest.mark.parametrize("kind", ROWS)
def test_sound_rows_of_each_kind_pass(kind: str, copy_of, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = gate_task.run(small_params(), copy_of("task"), kind)
    assert (metrics["kind"], metrics["warnings"]) == (kind, 0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_rows_is_named(fault: str, copy_of) -> None:
    artifacts = copy_of("task")
    (kind, change), expectation = FAULTS[fault]
    change(artifacts)
    with pytest.raises(BertlineError, match=expectation):
        gate_task.run(small_params(), artifacts, kind)


WARNINGS: dict[str, tuple[tuple[str, Callable[[Artifacts], object]], str]] = {
    "repeated texts": (
        rows("span", lambda found: found + [{**r, "id": f"{r['id']}b"} for r in found[:30]]),
        "texts_are_unique",
    ),
    "copies with another label": (
        rows("classification", lambda found: found + [{**r, "id": f"{r['id']}b", "label": "dog"} for r in found[:15]]),
        "copies_agree",
    ),
    "validation without a label": (rows("classification", one_label, "validation"), "validation_has_every_label"),
    "test without a label": (rows("pair", one_label, "test"), "test_has_every_label"),
}


@pytest.mark.parametrize("fault", WARNINGS)
def test_a_doubtful_thing_is_warned_of_by_name(fault: str, copy_of, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = copy_of("task")
    (kind, change), expectation = WARNINGS[fault]
    change(artifacts)
    assert gate_task.run(replace(small_params(), gate_task=GateTask(min_rows=10)), artifacts, kind)["warnings"] >= 1
    assert f"{expectation} failed" in capsys.readouterr().err


def test_the_message_tells_rows_values_and_the_fix(copy_of) -> None:
    artifacts = copy_of("task")
    change_rows(artifacts, "span", "test", lambda found: [r.update(answers=[ANSWER]) for r in found[1:5]] and None)
    with pytest.raises(BertlineError) as raised:
        gate_task.run(small_params(), artifacts, "span")
    message = str(raised.value)
    assert "answers_stand_at_their_offsets failed" in message
    assert "4 of 380 rows are not" in message
    assert "test.jsonl, line 2: \"'x6' is not at 12: ' x'\"; test.jsonl, line 3" in message
    assert "line 4" in message and "line 5" not in message, "three examples"
    assert "Correct the row in the task's source, or remove it" in message
    assert "\n" not in message


def test_a_line_that_is_no_json_is_told_with_its_number(copy_of) -> None:
    artifacts = copy_of("task")
    path = artifacts.task("pair") / "train.jsonl"
    path.write_text(path.read_text() + '{"id": "x", \n')
    with pytest.raises(BertlineError, match=r"train\.jsonl, line 301"):
        gate_task.run(small_params(), artifacts, "pair")


def test_the_leak_allowed_is_an_option(copy_of) -> None:
    artifacts = copy_of("task")
    leak("classification")[1](artifacts)
    params = small_params()
    assert gate_task.run(
        replace(params, gate_task=replace(params.gate_task, max_leaked_share=0.01)), artifacts, "classification"
    )


def test_labels_that_words_tell_nothing_of_are_not_said_to_be_shifted() -> None:
    texts = [hashed_words(f"nothing {n * 7919 % 997}") for n in range(500)]
    labels = [("a", "b")[n * 31 % 101 % 2] for n in range(500)]
    assert label_shift(texts, labels) <= 0
    assert label_shift(texts, sorted(labels)) <= 0
    assert label_shift([], []) <= 0
