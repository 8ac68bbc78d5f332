"""Reads the user's own files: the rows of a task (builder "files"), and what a model is asked about.

| suffix | what it is |
|---|---|
| .csv | RFC 4180: quotes around texts with commas or line ends, quotes inside doubled |
| .tsv | nothing is quoted, as in GLUE |
| .jsonl, .ndjson | an object a line |
| .parquet | a table; lists and structures as they are |
| .conll | a word a line, columns separated by spaces, blank lines between sentences |
| .json | SQuAD, v1.1 or v2.0 |
| a directory | a dataset of Hugging Face's `datasets`, saved with `save_to_disk` |

Each reader yields a schema.Record: file and line, and the record as the file has it.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bertline.base.errors import BertlineError, not_utf8
from bertline.base.files import numbered_jsonl
from bertline.tasks.arrow import check_columns, dataset_records, parquet_records
from bertline.tasks.conll import conll_records
from bertline.tasks.schema import Record
from bertline.tasks.squad import squad_records

_FIELD_LIMIT = 1 << 30  # characters; csv's own limit of 131,072 is below a long document
_SEPARATORS = ";\t,|"  # spreadsheets of many countries write the first of them
_FIELD = re.compile(r'(?P<quoted>"[^"]*(?:""[^"]*)*(?P<closed>"(?=[,\r\n]|\Z))?)|[^,\r\n]*')


def records(path: Path, shown: str, split: str) -> Iterator[Record]:
    """The rows of a file, read by its suffix, or of a saved dataset; one at least.

    Args:
        path: the file or directory.
        shown: how messages call it.
        split: which one is wanted of a saved dataset with several.

    Raises:
        BertlineError: the file is missing, of another suffix, not UTF-8 or malformed.
    """
    try:
        found = dataset_records(path, shown, split) if path.is_dir() else _reader(path, shown)(path, shown)
        first = next(found, None)
        if first is None:
            raise BertlineError("no rows", where=shown, fix="Fill the file, or correct its path")
        yield first
        yield from found
    except UnicodeDecodeError as error:
        raise not_utf8(error, f"{shown}, line {_undecodable(path)}") from None


def _reader(path: Path, shown: str) -> Callable[[Path, str], Iterator[Record]]:
    readers = {
        ".csv": _csv,
        ".tsv": _tsv,
        ".jsonl": _jsonl,
        ".ndjson": _jsonl,
        ".parquet": parquet_records,
        ".conll": _conll,
        ".json": squad_records,
    }
    read = readers.get(path.suffix.lower())
    if not read:
        fix = f"Convert it to one of: {', '.join(readers)}; lines of a word and its tag are named .conll"
        raise BertlineError(f"files of type {path.suffix or 'without suffix'} are not read", where=shown, fix=fix)
    if not path.is_file():
        raise BertlineError("file not found", where=shown, fix="Put it there, or correct its path")
    return read


def _undecodable(path: Path) -> int:
    """The first line that is not UTF-8."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _csv(path: Path, shown: str) -> Iterator[Record]:
    """Quoted as in RFC 4180: quotes around texts with commas, quotes inside doubled."""
    return _table(path, shown, delimiter=",", quoting=csv.QUOTE_MINIMAL)


def _tsv(path: Path, shown: str) -> Iterator[Record]:
    """Nothing quoted, as in GLUE: a quote is a character like any other."""
    return _table(path, shown, delimiter="\t", quoting=csv.QUOTE_NONE)


def _table(path: Path, shown: str, *, delimiter: str, quoting: Any) -> Iterator[Record]:
    before = csv.field_size_limit(_FIELD_LIMIT)
    line = 1
    header: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter, quoting=quoting, strict=True)
            for fields in reader:
                if fields and not header:
                    _check_heading(fields, delimiter, f"{shown}, line {line}")
                elif fields:
                    yield f"{shown}, line {line}", _record(header, fields, f"{shown}, line {line}", quoting)
                header = header or fields
                line = reader.line_num + 1
    except csv.Error as error:
        if not header:
            _check_quoted_heading(path, line, delimiter, f"{shown}, line {line}")
        fix = 'Close the quote; write quotes inside a quoted text twice ("")'
        opened, ever_closed = _open_quote(path, line)
        what = f"malformed row ({error})" if ever_closed else "a quote opens here and never closes"
        raise BertlineError(what, where=f"{shown}, line {opened}", fix=fix) from None
    finally:
        csv.field_size_limit(before)


def _check_heading(fields: Sequence[str], delimiter: str, where: str) -> None:
    """Refuse two columns of one name, and one column that another separator would make several."""
    check_columns(fields, where)
    other = next((sign for sign in _SEPARATORS if sign in fields[0]), "")
    if len(fields) == 1 and other:
        raise _other_separator(fields[0], other, delimiter, where)


def _check_quoted_heading(path: Path, number: int, delimiter: str, where: str) -> None:
    """Refuse a heading, on line `number`, whose quotes are sound with another separator ("text";"label")."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        heading = next(islice(lines, number - 1, None), "").rstrip("\r\n")
    other = next((sign for sign in _SEPARATORS if sign != delimiter and f'"{sign}' in heading), "")
    if other:
        raise _other_separator(heading, other, delimiter, where)


def _other_separator(heading: str, other: str, delimiter: str, where: str) -> BertlineError:
    what = f"the one heading {heading!r:.60} has {other!r} where {delimiter!r} is read"
    return BertlineError(what, where=where, fix="Write it with commas (.csv) or tabs (.tsv)")


def _open_quote(path: Path, first: int) -> tuple[int, bool]:
    """The line of the first quote that closes amid a text, or never, and whether it closes; from line `first` on.

    With every text in quotes, one that is left open takes the next one's opening quote for its end: the fault shows
    there, and stands here.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        text = "".join(line for number, line in enumerate(lines, start=1) if number >= first)
    place = 0
    while place < len(text):
        field = _FIELD.match(text, place)
        assert field is not None
        if field["quoted"] and not field["closed"]:
            return first + text.count("\n", 0, place), field.end() < len(text)
        place = field.end() + 1
    return first, True


def _record(header: Sequence[str], fields: Sequence[str], where: str, quoting: Any) -> dict[str, Any]:
    if len(fields) != len(header):
        quoted = quoting != csv.QUOTE_NONE
        fix = f"{'Quote texts that contain' if quoted else 'Take tabs out of texts: they are'} the separator"
        fix += ", or correct the row"
        raise BertlineError(f"{len(fields)} fields under {len(header)} headings", where=where, fix=fix)
    return dict(zip(header, fields, strict=True))


def _jsonl(path: Path, shown: str) -> Iterator[Record]:
    for number, row in numbered_jsonl(path, shown):
        yield f"{shown}, line {number}", row


def _conll(path: Path, shown: str) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as lines:
        yield from conll_records(lines, shown)
