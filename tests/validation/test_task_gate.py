"""gate_task: what it says, and what tells shifted labels and swapped columns; its faults are in test_faults.py."""

import json
import random
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.base.files import read_json, read_jsonl, write_json, write_jsonl
from bertline.stages import gate_task
from bertline.tasks.schema import TaskInfo, write_task
from bertline.validation.label_shift import hashed_words, label_shift, overlap, word_features
from bertline.validation.task_balance import columns_swapped, halves, imbalance, off_scale
from bertline.validation.task_rows import task_frames
from clean_run import PARAMS
from faults import tasks


def test_the_message_tells_rows_values_and_the_fix(clean_copy: Artifacts) -> None:
    answer = {"text": "Nowhere", "start": 12}
    tasks.rows(lambda found: [row.update(answers=[answer]) for row in found[1:5]] and None, "test")(
        clean_copy, "questions"
    )
    with pytest.raises(BertlineError) as raised:
        gate_task.run(PARAMS, clean_copy, "questions")
    message = str(raised.value)
    assert "answers_stand_at_their_offsets failed" in message
    assert "4 of" in message and "rows are not" in message
    assert "test.jsonl, line 2: \"'Nowhere' is not at 12: " in message and "test.jsonl, line 3" in message
    assert "line 4" in message and "line 5" not in message, "three examples"
    assert "Correct the row in the task's source, or remove it" in message
    assert "\n" not in message


def test_a_line_that_is_no_json_is_told_with_its_number(clean_copy: Artifacts) -> None:
    path = clean_copy.task("pairs") / "train.jsonl"
    path.write_text(path.read_text() + '{"id": "x", \n')
    with pytest.raises(BertlineError, match=r"splits_can_be_read.*train\.jsonl, line 601"):
        gate_task.run(PARAMS, clean_copy, "pairs")


def test_a_row_is_told_by_its_line_where_blank_lines_are_before_it(tmp_path: Path) -> None:
    write_json(tmp_path / "task.json", {"kind": "classification", "labels": ["a"]})
    for split in tasks.SPLITS:
        rows = (json.dumps({"id": f"{split}-{n}", "text": f"{split} {n}", "label": "a"}) for n in range(2))
        (tmp_path / f"{split}.jsonl").write_text("\n\n\n".join(rows))
    found = task_frames(tmp_path)["rows"].table
    assert found["row"].tolist() == [f"{split}.jsonl, line {number}" for split in tasks.SPLITS for number in (1, 4)]


def test_ids_that_begin_anew_in_each_split_pass(clean_copy: Artifacts) -> None:
    for task in tasks.TEXTS:
        number = tasks.rows(
            lambda found: [row.update(id=str(n)) for n, row in enumerate(found)] and None, *tasks.SPLITS
        )
        number(clean_copy, task)
        assert gate_task.run(PARAMS, clean_copy, task)["warnings"] == 0


def test_the_leak_allowed_is_an_option(clean_copy: Artifacts) -> None:
    tasks.leaked(clean_copy, "topics")
    share = task_frames(clean_copy.task("topics"))["splits"].table["leaked_share"].max()
    allowed, refused = (
        replace(PARAMS, gate_task=replace(PARAMS.gate_task, max_leaked_share=share + more)) for more in (0.001, -0.001)
    )
    assert gate_task.run(allowed, clean_copy, "topics")
    with pytest.raises(BertlineError, match=r"test_is_not_in_train failed.* of .* rows of test, as test\.jsonl, line"):
        gate_task.run(refused, clean_copy, "topics")


