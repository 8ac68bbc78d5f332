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

from bertline.base.errors import BertlineError
from bertline.base.files import read_json
from bertline.tasks.schema import Record

_DICT, _STATE = "dataset_dict.json", "state.json"
_BATCH = 4096


def parquet_records(path: Path, shown: str) -> Iterator[Record]:
    """The rows of a Parquet file.

    Raises:
        BertlineError: it is none, or a text in it is not UTF-8.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield from _records(file.schema_arrow, file.iter_batches(_BATCH), shown)
    except pa.ArrowException as error:
        raise BertlineError(f"not a readable Parquet file ({error})", where=shown, fix="Write it anew") from None


def dataset_records(path: Path, shown: str, split: str) -> Iterator[Record]:
    """The rows of a saved dataset; of several splits in one directory, those of `split`.

    Raises:
        BertlineError: the directory is no saved dataset, has no such split, or a text in it is not UTF-8.
    """
    if (path / _DICT).is_file():
        splits = read_json(path / _DICT).get("splits", [])
        if split not in splits:
            fix = f"Name the directory of one of its splits: {', '.join(splits)}"
            raise BertlineError(f"no split {split!r} in this dataset", where=shown, fix=fix)
        path, shown = path / split, f"{shown}/{split}"
    if not (path / _STATE).is_file():
        fix = "Name a file, or a directory that `save_to_disk` of Hugging Face's datasets wrote"
        raise BertlineError("a directory that is no saved dataset", where=shown, fix=fix)
    state = read_json(path / _STATE)
    files = [path / entry["filename"] for entry in state["_data_files"]]
    first = 0
    for file in files:
        try:
            with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
                for where, record in _records(reader.schema, reader, shown, first):
                    first += 1
                    yield where, record
        except (pa.ArrowException, FileNotFoundError) as error:
            fix = "Save the dataset anew"
            raise BertlineError(f"{file.name} is not readable ({error})", where=shown, fix=fix) from None


def check_columns(names: Sequence[str], where: str) -> None:
    """Refuse two columns of one name: a record keeps one of them."""
    for name in names:
        if names.count(name) > 1:
            raise BertlineError(f"two columns are called {name!r}", where=where, fix="Give each a name of its own")


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
    names = _label_names(schema)
    number = first
    for batch in batches:
        with utf8_rows(f"{shown}, rows {number + 1} to {number + len(batch)}"):
            rows = batch.to_pylist()
        for row in rows:
            number += 1
            named = {
                column: _named(value, names[column]) if column in names else value for column, value in row.items()
            }
            yield f"{shown}, row {number}", named


def _label_names(schema: Any) -> dict[str, list[str]]:
    """Column -> names of its numbered labels, from what `datasets` keeps in the schema."""
    kept = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = (kept.get("info") or {}).get("features") or {}
    found = {}
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
