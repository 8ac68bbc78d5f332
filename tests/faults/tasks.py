"""Faults of the rows of a task of each kind, and the expectations of gate_task that name them."""

import json
import math
from collections.abc import Callable

from bertline.base.artifacts import Artifacts
from faults import Fault, Row, change_bytes, change_json, read_as_cp1252

SPLITS = ("train", "validation", "test")
TEXTS = {"topics": "text", "pairs": "text", "likeness": "text", "names": "words", "questions": "context"}


def read_rows(artifacts: Artifacts, task: str, split: str) -> list[Row]:
    return [json.loads(line) for line in (artifacts.task(task) / f"{split}.jsonl").read_text().splitlines()]


def change_rows(artifacts: Artifacts, task: str, split: str, edit: Callable[[list[Row]], list[Row] | None]) -> None:
    """Rewrite the rows of a split, and the number of them in task.json."""
    rows = read_rows(artifacts, task, split)
    rows = edit(rows) or rows
    path = artifacts.task(task) / f"{split}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    change_json(artifacts.task(task) / "task.json", lambda info: info["rows"].update({split: len(rows)}))


def rows(edit: Callable[[list[Row]], list[Row] | None], *splits: str):
    """A change of the rows of some splits; of train, if none is named."""

    def damage(artifacts: Artifacts, task: str) -> None:
        for split in splits or ("train",):
            change_rows(artifacts, task, split, edit)

    return damage


def row(*splits: str, **values: object):
    """The same values in three rows."""
    return rows(lambda found: [row.update(values) for row in found[4:7]] and None, *splits)


def each(edit: Callable[[Row], object], *splits: str, step: int = 1):
    return rows(lambda found: [edit(row) for row in found[::step]] and None, *splits)


def shifted(column: str):
    """The values of a column one row up."""

    def edit(found: list[Row]) -> None:
        values = [row[column] for row in found]
        for row, value in zip(found, values[1:] + values[:1], strict=True):
            row[column] = value

    return rows(edit, *SPLITS)


def leaked(artifacts: Artifacts, task: str) -> None:
    """Training rows in the test set, in capitals and with another question."""
    taken = read_rows(artifacts, task, "train")[:3]
    for number, copied in enumerate(taken):
        copied["id"] = f"leaked-{number}"
        if task == "questions":
            copied["question"] = "Another question on the same context?"
        for column in ("text", "text_pair"):
            if column in copied:
                copied[column] = copied[column].upper() + "!"
    change_rows(artifacts, task, "test", lambda found: found + taken)


def swap(row: Row) -> None:
    row["text"], row["text_pair"] = row["text_pair"], row["text"]


def one_off(row: Row) -> None:
    for answer in row["answers"]:
        answer["start"] += 1


def tags_right(row: Row) -> None:
    """The tags of a sentence one word late: in order still, at the wrong words."""
    row["tags"] = ["O", *row["tags"][:-1]]


def inside_first(row: Row) -> None:
    row["tags"] = ["I-TYPE", *row["tags"][1:]] if row["tags"] else []


def without(label: str) -> Callable[[list[Row]], list[Row]]:
    return lambda found: [row for row in found if row["label"] != label]


def most_of(label: str) -> Callable[[list[Row]], list[Row]]:
    return lambda found: [row for n, row in enumerate(found) if row["label"] == label or n % 9 == 0]


def copies(count: int, **values: object):
    return rows(lambda found: found + [{**row, "id": f"{row['id']}-b", **values} for row in found[:count]])


def info(edit: Callable[[Row], object]):
    def damage(artifacts: Artifacts, task: str) -> None:
        change_json(artifacts.task(task) / "task.json", lambda value: edit(value) and None)

    return damage


def truncated(artifacts: Artifacts, task: str) -> None:
    change_bytes(artifacts.task(task) / "train.jsonl", lambda data: data[:-30])


def in_text(edit: Callable[[str], str]):
    """A change of the text of every other training row."""

    def change(row: Row) -> None:
        row["text"] = edit(row["text"])

    return each(change, step=2)


def fault(name: str, task: str, expectation: str, damage, severity="critical") -> Fault:
    return Fault(f"{task}: {name}", "gate_task", expectation, lambda artifacts: damage(artifacts, task), task, severity)


