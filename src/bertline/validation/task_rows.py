"""Frames of gate_task: the rows of a task as statistics and faults, one row each.

Rows are read as JSON and judged here, not through tasks/schema.py: that stops at the first fault with an exception,
a gate names every kind of fault and counts it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bertline.base.errors import BertlineError
from bertline.base.files import JsonRow, read_json, read_jsonl
from bertline.validation.frames import Frame, as_text, first, summary
from bertline.validation.label_shift import ROWS, hashed_words, label_shift
from bertline.validation.patterns import MARKUP, MOJIBAKE
from bertline.validation.row_faults import TEXTS, answers_fault, form_fault, tags_fault

SPLITS = ("train", "validation", "test")
_BATCH = 4096
_WORD = re.compile(r"\w+")


@dataclass
class _Totals:
    """What is counted over all rows of a task."""

    labels: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})
    rows: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    words: list[list[int]] = field(default_factory=list)  # hashed, of the first training rows


def task_frames(directory: Path) -> dict[str, Frame]:
    """The frames of a task directory.

    Returns:
        rows: a row a row of the task: fault, tags_fault, answers_fault, characters, copy_of, in_train, other_label.
        splits: a row a split: rows there, and rows that task.json tells of.
        labels: a row a label of a split, with its count and whether task.json lists it.
        task: one row: kind, label sets, shares.

    Raises:
        BertlineError: task.json is missing or no JSON, or a line of a split is no JSON.
    """
    info = read_json(directory / "task.json")
    if not isinstance(info, dict) or info.get("kind") not in TEXTS:
        fix = "Build the task anew with `dvc repro task`"
        raise BertlineError("names no known kind of task", where=str(directory / "task.json"), fix=fix)
    totals = _Totals()
    parts = [_rows(directory / f"{split}.jsonl", split, info, totals) for split in SPLITS]
    rows = _compare(pd.concat(parts, ignore_index=True))
    recorded = info["rows"] if isinstance(info.get("rows"), dict) else {}
    splits = [
        {
            "split": split,
            "rows": totals.rows[split],
            "rows_lost": "" if recorded.get(split) == totals.rows[split] else f"task.json: {recorded.get(split)}",
        }
        for split in SPLITS
    ]
    return {
        "splits": Frame(pd.DataFrame(splits), "split"),
        "rows": Frame(rows.drop(columns=["text_hash", "leak_hash", "split"]), "row"),
        "labels": _labels(info, totals),
        "task": _task(info, rows, totals),
    }


def _rows(path: Path, split: str, info: Mapping[str, Any], totals: _Totals) -> pd.DataFrame:
    """Statistics of the rows of one split; adds to the totals."""
    kind = info["kind"]
    found: list[dict[str, Any]] = []
    for numbered in _batches(enumerate(read_jsonl(path), start=1)):
        texts = [_text(row, kind) for _, row in numbered]
        _look_for("markup", MARKUP, texts, totals)
        _look_for("mojibake", MOJIBAKE, texts, totals)
        if split == "train":
            totals.words += [hashed_words(text) for text in texts[: max(ROWS - len(totals.words), 0)]]
        for (number, row), text in zip(numbered, texts, strict=True):
            label = _count_labels(row, kind, totals.labels[split])
            found.append({"row": f"{path.name}, line {number}", "split": split, **_describe(row, kind, text, label)})
    totals.rows[split] = len(found)
    return pd.DataFrame(found, columns=["row", "split", *_COLUMNS])


_COLUMNS = ("id", "fault", "tags_fault", "answers_fault", "label", "characters", "words", "text_hash", "leak_hash")


def _describe(row: JsonRow, kind: str, text: str, label: str) -> dict[str, Any]:
    """One row of frame rows, without what is told by comparing rows."""
    fault = form_fault(row, kind)
    return {
        "id": str(row.get("id", "")),
        "fault": fault,
        "tags_fault": tags_fault(row["words"], row["tags"]) if kind == "tagging" and not fault else "",
        "answers_fault": answers_fault(row["context"], row["answers"]) if kind == "span" and not fault else "",
        "label": label,
        "characters": len(text),
        "words": len(text.split()),
        "text_hash": _hash(text),
        "leak_hash": _hash(str(row["context"])) if kind == "span" and not fault else _hash(text),
    }


def _hash(text: str) -> str:
    """A hash of the letters and digits in lower case: what two copies of a text have in common."""
    normalised = " ".join(_WORD.findall(text.lower())) or text
    return blake2b(normalised.encode(errors="surrogatepass"), digest_size=12).hexdigest()


def _batches(rows: Iterator[tuple[int, JsonRow]]) -> Iterator[list[tuple[int, JsonRow]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _text(row: JsonRow, kind: str) -> str:
    """All the text that a row shows to the model."""
    values = [row.get(column) for column in TEXTS[kind]]
    texts = [" ".join(map(str, value)) if isinstance(value, list) else value for value in values]
    return "\n".join(text for text in texts if isinstance(text, str))


def _look_for(name: str, pattern: str, texts: Sequence[str], totals: _Totals) -> None:
    """Count the texts that match a pattern, and keep the first three matches."""
    clean = [text.encode(errors="replace").decode() for text in texts]
    places = pc.indices_nonzero(pc.match_substring_regex(pa.array(clean, pa.large_string()), pattern)).to_pylist()
    totals.faults[name] += len(places)
    examples = totals.examples.setdefault(f"{name}_share", [])
    matches = (re.search(pattern, clean[place]) for place in places)
    examples += first(match.group() for match in matches if match)[: 3 - len(examples)]


def _count_labels(row: JsonRow, kind: str, counts: Counter[str]) -> str:
    """Count the labels of a row; returns the one label it has as a whole, or the empty text."""
    if kind == "tagging":
        tags = row.get("tags")
        counts.update(map(str, tags) if isinstance(tags, list) else ())
    elif kind != "span":
        label = str(row.get("label", ""))
        counts[label] += 1
        return label
    return ""


def _compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Add what is told by comparing rows.

    copy_of: the first row of the split with the same text; in_train: for validation and test, the training row with
    the same text (span: the same context); other_label: a copy with another label than the first.
    """
    groups = rows.groupby(["split", "text_hash"], sort=False)
    repeated = rows.duplicated(["split", "text_hash"])
    train = rows[rows["split"] == "train"].drop_duplicates("leak_hash").set_index("leak_hash")["row"]
    leaked = rows["leak_hash"].map(train).where(rows["split"] != "train")
    contradicts = repeated & (groups["label"].transform("first") != rows["label"])
    copies = groups["row"].transform("first")
    return rows.assign(
        copy_of=copies.where(repeated, "").astype(str),
        in_train=as_text(leaked),
        other_label=copies.where(contradicts, "").astype(str),
    )


