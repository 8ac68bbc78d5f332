"""Documents in records: JSONL, Parquet, and what WikiExtractor writes; streamed, and checked row by row."""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bertline.base.errors import BertlineError, not_utf8, reason
from bertline.base.files import parse_json
from bertline.corpus.compression import COMPRESSED, ending
from bertline.corpus.raw_files import opened
from bertline.tasks.arrow import check_columns, utf8_rows

MAX_DOCUMENT = 1_000_000  # characters; a longer document goes on in the next one
_ROWS = 256  # of a Parquet file, read at once
_BUFFER = 1 << 20  # bytes of a Parquet file; without one, a column of a whole row group is read at once
_ATTRIBUTE = r"\s+[\w:-]+=(?:\"[^\"]*\"|[^\s\">]*)"
# Quotes in a title are written as they are: it ends before another attribute, or with the line.
_DOC = re.compile(rf"<doc\b[^>]*?\btitle=\"(.*?)\"(?:{_ATTRIBUTE})*\s*>$|<doc\b[^>]*>$")


@dataclass(frozen=True)
class Document:
    """Raw text that belongs together, before cleaning."""

    source: str  # the package, or the name of the file
    title: str
    paragraphs: tuple[str, ...]
    docstrings: bool = False  # each paragraph is a whole docstring, markup and line breaks included


def name_of(path: Path) -> str:
    """The name of a file without its endings."""
    return path.name.partition(".")[0] or path.name


def pieces(source: str, title: str, paragraphs: Iterable[str]) -> Iterator[Document]:
    """The document of some paragraphs, or several if they are longer than MAX_DOCUMENT; empty ones are left out."""
    held: list[str] = []
    size = 0
    for paragraph in paragraphs:
        for start in range(0, len(paragraph), MAX_DOCUMENT):
            part = paragraph[start : start + MAX_DOCUMENT]
            if held and size + len(part) > MAX_DOCUMENT:
                yield Document(source, title, tuple(held))
                held, size = [], 0
            held.append(part)
            size += len(part)
    if held:
        yield Document(source, title, tuple(held))


def read_jsonl_documents(path: Path) -> Iterator[Document]:
    """Documents of a JSONL file: `text`, and optionally `title` (or `id`); line breaks end paragraphs.

    Raises:
        BertlineError: a line is not a JSON object with a text; names file and line.
    """
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        row = parse_json(line, where, "Correct the line")
        if not isinstance(row, dict):
            raise BertlineError("not a JSON object", where=where, fix='Write {"text": …} in each line')
        text = row.get("text", "")
        if "text" not in row or not isinstance(text, str | None):
            found = f"text is {text!r:.40}" if "text" in row else f"no key 'text' among {', '.join(row) or 'none'}"
            raise BertlineError(found, where=where, fix='Write {"text": …} in each line')
        title = str(row.get("title") or row.get("id") or f"{name_of(path)} {number}")
        yield from pieces(path.name, title, _paragraphs_of(text or ""))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    with opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise not_utf8(error, f"{path}, line {number}") from None
            if text.strip():
                yield number, text


def _paragraphs_of(text: str) -> Iterator[str]:
    return (line for line in map(str.strip, text.split("\n")) if line)


def read_parquet(path: Path) -> Iterator[Document]:
    """Documents of a Parquet file: the columns text and, if there is one, title; a null text is left out.

    Raises:
        BertlineError: the file is damaged, or has no column of texts; names the columns it has.
    """
    if ending(path) in COMPRESSED:
        fix = "Unpack it; Parquet is compressed inside"
        raise BertlineError("a Parquet file may not be compressed as a whole", where=str(path), fix=fix)
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            columns = _text_columns(path, file.schema_arrow)
            row = 0
            for batch in file.iter_batches(_ROWS, columns=columns, use_threads=False):
                for text, *title in _values(batch, columns, f"{path}, rows {row + 1} to {row + len(batch)}"):
                    row += 1
                    name = str(title[0]) if title and title[0] else f"{name_of(path)} {row}"
                    yield from pieces(path.name, name, _paragraphs_of(text or ""))
    except FileNotFoundError:
        raise BertlineError("file not found", where=str(path), fix="Run `dvc repro download`") from None
    except (pa.ArrowException, OSError) as error:
        raise BertlineError(f"damaged ({reason(error, 200)})", where=str(path), fix="Fetch the file again") from None


def _values(batch: pa.RecordBatch, columns: list[str], where: str) -> Iterator[tuple[Any, ...]]:
    """The cells of some columns, row by row."""
    with utf8_rows(where):
        return zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def _is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are texts, numbered (a dictionary) or not."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _text_columns(path: Path, schema: pa.Schema) -> list[str]:
    check_columns(schema.names, str(path))
    kinds = {column.name: column.type for column in schema}
    text = kinds.get("text")
    if text is None or not _is_text(text):
        has = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise BertlineError(
            f"no column 'text' of strings; it has {has}", where=str(path), fix="Rename the column to text"
        )
    return ["text", "title"] if "title" in kinds else ["text"]


def read_wikiextractor(path: Path) -> Iterator[Document]:
    """Documents of WikiExtractor: <doc id=… title=…>, the title, paragraphs a line, </doc>.

    Raises:
        BertlineError: text outside of a document, or a document without its end; names file and line.
    """
    title, start = "", 0
    held: list[str] = []
    number = 0
    fix = "Fetch or extract the file again"
    for number, line in _lines(path):
        text = line.strip()
        opening = _DOC.match(text)
        if opening and start:
            raise BertlineError(f"the document of line {start} has no </doc>", where=f"{path}, line {number}", fix=fix)
        if not opening and not start:
            raise BertlineError("text outside of <doc …> … </doc>", where=f"{path}, line {number}", fix=fix)
        if opening:
            title, start, held = html.unescape(opening[1] or "") or f"{name_of(path)} {number}", number, []
        elif text == "</doc>":
            yield from pieces(path.name, title, held)
            start = 0
        elif held or text != title:  # the first line repeats the title
            held.append(text)
    if start:
        raise BertlineError(f"the document of line {start} has no </doc>", where=f"{path}, line {number}", fix=fix)
