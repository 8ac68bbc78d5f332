"""Builder "files": a task from the user's own files under data/sources, without code.

    tasks:
      sentiment:
        kind: classification
        data: {train: data/sources/reviews.csv, columns: {text: review, label: stars}}

What is read: readers.py. In the place of a path may stand an address (https://…, hf://datasets/…, mirror:…), which is
fetched once. A missing validation or test file is cut from the training rows, 10 % each, by a hash of the words.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind, Task
from bertline.base.errors import BertlineError
from bertline.base.words import normalised
from bertline.tasks.hashing import stable_hash
from bertline.tasks.published import Downloads, PublishedFile
from bertline.tasks.readers import records
from bertline.tasks.rows import COLUMNS, check_pair, check_row, check_several_labels, targets
from bertline.tasks.schema import SPLITS, Record, Row
from bertline.tasks.squad import our_answers
from bertline.tasks.tag_schemes import scheme_of, to_bio2

Located = tuple[str, Row]
_ADDRESSES = ("https://", "hf://", "mirror:")


@dataclass(frozen=True)
class _Source:
    """What the rows of one task are made with."""

    task: str
    kind: Kind
    columns: Mapping[str, str]
    params: Path

    def key(self, option: str) -> str:
        return f"{self.params}, key tasks.{self.task}.data.{option}"


def build(name: str, task: Task, artifacts: Artifacts, downloads: Downloads) -> dict[str, list[Row]]:
    """Rows of each split from the files that `task.data` names.

    Raises:
        BertlineError: a file, a column or a value is missing or wrong; names file, row and fix.
    """
    source = _Source(name, task.kind, task.data.columns, artifacts.params)
    known = ("id", *COLUMNS[task.kind], *(["text_pair"] if task.kind == "regression" else []))
    for ours in source.columns:
        if ours not in known:
            fix = f"Kind {task.kind} has: {', '.join(known)} (ours first: `ours: yours`)"
            raise BertlineError(f"no column of ours is called {ours!r}", where=source.key("columns"), fix=fix)
    located: dict[str, list[Located]] = {}
    for split in SPLITS:
        file = str(getattr(task.data, split))
        located[split] = _read(_Place(file, split, artifacts, downloads), source) if file else []
    if task.kind == "tagging":
        _read_tags(located)
    for split in SPLITS:
        _check_each(located[split], task.kind)
    # The test rows are cut first: they stay the same when a validation file is added.
    _cut(located, [split for split in ("test", "validation") if not getattr(task.data, split)], task.kind)
    labels = frozenset(label for _, row in located["train"] for label in targets(row, task.kind))
    pair = any("text_pair" in row for _, row in located["train"][:1])
    for split in SPLITS:
        for where, row in located[split]:
            check_row(row, task.kind, labels, where)
            check_pair(row, where, pair=pair)
    if located["train"]:
        check_several_labels([row for _, row in located["train"]], task.kind, located["train"][0][0])
    return {split: [row for _, row in located[split]] for split in SPLITS}


@dataclass(frozen=True)
class _Place:
    """Where the rows of a split are: a path under data/sources, or an address."""

    file: str
    split: str
    artifacts: Artifacts
    downloads: Downloads

    def path(self, source: _Source) -> Path:
        """The file on this machine, fetched if need be."""
        if self.file.startswith(_ADDRESSES):
            return self.downloads.path(PublishedFile.at(self.file), source.task)
        path = self.artifacts.root / self.file
        if not path.resolve().is_relative_to((self.artifacts.data / "sources").resolve()):
            fix = "Put the file there: DVC watches that folder, and re-runs the task when the file changes"
            raise BertlineError(f"{self.file} is not under data/sources", where=source.key(self.split), fix=fix)
        if not path.exists():
            fix = self.artifacts.fix_missing(self.file, "Put it there, or correct its path")
            raise BertlineError("file not found", where=self.file, fix=fix)
        return path


def _read(place: _Place, source: _Source) -> list[Located]:
    found = records(place.path(source), place.file, place.split)
    return [
        (record[0], _row(record, f"{place.split}-{number}", source)) for number, record in enumerate(found, start=1)
    ]


def _read_tags(located: Mapping[str, list[Located]]) -> None:
    """Turn the tags of all splits into BIO2, from the one scheme of the training rows; plain tags stay."""
    places: dict[str, str] = {}
    for where, row in located["train"]:
        for tag in _tags(row):
            places.setdefault(tag, where)
    scheme = scheme_of({tag: where for tag, where in places.items() if tag.strip()})
    for _, row in (item for some in located.values() for item in some):
        if tags := _tags(row):
            row["tags"] = to_bio2(tags, scheme)


def _tags(row: Row) -> list[str]:
    """The tags of a row; none where they are no list of texts, which the check of each row refuses."""
    tags = row["tags"]
    return tags if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) else []


def _check_each(located: Sequence[Located], kind: Kind) -> None:
    seen: dict[str, str] = {}
    for where, row in located:
        check_row(row, kind, None, where)
        if row["id"] in seen:
            fix = "Give every row an id of its own, or leave the column out"
            raise BertlineError(f"id {row['id']!r} occurs twice (first: {seen[row['id']]})", where=where, fix=fix)
        seen[row["id"]] = where


def _row(record: Record, identity: str, source: _Source) -> Row:
    where, fields = record
    row: Row = {"id": identity}
    optional = ["id", *(["text_pair"] if source.kind == "regression" else [])]
    for ours in (*COLUMNS[source.kind], *optional):
        theirs = source.columns.get(ours, ours)
        if theirs in fields:
            row[ours] = _value(ours, fields[theirs], source.kind, where)
        elif ours not in optional or ours in source.columns:
            there = ", ".join(f"{name:.40}" for name in fields)
            fix = f"Name yours in tasks.{source.task}.data.columns, as `{ours}: …`; the file has: {there}"
            raise BertlineError(f"no column {theirs!r}", where=where, fix=fix)
    return row


def _value(column: str, value: Any, kind: Kind, where: str) -> Any:
    if column == "label" and kind == "regression":
        return _number(value, where)
    if column in ("id", "label"):
        return _text_of(value)
    if column == "answers":
        return our_answers(value)
    return value


def _number(value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        fix = "Write a number, with a point before the decimals"
        raise BertlineError(f"label {str(value)[:40]!r} is not a number", where=where, fix=fix) from None


def _text_of(value: Any) -> Any:
    """Labels and ids are texts: 1 is "1", true is "true", a date as it is written, nothing and NaN are ""."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return value if isinstance(value, str | bytes | list | dict) else str(value)  # those are for the checks to refuse


def _cut(located: dict[str, list[Located]], missing: Sequence[str], kind: Kind) -> None:
    """Move a tenth of the training rows to each missing split, by a hash of the words: equal texts stay together."""
    for place, split in enumerate(missing):
        kept, cut, back = list[Located](), list[Located](), list[Located]()
        for item in located["train"]:
            chosen = stable_hash("cut", split, _content(item[1])) % (10 - place) == 0
            (cut if chosen else kept).append(item)
        known = {label for _, row in kept for label in targets(row, kind)}
        # A label that no training row is left with could not be learned: its rows go back, with the copies of them.
        lacking = {_content(row) for _, row in cut if not known.issuperset(targets(row, kind))}
        for item in cut:
            (back if _content(item[1]) in lacking else located[split]).append(item)
        located["train"] = kept + back


def _content(row: Row) -> str:
    """What makes two rows the same to gate_task: their words, whatever the case and the punctuation."""
    values = [row[column] for column in ("text", "text_pair", "context", "words") if column in row]
    text = "\n".join(" ".join(value) if isinstance(value, list) else value for value in values)
    return normalised(text) or text
