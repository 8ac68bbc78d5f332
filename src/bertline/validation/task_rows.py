"""Frames of gate_task: the rows of a task as statistics and faults, one row each.

Rows are read as JSON and judged here, not through tasks/schema.py: that stops at the first fault with an exception,
a gate names every kind of fault and counts it.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bertline.base.errors import BertlineError
from bertline.base.files import JsonRow, numbered_jsonl, read_json
from bertline.base.words import words_of
from bertline.validation.frames import Frame, as_text, first, shorten, summary
from bertline.validation.label_shift import ROWS, hashed_words, label_shift, overlap, word_features
from bertline.validation.patterns import MARKUP, MOJIBAKE
from bertline.validation.row_faults import TEXTS, answers_fault, form_fault, tags_fault
from bertline.validation.task_balance import columns_swapped, halves, imbalance, off_scale

SPLITS = ("train", "validation", "test")
_BATCH = 4096
_SIGN = re.compile(r"[^\w\s.,;:!?'\"()\[\]-]")
_NO_PUNCTUATION = frozenset("*/\\#@%&")  # though Unicode says so
_TAGGED_WORDS = 50_000
_NAMED = 10  # labels in a message


@dataclass
class _Totals:
    """What is counted over all rows of a task."""

    labels: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})
    rows: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    # Of the first training rows, for label_shift: hashed words, overlaps of two texts; of tagging, word by word.
    words: list[list[int]] = field(default_factory=list)
    overlaps: list[list[int]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)  # split -> why it cannot be read to its end


def task_frames(directory: Path) -> dict[str, Frame]:
    """The frames of a task directory.

    Returns:
        rows: a row a row of the task: fault, tags_fault, answers_fault, characters, copy_of, in_train, other_label.
        splits: a row a split: rows there, rows that task.json tells of, the share that stands in train too, imbalance
            of the labels, fault.
        labels: a row a label of a split, with its count and whether task.json lists it.
        task: one row: kind, label sets, shares.

    Raises:
        BertlineError: task.json is missing or no JSON.
    """
    info = read_json(directory / "task.json")
    if not isinstance(info, dict) or info.get("kind") not in TEXTS:
        fix = "Build the task anew with `dvc repro task`"
        raise BertlineError("names no known kind of task", where=str(directory / "task.json"), fix=fix)
    totals = _Totals()
    parts = [_rows(directory / f"{split}.jsonl", split, info, totals) for split in SPLITS]
    rows = _compare(pd.concat(parts, ignore_index=True), info["kind"])
    imbalances = imbalance(totals.labels) if info["kind"] not in ("regression", "span") else {}
    recorded = info["rows"] if isinstance(info.get("rows"), dict) else {}
    leaks = {split: rows["row"][(rows["split"] == split) & (rows["in_train"] != "")] for split in SPLITS}
    told = [
        f"{len(found):,} of {totals.rows[split]:,} rows of {split}, as {found.iloc[0]}"
        for split, found in leaks.items()
        if len(found)
    ]
    splits = [
        {
            "split": split,
            "fault": totals.unread.get(split, ""),
            "rows": totals.rows[split],
            "leaked_share": len(leaks[split]) / max(totals.rows[split], 1),
            "imbalance": imbalances.get(split, 0.0),
            "rows_lost": "" if recorded.get(split) == totals.rows[split] else f"task.json: {recorded.get(split)}",
        }
        for split in SPLITS
    ]
    return {
        "splits": Frame(pd.DataFrame(splits), "split", {"leaked_share": told}),
        "rows": Frame(rows.drop(columns=["text_hash", "leak_hash", "split", "lopsided"]), "row"),
        "labels": _labels(info, totals),
        "task": _task(info, rows, totals),
    }


def _rows(path: Path, split: str, info: Mapping[str, Any], totals: _Totals) -> pd.DataFrame:
    """Statistics of the rows of one split; adds to the totals."""
    kind = info["kind"]
    found: list[dict[str, Any]] = []
    for numbered in _batches(_readable(path, split, totals)):
        texts = [_text(row, kind) for _, row in numbered]
        _look_for("markup", MARKUP, texts, totals)
        _look_for("mojibake", MOJIBAKE, texts, totals)
        if split == "train":
            _keep_for_shift([row for _, row in numbered], texts, kind, totals)
        for (number, row), text in zip(numbered, texts, strict=True):
            label = _count_labels(row, kind, totals.labels[split])
            found.append(
                {"row": f"{path.name}, line {number}", "split": split, **_describe(row, kind, split, text, label)}
            )
    totals.rows[split] = len(found)
    return pd.DataFrame(found, columns=["row", "split", *_COLUMNS])


def _readable(path: Path, split: str, totals: _Totals) -> Iterator[tuple[int, JsonRow]]:
    """The rows of a file with the numbers of their lines, up to one that cannot be read."""
    try:
        yield from numbered_jsonl(path)
    except BertlineError as error:
        totals.unread[split] = f"{Path(error.where).name}: {error.what}"


def _keep_for_shift(rows: Sequence[JsonRow], texts: Sequence[str], kind: str, totals: _Totals) -> None:
    """Keep the features and labels of the first training rows that label_shift reads."""
    for row, text in zip(rows, texts, strict=True):
        if len(totals.words) >= (ROWS if kind != "tagging" else _TAGGED_WORDS):
            break
        words, tags = row.get("words"), row.get("tags")
        if kind != "tagging":
            totals.words.append(hashed_words(text))
            if "text_pair" in row:
                totals.overlaps.append(overlap(str(row.get("text")), str(row["text_pair"])))
        elif isinstance(words, list) and isinstance(tags, list) and len(words) == len(tags):
            totals.words += [word_features(str(word)) for word in words]
            totals.tags += map(str, tags)


_TEXT_COLUMNS = ("tags_fault", "answers_fault", "same_text", "label", "text_hash", "leak_hash")
_COLUMNS = ("id", "fault", *_TEXT_COLUMNS, "characters", "words", "answered", "lopsided")


def _describe(row: JsonRow, kind: str, split: str, text: str, label: str) -> dict[str, Any]:
    """One row of frame rows, without what is told by comparing rows."""
    fault = form_fault(row, kind)
    text_pair = str(row.get("text_pair") or "")
    return {
        "id": f"{split}: {row.get('id', '')}",  # unique in its split: files of a user's may each count from 0
        "fault": fault,
        "tags_fault": tags_fault(row["words"], row["tags"]) if kind == "tagging" and not fault else "",
        "answers_fault": answers_fault(row["context"], row["answers"]) if kind == "span" and not fault else "",
        "same_text": shorten(text_pair) if text_pair and text_pair == row.get("text") else "",
        "label": label,
        "answered": bool(row.get("answers")),
        "lopsided": math.log((1 + len(str(row.get("text")))) / (1 + len(text_pair))) if text_pair else math.nan,
        "characters": len(text),
        "words": len(text.split()),
        "text_hash": _hash(text),
        "leak_hash": _hash(str(row["context"])) if kind == "span" and not fault else _hash(text),
    }


def _hash(text: str) -> str:
    """A hash of the words in lower case and of the signs: what two copies of a text have in common.

    Punctuation may differ; an emoji, or what tells C# from C++ and 2 * 3 from 2 + 3, may not.
    """
    signs = (sign for sign in _SIGN.findall(text) if sign in _NO_PUNCTUATION or unicodedata.category(sign)[0] == "S")
    normalised = " ".join([*words_of(text), *signs]) or text
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


def _compare(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Add what is told by comparing rows.

    copy_of: the first row of the split with the same text; in_train: for validation and test, the training row with
    the same text (span: the same context); other_label: a copy with another label than the first; off_scale: a target
    of a regression that is far from all others.
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
        off_scale=off_scale(rows["label"]) if kind == "regression" else "",
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
        "labels_not_in_train": _listed(known - set(train)),
        "labels_not_in_validation": _listed(set(train) - set(totals.labels["validation"])),
        "labels_not_in_test": _listed(set(train) - set(totals.labels["test"])),
        "largest_label_share": largest[1] / max(train.total(), 1),
        "mean_characters": float(rows["characters"].mean()) if len(rows) else 0.0,
        "label_shift": _label_shift(info["kind"], rows["label"], totals),
        "columns_swapped": columns_swapped(rows),
        "answered_share": float(rows["answered"].mean()) if len(rows) else 0.0,
        "markup_share": totals.faults["markup"] / count,
        "mojibake_share": totals.faults["mojibake"] / count,
    }
    return summary(values, {**totals.examples, "largest_label_share": first([largest[0]])})


def _listed(labels: Collection[str]) -> str:
    """Labels in a message: of hundreds the first, and how many more there are."""
    more = len(labels) - _NAMED
    return ", ".join(sorted(labels)[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _label_shift(kind: str, labels: "pd.Series[str]", totals: _Totals) -> float:
    """How much speaks for labels, targets or tags that stand one place off; above 0 if anything does."""
    if kind == "span":
        return -1.0
    if kind == "tagging":
        return label_shift(totals.words, totals.tags)
    own = labels[: len(totals.words)]
    classes = halves(own) if kind == "regression" else list(own)
    features = [totals.words] + [totals.overlaps] * (len(totals.overlaps) == len(totals.words))
    return max(label_shift(feature, classes) for feature in features)
