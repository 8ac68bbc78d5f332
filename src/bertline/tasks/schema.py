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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_directory, read_json, read_jsonl, write_json, write_jsonl
from bertline.tasks.rows import COLUMNS, check_pair, check_row, targets

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]
Record = tuple[str, dict[str, Any]]
"""What a reader yields: file and line, for messages, and the record as the file has it."""

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
