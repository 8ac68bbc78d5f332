"""The form of a task on disk, `data/tasks/T/`: task.json and {train,validation,test}.jsonl, one schema a kind.

Some benchmarks have more: test_mismatched.jsonl (MNLI), and submission/NAME.jsonl, rows without labels for the
leaderboard.

| kind | a row |
|---|---|
| classification | id, text, label |
| pair | id, text, text_pair, label |
| regression | id, text, [text_pair,] label (a number) |
| tagging | id, words, tags (BIO2: B-X begins an X, I-X goes on with it, O is outside; or plain tags) |
| span | id, question, context, answers [{text, start}] (start: offset in characters; [] = no answer) |

Builders write through `write_task`, everything else reads through `TaskInfo.read` and `read_rows`; both check
every row, so that what is wrong is said with file, row and fix, before any training.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_directory, read_json, read_jsonl, write_json, write_jsonl

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]

SPLITS = ("train", "validation", "test")
SUBMISSION = "submission"

METRICS: Mapping[Kind, tuple[str, ...]] = {
    "classification": ("accuracy", "f1_macro", "matthews"),
    "pair": ("accuracy", "f1_macro", "matthews"),
    "regression": ("spearman", "pearson"),
    "tagging": ("f1", "precision", "recall", "accuracy"),
    "span": ("f1", "exact_match"),
}
"""Metrics of each kind, the primary one first. Tagging: of whole entities, and accuracy of words."""

COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "pair": ("text", "text_pair", "label"),
    "regression": ("text", "label"),
    "tagging": ("words", "tags"),
    "span": ("question", "context", "answers"),
}
"""What a row of each kind has beside its id; the last is what is to be predicted."""


@dataclass(frozen=True)
class TaskInfo:
    """What task.json says of a task.

    Attributes:
        name: the T of task@T.
        kind: decides the head, the rows and the metrics.
        labels: sorted; a label's place is its class number. Empty for regression and span.
        metric: the primary metric, higher is better.
        metrics: all metrics, the primary one included.
        pair: rows have a second text.
        rows: split -> number of rows; a submission's rows are not counted.
        source: where the rows come from, in words.
        positive: the label that metric f1 is of, for classification and pair; empty: there is no such metric.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    metric: str
    metrics: tuple[str, ...]
    pair: bool
    rows: Mapping[str, int]
    source: str
    positive: str = ""

    @property
    def test_splits(self) -> tuple[str, ...]:
        """The splits that are scored: `test`, and what a benchmark tests beside it (MNLI's `test_mismatched`)."""
        return tuple(split for split in self.rows if split.startswith("test"))

    @classmethod
    def of(
        cls,
        name: str,
        kind: Kind,
        rows: Rows,
        source: str,
        *,
        metrics: Sequence[str] = (),
        positive: str = "",
    ) -> "TaskInfo":
        """Describe a task by its rows; the labels are those that occur in the training rows.

        `metrics`, the primary one first, are those of the kind unless a benchmark has its own.
        """
        train = rows["train"]
        labels = {label for row in train for label in targets(row, kind)}
        counts = {split: len(some) for split, some in rows.items()}
        pair = kind == "pair" or (kind == "regression" and bool(train) and "text_pair" in train[0])
        chosen = tuple(metrics) or METRICS[kind]
        return cls(name, kind, tuple(sorted(labels)), chosen[0], chosen, pair, counts, source, positive)

    @classmethod
    def read(cls, directory: Path) -> "TaskInfo":
        """Read and check `directory`/task.json.

        Raises:
            BertlineError: the file is missing, is not JSON, or lacks a field.
        """
        path = directory / "task.json"
        value = read_json(path)
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if not isinstance(value, dict) or name not in value]
        if missing:
            raise BertlineError(f"no field {missing[0]!r}", where=str(path), fix=_REBUILD)
        if value["kind"] not in get_args(Kind):
            raise BertlineError(f"unknown kind {value['kind']!r}", where=str(path), fix=_REBUILD)
        chosen = {name: value[name] for name in names}
        return cls(**chosen | {"labels": tuple(value["labels"]), "metrics": tuple(value["metrics"])})

    def write(self, directory: Path) -> None:
        """Write `directory`/task.json."""
        write_json(directory / "task.json", asdict(self))


def targets(row: Row, kind: Kind) -> set[str]:
    """The labels of a row: its label, its tags, or none."""
    if kind in ("classification", "pair"):
        return {row["label"]}
    return set(row["tags"]) if kind == "tagging" else set()