def test_a_small_test_set_that_is_all_in_a_large_train_set_is_all_leaked(tmp_path: Path) -> None:
    texts = [f"row number {number}" for number in range(1000)]
    rows = {"train": texts[:950], "validation": texts[950:], "test": texts[:50]}
    write_json(tmp_path / "task.json", {"kind": "classification", "labels": ["a"]})
    for split, some in rows.items():
        write_jsonl(tmp_path / f"{split}.jsonl", [{"id": text, "text": text, "label": "a"} for text in some])
    assert task_frames(tmp_path)["splits"].table["leaked_share"].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2 + 3", "2 * 3", False),
        ("I know C++", "I know C#", False),
        ("that film 😀", "that film 😡", False),
        ("10 % off", "$10 off", False),
        ("It rains, again!", "it rains - again", True),
        ("a «quoted» word…", "a quoted word", True),
    ],
)
def test_texts_that_differ_in_signs_are_others_and_in_punctuation_are_the_same(
    tmp_path: Path, one: str, other: str, same: bool
) -> None:
    write_json(tmp_path / "task.json", {"kind": "classification", "labels": ["a"]})
    for split, text in {"train": one, "validation": "something else", "test": other}.items():
        write_jsonl(tmp_path / f"{split}.jsonl", [{"id": "1", "text": text, "label": "a"}])
    assert (task_frames(tmp_path)["splits"].table["leaked_share"].max() > 0) == same


def test_words_that_tell_of_the_next_tag_are_let_pass_by_an_option(clean_copy: Artifacts) -> None:
    draw = random.Random(5)

    def row(number: int) -> dict[str, Any]:
        words, tags = list[str](), list[str]()
        for _ in range(8):
            named = draw.random() < 0.2
            word = draw.choice(["seen", "near", "home"])
            words += ["mr", "".join(draw.choices("abcdefghij", k=7))] if named else [word]
            tags += ["O", "B-PER"] if named else ["O"]
        return {"id": str(number), "words": words, "tags": tags}

    sizes = {"train": 1500, "validation": 60, "test": 60}
    rows = {split: [row(number) for number in range(size)] for split, size in sizes.items()}
    write_task(clean_copy.task("names"), TaskInfo.of("names", "tagging", rows, "made up"), rows)
    repeated = replace(PARAMS.gate_task, max_leaked_share=1.0)
    with pytest.raises(BertlineError, match=r"labels_stand_with_their_texts.*raise gate_task\.max_label_shift"):
        gate_task.run(replace(PARAMS, gate_task=repeated), clean_copy, "names")
    allowed = replace(repeated, max_label_shift=0.5)
    assert gate_task.run(replace(PARAMS, gate_task=allowed), clean_copy, "names")


def test_a_text_of_a_hundred_thousand_characters_passes_where_that_is_allowed(clean_copy: Artifacts) -> None:
    """A book in one row is no fault for whoever has books: the bound is an option, and the message names it."""
    tasks.row(text="word " * 30_000)(clean_copy, "topics")
    with pytest.raises(BertlineError, match=r"texts_are_of_normal_length failed.*raise gate_task\.max_characters"):
        gate_task.run(PARAMS, clean_copy, "topics")
    allowed = replace(PARAMS.gate_task, max_characters=200_000)
    assert gate_task.run(replace(PARAMS, gate_task=allowed), clean_copy, "topics")


def test_a_text_that_differs_in_a_mark_from_a_training_row_is_no_leak_of_it(tmp_path: Path) -> None:
    write_json(tmp_path / "task.json", {"kind": "classification", "labels": ["a"]})
    for split, texts in {"train": ["दिन में"], "validation": ["दीन में"], "test": ["«दिन» में।"]}.items():
        write_jsonl(tmp_path / f"{split}.jsonl", [{"id": "1", "text": text, "label": "a"} for text in texts])
    found = task_frames(tmp_path)["rows"].table
    assert found["in_train"].tolist() == ["", "", "train.jsonl, line 1"]


def test_of_hundreds_of_labels_without_a_row_to_score_them_the_message_names_a_few(
    clean_copy: Artifacts, capfd: pytest.CaptureFixture[str]
) -> None:
    """By name they are a page, which hides what else is said."""
    directory = clean_copy.task("topics")
    names = [f"label {n:03}" for n in range(300)]
    info = read_json(directory / "task.json")
    train = [{"id": f"new {n}", "text": f"About {name}.", "label": name} for n, name in enumerate(names)]
    rows = [*read_jsonl(directory / "train.jsonl"), *train]
    write_jsonl(directory / "train.jsonl", rows)
    info["rows"]["train"] = len(rows)
    write_json(directory / "task.json", info | {"labels": sorted([*info["labels"], *names])})
    gate_task.run(PARAMS, clean_copy, "topics")
    [said] = [line for line in capfd.readouterr().err.splitlines() if "test_has_every_label" in line]
    assert "label 000, label 001" in said and "label 009 and 290 more. Add rows of these labels" in said


