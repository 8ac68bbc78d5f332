"""Inputs from a file of rows, in any form that a task's rows may have (tasks/readers.py), a few thousand at a time.

    for answer in predict_file(predictor, Path("new.csv"), {"text": "review"}):
        …       # {"id": …, "label": …, "score": …, …}

Labels are not needed, and not looked at.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from bertline.base.errors import BertlineError
from bertline.inference.embedding import TEXTS
from bertline.inference.inputs import Row, as_rows, input_columns
from bertline.inference.predictor import Predictor
from bertline.tasks.readers import records
from bertline.tasks.rows import check_characters
from bertline.tasks.schema import Record, TaskInfo

_TOGETHER = 4096  # rows: enough for batches of like lengths, and little memory


class InputRow(NamedTuple):
    """A row of a file.

    Attributes:
        where: file and line, for messages.
        identity: what its column "id" has; None if there is no such column.
        given: what the task's kind needs, by our names.
    """

    where: str
    identity: str | int | None
    given: Row


def predict_file(
    predictor: Predictor, path: Path, columns: Mapping[str, str], *, n_best: int
) -> Iterator[dict[str, Any]]:
    """The answers to the rows of a file, in their order, each with the row's id where the file has a column of ids.

    Args:
        predictor: who is asked.
        path: CSV, TSV, JSONL, Parquet, CoNLL, SQuAD's JSON, or the directory of a saved dataset.
        columns: our names -> those of the file, where they differ.
        n_best: list so many answers to each question (span).

    Raises:
        BertlineError: the file or a row of it cannot be read; names file and line.
    """
    how = f"Name yours in tasks.{predictor.task.name}.data.columns of params.yaml"
    for rows in _batches(path, predictor.task, columns, how):
        answers = predictor.predict([row.given for row in rows], n_best=n_best)
        for row, answer in zip(rows, answers, strict=True):
            yield ({} if row.identity is None else {"id": row.identity}) | answer


def read_column(path: Path, column: str) -> list[str]:
    """The texts of one column of a file of rows.

    Raises:
        BertlineError: the file or a row of it cannot be read, or a text is empty; names file and line.
    """
    how = "Give its name with --column"
    return [row.given["text"] for rows in _batches(path, TEXTS, {"text": column}, how) for row in rows]


def _batches(path: Path, task: TaskInfo, columns: Mapping[str, str], how: str) -> Iterator[list[InputRow]]:
    """The rows of a file, some thousands at a time; `how` is what to do about a column that is not there."""
    found = records(path, str(path), "test")
    while some := list(islice(found, _TOGETHER)):
        yield [_input(record, task, columns, how) for record in some]


def _input(record: Record, task: TaskInfo, columns: Mapping[str, str], how: str) -> InputRow:
    where, fields = record
    names = input_columns(task.kind, task.pair)
    if names == ("words",) and columns.get("words", "words") not in fields:
        names = ("text",)  # a tagger splits texts by itself
    given = {}
    for ours in names:
        theirs = columns.get(ours, ours)
        if theirs not in fields:
            raise BertlineError(f"no column {theirs!r}", where=where, fix=f"{how}; the file has: {', '.join(fields)}")
        given[ours] = fields[theirs]
    try:
        as_rows(task, [given])
    except BertlineError as error:
        raise BertlineError(error.what, where=where, fix=error.fix) from None
    identity = fields.get(columns.get("id", "id"))
    identity = identity if isinstance(identity, str | int | None) else str(identity)
    if isinstance(identity, str):
        check_characters(identity, "id", where)
    return InputRow(where, identity, given)