def check_several_labels(rows: Sequence[Row], kind: Kind, where: str) -> None:
    """Refuse training rows that all have one label, one number or no answer: there is nothing to learn from them.

    Numbers that fp32 does not tell apart are one number.

    Raises:
        BertlineError: they do; at `where`, file and row of the first one.
    """
    if kind == "span":
        if not any(row["answers"] for row in rows):
            what = f"none of the {len(rows)} training questions has an answer, this one first"
            fix = "Add questions with an answer: there is nothing to learn from these"
            raise BertlineError(what, where=where, fix=fix)
        return
    found = {label for row in rows for label in targets(row, kind) or {str(row["label"])}}
    if len(found) == 1:
        what = f"all {len(rows)} training rows have the one label {found.pop()!r:.60}, this one first"
        raise BertlineError(what, where=where, fix="Add rows with another label: there is nothing to learn from these")
    if kind == "regression":
        _check_spread([row["label"] for row in rows], where)


def _check_spread(values: Sequence[float], where: str) -> None:
    low, high = min(values), max(values)
    if high - low < max(_LEAST_SPREAD * max(abs(low), abs(high)), 1 / _LARGEST):
        what = f"all labels lie between {low!r} and {high!r}, too close for the single precision of a network"
        raise BertlineError(what, where=where, fix="Subtract what they share, as the year or the day from seconds")


_LARGEST = 1e30  # of numbers: fp32 ends at 3e38
_LEAST_SPREAD = 1e-5  # of numbers, as a share of the largest: in fp32 it is some hundred steps
_REBUILD = "Build the task anew with `dvc repro task`"


def write_task(directory: Path, info: TaskInfo, rows: Rows, submission: Rows | None = None) -> None:
    """Check every row and write the whole task directory atomically.

    Raises:
        BertlineError: a row does not fit the kind; nothing is written then.
    """
    unlabelled = {f"{SUBMISSION}/{name}": some for name, some in (submission or {}).items()}
    for name, some in {**rows, **unlabelled}.items():
        _check_rows(some, info, str(directory / f"{name}.jsonl"), labelled=name in rows)
    with atomic_directory(directory) as temporary:
        for name, some in {**rows, **unlabelled}.items():
            write_jsonl(temporary / f"{name}.jsonl", some)
        info.write(temporary)


def read_rows(directory: Path, split: str) -> list[Row]:
    """Read and check the rows of one split of a task; `submission/NAME` is one without labels.

    Raises:
        BertlineError: a file is missing, or a row does not fit the task; names file and line.
    """
    return _read(directory, split, labelled=not split.startswith(f"{SUBMISSION}/"))


def read_inputs(directory: Path, split: str) -> list[Row]:
    """Read the rows of one split of a task without what is to be predicted: no label, tags or answers are in them.

    Raises:
        BertlineError: as read_rows.
    """
    return _read(directory, split, labelled=False)


def _read(directory: Path, split: str, *, labelled: bool) -> list[Row]:
    info = TaskInfo.read(directory)
    path = directory / f"{split}.jsonl"
    target = "" if labelled else COLUMNS[info.kind][-1]
    rows = [{key: value for key, value in row.items() if key != target} for row in read_jsonl(path)]
    _check_rows(rows, info, str(path), labelled=labelled)
    return rows


def _check_rows(rows: Iterable[Row], info: TaskInfo, file: str, *, labelled: bool) -> None:
    """Check the rows of one split against a task: each by itself, and that ids are unique."""
    seen: dict[str, str] = {}
    labels = frozenset(info.labels)
    for number, row in enumerate(rows, start=1):
        where = f"{file}, line {number}"
        check_row(row, info.kind, labels, where, labelled=labelled)
        check_pair(row, where, pair=info.pair)
        if row["id"] in seen:
            fix = "Give every row of the split an id of its own"
            raise BertlineError(f"id {row['id']!r} occurs twice (first in {seen[row['id']]})", where=where, fix=fix)
        seen[row["id"]] = where


def check_row(row: Row, kind: Kind, labels: frozenset[str] | None, where: str, *, labelled: bool = True) -> None:
    """Check one row against its kind.

    Args:
        row: the row.
        kind: the kind of its task.
        labels: the labels a row may have; None: any.
        where: file and line, for messages.
        labelled: the row has its label, tags or answers.

    Raises:
        BertlineError: what is wrong with the row, where, and the fix.
    """
    for column in ("id", *COLUMNS[kind][: None if labelled else -1]):
        if column not in row:
            fix = f"A row of kind {kind} has: id, {', '.join(COLUMNS[kind])}"
            raise BertlineError(f"no column {column!r}", where=where, fix=fix)
    for column in ("id", "text", "text_pair", "question", "context"):
        if column in row:
            _check_text(row[column], column, where)
    if not labelled:
        return
    if kind in ("classification", "pair"):
        _check_label(row["label"], "label", labels, where)
    elif kind == "regression":
        _check_number(row["label"], where)
    elif kind == "tagging":
        _check_tags(row["words"], row["tags"], labels, where)
    else:
        _check_answers(row["context"], row["answers"], where)