def test_labels_that_words_tell_nothing_of_are_not_said_to_be_shifted() -> None:
    texts = [hashed_words(f"nothing {n * 7919 % 997}") for n in range(500)]
    labels = [("a", "b")[n * 31 % 101 % 2] for n in range(500)]
    assert label_shift(texts, labels) <= 0
    assert label_shift(texts, sorted(labels)) <= 0
    assert label_shift([], []) <= 0


def test_contrary_twins_are_not_said_to_be_shifted() -> None:
    """As in WNLI: each text is there twice, once in each half, with contrary labels."""
    draw = random.Random(3)
    rows = [(hashed_words(f"subject{n} verb{n} object{n}"), draw.choice("ab")) for n in range(400)]
    twins = [(text, "b" if label == "a" else "a") for text, label in rows]
    draw.shuffle(twins)
    texts, labels = zip(*rows, *twins, strict=True)
    assert label_shift(texts, labels) <= 0


def test_labels_of_hundreds_of_kinds_are_told_in_little_memory_and_shifted_ones_are_found() -> None:
    """By 16,384 words, 600 kinds of label had taken 1.4 GB."""
    draw = random.Random(5)
    labels = [str(draw.randrange(600)) for _ in range(2400)]
    texts = [hashed_words(f"about{label} like{label} number{draw.randrange(4000)}") for label in labels]
    tracemalloc.start()
    try:
        own, shifted = label_shift(texts, labels), label_shift(texts[1:], labels[:-1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert own <= 0 < shifted
    assert label_shift(texts[:-1], labels[1:]) > 0, "whichever way"
    assert peak < 60e6


def test_an_unseen_word_is_known_by_its_shape() -> None:
    assert word_features("Anna")[1] == word_features("Bertram")[1] != word_features("anna")[1]
    assert word_features("x_1")[1] == word_features("value_27")[1]
    assert overlap("The cat sat.", "the CAT ran") == [6] and overlap("", "") == [0]


def test_columns_are_swapped_only_where_lengths_say_so_clearly() -> None:
    rows = pd.DataFrame({"split": ["train"] * 50 + ["test"] * 50, "lopsided": [1.0, 1.2] * 25 + [-0.9, -1.1] * 25})
    assert columns_swapped(rows) == "test"
    assert columns_swapped(rows.assign(lopsided=[1.0, -0.9] * 50)) == ""
    assert columns_swapped(rows.assign(lopsided=float("nan"))) == ""
    assert columns_swapped(rows.assign(lopsided=[0.1] * 50 + [-0.1] * 50)) == "", "of nearly one length"
    assert columns_swapped(rows.assign(lopsided=[1.0, -1.1] * 25 + [-0.9] * 50)) == "", "train says nothing"
    assert columns_swapped(rows.assign(lopsided=[1.0, 1.2] * 25 + [-2.0, 1.5] * 25)) == "", "nor these rows"


def test_targets_of_one_scale_are_left_alone() -> None:
    assert set(off_scale(pd.Series([str(n) for n in range(100)]))) == {""}
    assert off_scale(pd.Series(["1", "2", "3", "4", "5000"])).tolist() == ["", "", "", "", "5000"]
    assert set(off_scale(pd.Series(["2.5"] * 9))) == set(off_scale(pd.Series([*["2.5"] * 9, "9"]))) == {""}
    assert off_scale(pd.Series(["1000", "1001", "1002", "1003", "1500"])).tolist()[3:] == ["", "1500"]


def test_targets_fall_into_two_classes_at_their_median() -> None:
    assert halves(pd.Series(["1", "2", "2", "3"])) == ["low", "low", "low", "high"]


def test_balance_allows_what_chance_may_do_to_a_small_split() -> None:
    counts = {"train": Counter(a=500, b=500), "validation": Counter(a=7, b=3)}
    found = imbalance({**counts, "test": Counter(a=900)})
    assert found["validation"] == 0
    assert 0.4 < found["test"] < 0.5
