"""Reads the user's own files for the builder "files": CSV, TSV, JSONL, CoNLL columns and SQuAD JSON.

Each reader yields (where, record): the file and line, for messages, and the record as the file has it.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bertline.base.errors import BertlineError
from bertline.base.files import read_jsonl
from bertline.tasks.conll import conll_records
from bertline.tasks.squad import squad_records

Record = tuple[str, dict[str, Any]]
_FIELD_LIMIT = 1 << 30  # characters; csv's own limit of 131,072 is below a long document


def read_records(path: Path, shown: str) -> list[Record]:
    """Read a file by its suffix: .csv, .tsv, .jsonl, .conll or .json (SQuAD).

    Args:
        path: the file.
        shown: how messages call it.

    Raises:
        BertlineError: the file is missing, of another suffix, not UTF-8 or malformed.
    """
    readers = {".csv": _csv, ".tsv": _tsv, ".jsonl": _jsonl, ".conll": _conll, ".json": squad_records}
    if path.suffix.lower() not in readers:
        fix = f"Convert it to one of: {', '.join(readers)}"
        raise BertlineError(f"files of type {path.suffix or 'without suffix'} are not read", where=shown, fix=fix)
    if not path.is_file():
        raise BertlineError("file not found", where=shown, fix="Put it there, or correct the path in params.yaml")
    try:
        records = list(readers[path.suffix.lower()](path, shown))
    except UnicodeDecodeError as error:
        fix = "Save the file as UTF-8"
        raise BertlineError(f"not valid UTF-8 (byte {error.start})", where=shown, fix=fix) from None
    if not records:
        raise BertlineError("no rows", where=shown, fix="Fill the file, or correct the path in params.yaml")
    return records


def _csv(path: Path, shown: str) -> Iterator[Record]:
    """Quoted as in RFC 4180: quotes around texts with commas, quotes inside doubled."""
    return _table(path, shown, delimiter=",", quoting=csv.QUOTE_MINIMAL)


def _tsv(path: Path, shown: str) -> Iterator[Record]:
    """Nothing quoted, as in GLUE: a quote is a character like any other."""
    return _table(path, shown, delimiter="\t", quoting=csv.QUOTE_NONE)


def _table(path: Path, shown: str, *, delimiter: str, quoting: Any) -> Iterator[Record]:
    before = csv.field_size_limit(_FIELD_LIMIT)
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter, quoting=quoting, strict=True)
            header: list[str] = []
            for fields in reader:
                if fields and header:
                    yield f"{shown}, line {line}", _record(header, fields, f"{shown}, line {line}")
                header = header or fields
                line = reader.line_num + 1
    except csv.Error as error:
        fix = 'Close the quote; write quotes inside a quoted text twice ("")'
        raise BertlineError(f"malformed row ({error})", where=f"{shown}, line {line}", fix=fix) from None
    finally:
        csv.field_size_limit(before)


def _record(header: Sequence[str], fields: Sequence[str], where: str) -> dict[str, Any]:
    if len(fields) != len(header):
        fix = "Quote texts that contain the separator, or correct the row"
        raise BertlineError(f"{len(fields)} fields under {len(header)} headings", where=where, fix=fix)
    return dict(zip(header, fields, strict=True))


def _jsonl(path: Path, shown: str) -> Iterator[Record]:
    for number, row in enumerate(read_jsonl(path), start=1):
        yield f"{shown}, row {number}", row


def _conll(path: Path, shown: str) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as lines:
        yield from conll_records(lines, shown)