FAULTS = [
    # Rows of any kind
    fault("a truncated file", "topics", "splits_can_be_read", truncated),
    fault("a lost file", "pairs", "splits_can_be_read", lambda a, task: (a.task(task) / "test.jsonl").unlink()),
    fault("few rows", "topics", "rows_are_enough", rows(lambda found: found[:19], "test")),
    fault("lost rows", "questions", "no_row_was_lost", info(lambda value: value["rows"].update(train=301))),
    fault("duplicate ids", "pairs", "ids_are_unique", row(id="train-0")),
    fault("duplicated rows", "names", "ids_are_unique", rows(lambda found: found + found[:20])),
    fault("null ids", "topics", "rows_are_well_formed", row(id=None)),
    fault("an empty text", "topics", "rows_are_well_formed", row("test", text="  ")),
    fault("a text that is null", "pairs", "rows_are_well_formed", row(text_pair=None)),
    fault("a dropped column", "pairs", "rows_are_well_formed", each(lambda r: r.pop("text_pair"), step=40)),
    fault("labels as numbers", "topics", "rows_are_well_formed", row(label=1)),
    fault("an endless text", "topics", "texts_are_of_normal_length", row(text="word " * 30_000)),
    fault("HTML", "topics", "markup_is_gone", in_text(lambda text: f"<div>{text}</div>")),
    fault("wikitext", "pairs", "markup_is_gone", in_text(lambda text: f"[[File]] {text}")),
    fault("mojibake", "topics", "encoding_is_intact", in_text(read_as_cp1252)),
    fault("texts twice", "topics", "texts_are_unique", copies(100), "warning"),
    fault("contradicting copies", "topics", "copies_agree", copies(40, label="numpy"), "warning"),
    *(fault("a leaked test set", task, "test_is_not_in_train", leaked) for task in TEXTS),
    # Labels
    fault("labels shifted by one", "pairs", "labels_stand_with_their_texts", shifted("label")),
    fault("targets shifted by one", "likeness", "labels_stand_with_their_texts", shifted("label")),
    fault("tags shifted by one", "names", "labels_stand_with_their_texts", each(tags_right, *SPLITS)),
    fault("a label shuffled in among the known", "topics", "labels_are_known", row(label="cow")),
    fault("an unknown label in test", "pairs", "labels_are_known", row("test", label="cow")),
    fault("a label never trained", "topics", "every_label_is_trained", rows(without("numpy"))),
    fault("one class", "topics", "labels_are_several", each(lambda row: row.update(label="numpy"))),
    fault("hardly a second class", "pairs", "labels_are_balanced", each(lambda row: row.update(label="same"))),
    fault(
        "validation lacks a label",
        "topics",
        "validation_has_every_label",
        rows(without("numpy"), "validation"),
        "warning",
    ),
    fault("test lacks a label", "topics", "test_has_every_label", rows(without("numpy"), "test"), "warning"),
    fault("test of another balance", "topics", "splits_are_of_one_balance", rows(most_of("numpy"), "test"), "warning"),
    # Pairs
    fault("columns swapped in test", "pairs", "columns_are_not_swapped", each(swap, "test")),
    fault("one text twice", "pairs", "texts_of_a_pair_differ", each(lambda row: row.update(text_pair=row["text"]))),
    # Regression
    fault("a target that is NaN", "likeness", "rows_are_well_formed", row(label=math.nan)),
    fault("a target that is infinite", "likeness", "rows_are_well_formed", row("test", label=math.inf)),
    fault("a target as text", "likeness", "rows_are_well_formed", row(label="3.0")),
    fault("a constant target", "likeness", "labels_are_several", each(lambda row: row.update(label=2.5))),
    fault("targets of two scales", "likeness", "targets_are_of_one_scale", row(label=5000.0), "warning"),
    # Tagging
    fault("I- after O", "names", "tags_are_in_order", each(inside_first, step=50)),
    fault("too few tags", "names", "tags_are_in_order", row(tags=["O"])),
    fault(
        "an unknown tag", "names", "labels_are_known", each(lambda row: row["tags"].__setitem__(0, "B-CITY"), step=50)
    ),
    fault(
        "words that are no texts",
        "names",
        "rows_are_well_formed",
        each(lambda row: row["words"].__setitem__(0, 7), step=50),
    ),
    fault(
        "no entity at all", "names", "labels_are_several", each(lambda row: row.update(tags=["O"] * len(row["tags"])))
    ),
    # Spans
    fault("answers off by one", "questions", "answers_stand_at_their_offsets", each(one_off)),
    fault(
        "an answer that is nowhere",
        "questions",
        "answers_stand_at_their_offsets",
        row(answers=[{"text": "Nowhere!", "start": 0}]),
    ),
    fault("an answer without its start", "questions", "rows_are_well_formed", row(answers=[{"text": "x"}])),
    fault("no answers", "questions", "questions_have_answers", each(lambda row: row.update(answers=[]), *SPLITS)),
    fault(
        "columns swapped",
        "questions",
        "answers_stand_at_their_offsets",
        each(lambda row: row.update(question=row["context"], context=row["question"])),
    ),
]