def check_pair(row: Row, where: str, *, pair: bool) -> None:
    """Check that a row has a second text if the first training row has one, and only then.

    Raises:
        BertlineError: it is the other way round.
    """
    if ("text_pair" in row) != pair:
        what = "no second text, where the first training row has one" if pair else "a second text, unlike the first row"
        raise BertlineError(f"text_pair: {what}", where=where, fix="Give all rows of a task the same columns")


def _check_text(value: object, column: str, where: str) -> str:
    if not isinstance(value, str):
        raise BertlineError(f"{column} is {value!r:.60}, not a text", where=where, fix="Write it in quotes")
    if not value.strip():
        raise BertlineError(f"{column} is empty", where=where, fix="Fill it in, or remove the row")
    check_characters(value, column, where)
    return value


def check_characters(value: str, column: str, where: str) -> None:
    """Check that a text can be written: JSON can name halves of a character (an emoji that was cut in two).

    Raises:
        BertlineError: it holds one.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = value[error.start].encode("unicode_escape").decode()
        fix = "Remove it, or cut the text elsewhere"
        raise BertlineError(f"{column} holds half a character ({half})", where=where, fix=fix) from None


def _check_label(value: object, column: str, labels: frozenset[str] | None, where: str) -> None:
    value = _check_text(value, column, where)
    if any(unicodedata.category(character) == "Cc" for character in value):
        fix = "Remove it; it may be left of a Windows line end (\\r)"
        raise BertlineError(f"{column} {value!r:.60} holds a control character", where=where, fix=fix)
    if labels is not None and value not in labels:
        known = ", ".join(f"{label:.40}" for label in sorted(labels)[:20]) or "none"
        fix = f"Use one that occurs in the training rows: {known}"
        raise BertlineError(f"unknown {column} {value!r:.60}", where=where, fix=fix)


def _check_number(value: object, where: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(float(str(value))) < _LARGEST:  # NaN is not
        fix = "Write a finite number, in another unit if it must be so large"
        raise BertlineError(f"label {value!r:.60} is not a number below {_LARGEST:g}", where=where, fix=fix)


def _check_tags(words: object, tags: object, labels: frozenset[str] | None, where: str) -> None:
    if not isinstance(words, list) or not isinstance(tags, list):
        raise BertlineError("words and tags are not two lists", where=where, fix='Write {"words": […], "tags": […]}')
    if not words:
        raise BertlineError("words is empty", where=where, fix="Fill it in, or remove the row")
    if len(words) != len(tags):
        what = f"{len(words)} words but {len(tags)} tags"
        raise BertlineError(what, where=where, fix="Give every word one tag")
    before = "O"
    for word, tag in zip(words, tags, strict=True):
        _check_text(word, "word", where)
        _check_label(tag, "tag", labels, where)
        if tag.startswith("I-") and before not in (tag, f"B-{tag[2:]}"):
            raise BertlineError(f"{tag} at {word!r} follows {before}", where=where, fix=f"Begin it with B-{tag[2:]}")
        before = tag


def _check_answers(context: str, answers: object, where: str) -> None:
    shape = 'Write "answers": [{"text": …, "start": offset in characters}], or [] for no answer'
    if not isinstance(answers, list):
        columns = ", nor are text and answer_start lists of one length" if isinstance(answers, dict) else ""
        raise BertlineError(f"answers is not a list{columns}", where=where, fix=shape)
    for answer in answers:
        if not isinstance(answer, dict) or not {"text", "start"} <= answer.keys():
            raise BertlineError("an answer lacks text or start", where=where, fix=shape)
        text, start = answer["text"], answer["start"]
        _check_text(text, "answer", where)
        if not isinstance(start, int) or isinstance(start, bool):
            raise BertlineError(f"start is {start!r}, not a whole number", where=where, fix=shape)
        if start < 0 or context[start : start + len(text)] != text:
            there = context[max(start, 0) : max(start, 0) + len(text)]
            found = context.find(text)
            fix = f"Set start to {found}" if found >= 0 else "Take the answer verbatim from the context"
            what = f"answer {text[:40]!r} is not at offset {start} ({there[:40]!r} is)"
            raise BertlineError(what, where=where, fix=fix)