def _labels(info: Mapping[str, Any], totals: _Totals) -> Frame:
    """Frame labels; regression has none: its labels are numbers."""
    known = set(info.get("labels", []))
    listed = info["kind"] != "regression"
    table = [
        {"label": f"{label} ({split})", "count": count, "unknown": "" if label in known else label}
        for split in SPLITS
        for label, count in (sorted(totals.labels[split].items()) if listed else ())
    ]
    return Frame(pd.DataFrame(table, columns=["label", "count", "unknown"]), "label")


def _task(info: Mapping[str, Any], rows: pd.DataFrame, totals: _Totals) -> Frame:
    """The one row of frame task."""
    train = totals.labels["train"]
    count = max(len(rows), 1)
    largest = train.most_common(1)[0] if train else ("", 0)
    known = set(info.get("labels", []))
    values: dict[str, Any] = {
        "kind": info["kind"],
        "distinct_labels": len(train),
        "labels_not_in_train": ", ".join(sorted(known - set(train))),
        "labels_not_in_validation": ", ".join(sorted(set(train) - set(totals.labels["validation"]))),
        "labels_not_in_test": ", ".join(sorted(set(train) - set(totals.labels["test"]))),
        "largest_label_share": largest[1] / max(train.total(), 1),
        "mean_characters": float(rows["characters"].mean()) if len(rows) else 0.0,
        "label_shift": label_shift(totals.words, list(rows["label"][: len(totals.words)])),
        "markup_share": totals.faults["markup"] / count,
        "mojibake_share": totals.faults["mojibake"] / count,
    }
    return summary(values, {**totals.examples, "largest_label_share": first([largest[0]])})
