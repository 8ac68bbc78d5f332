"""Tables of Apache Arrow: Parquet files, and directories that Hugging Face's `datasets` wrote (`save_to_disk`).

Labels that `datasets` stores as numbers (ClassLabel) come out as their names. No `datasets` is needed to read them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bertline.base.errors import BertlineError, reason
from bertline.base.files import read_json
from bertline.tasks.schema import Record

_DICT, _STATE = "dataset_dict.json", "state.json"
_BATCH = 4096
_SAVE = "Save the dataset anew"


def parquet_records(path: Path, shown: str) -> Iterator[Record]:
    """The rows of a Parquet file.

    Raises:
        BertlineError: it is none, or a text in it is not UTF-8.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield from _records(file.schema_arrow, file.iter_batches(_BATCH), shown)
    except PermissionError:
        raise
    except (pa.ArrowException, OSError) as error:  # the latter where its bytes make no sense
        what = f"not a readable Parquet file ({reason(error)})"
        raise BertlineError(what, where=shown, fix="Write it anew") from None


def dataset_records(path: Path, shown: str, split: str) -> Iterator[Record]:
    """The rows of a saved dataset; of several splits in one directory, those of `split`.

    Raises:
        BertlineError: the directory is no saved dataset, has no such split, or a text in it is not UTF-8.
    """
    if (path / _DICT).is_file():
        with _described(f"{shown}/{_DICT}"):
            splits = [str(name) for name in read_json(path / _DICT)["splits"]]
        if split not in splits:
            fix = f"Name the directory of one of its splits: {', '.join(splits)}"
            raise BertlineError(f"no split {split!r} in this dataset", where=shown, fix=fix)
        path, shown = path / split, f"{shown}/{split}"
    if not (path / _STATE).is_file():
        fix = "Name a file, or a directory that `save_to_disk` of Hugging Face's datasets wrote"
        raise BertlineError("a directory that is no saved dataset", where=shown, fix=fix)
    with _described(f"{shown}/{_STATE}"):
        files = [path / Path(entry["filename"]).name for entry in read_json(path / _STATE)["_data_files"]]
    first = 0
    for file in files:
        try:
            with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
                for where, record in _records(reader.schema, reader, shown, first):
                    first += 1
                    yield where, record
        except PermissionError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise BertlineError(f"{file.name} is not readable ({reason(error)})", where=shown, fix=_SAVE) from None


def check_columns(names: Sequence[str], where: str) -> None:
    """Refuse two columns of one name: a record keeps one of them."""
    for name in names:
        if names.count(name) > 1:
            raise BertlineError(f"two columns are called {name!r}", where=where, fix="Give each a name of its own")


@contextmanager
def _described(where: str) -> Iterator[None]:
    """Name the place where what `datasets` says of a dataset is not of its form.

    Raises:
        BertlineError: so it is.
    """
    try:
        yield
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        what = f"not as Hugging Face's datasets describes one ({type(error).__name__}: {reason(error)})"
        raise BertlineError(what, where=where, fix=_SAVE) from None


@contextmanager
def utf8_rows(where: str) -> Iterator[None]:
    """Name the rows of a table that become texts of Python here: Arrow has not looked at their bytes.

    Raises:
        BertlineError: they are no UTF-8.
    """
    try:
        yield
    except UnicodeDecodeError as error:  # not errors.not_utf8: iconv would destroy a table
        fix = "Write the file anew, from texts in UTF-8"
        raise BertlineError(f"not UTF-8 ({error.reason})", where=where, fix=fix) from None


def _records(schema: Any, batches: Any, shown: str, first: int = 0) -> Iterator[Record]:
    check_columns(schema.names, shown)
    names = _label_names(schema, shown)
    number = first
    for batch in batches:
        where = f"{shown}, rows {number + 1} to {number + len(batch)}"
        columns = [_values(batch.column(name), name, where) for name in schema.names]
        for row in zip(*columns, strict=True):
            number += 1
            named = {
                column: _named(value, names[column]) if column in names else value
                for column, value in zip(schema.names, row, strict=True)
            }
            yield f"{shown}, row {number}", named


def _values(column: Any, name: str, where: str) -> list[Any]:
    """The cells of a column in Python: dates end there with the year 9999.

    Raises:
        BertlineError: it has no such value, or a text is not UTF-8.
    """
    with utf8_rows(where):
        try:
            values: list[Any] = column.to_pylist()
        except (OverflowError, KeyError) as error:  # the latter of a time zone that is none
            what = f"column {name!r} of {column.type} holds what cannot be read ({reason(error)})"
            raise BertlineError(what, where=where, fix="Leave the column out, or write it as text") from None
        return values


def _label_names(schema: Any, shown: str) -> dict[str, list[str]]:
    """Column -> names of its numbered labels, from what `datasets` keeps in the schema."""
    found = {}
    with _described(shown):
        kept = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = (kept.get("info") or {}).get("features") or {}
        for column, feature in features.items():
            inner = feature.get("feature", feature) if isinstance(feature, Mapping) else feature
            if isinstance(inner, list):  # an older way to write a sequence
                inner = inner[0]
            if isinstance(inner, Mapping) and inner.get("_type") == "ClassLabel":
                found[column] = list(inner["names"])
    return found


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if not isinstance(value, int) or value >= len(names):
        return value
    return names[value] if value >= 0 else None  # -1 stands for a label that is not known
