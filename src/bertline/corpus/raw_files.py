"""Raw files as bytes and as text: decompressed, decoded, streamed; what is damaged is named.

with opened(path) as stream: ...        # .xz, .gz, .bz2, .zst are decompressed
for text in decoded(path): ...          # blocks of text
kind(path)                              # "jsonl", "parquet", "text", … by name, else by content
"""

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bertline.base.errors import BertlineError, not_utf8, reason
from bertline.corpus.compression import COMPRESSED, ending, is_damage, open_compressed
from bertline.tasks.docs import RAW_FILE

BY_NAME = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
_TABLES = (".csv", ".tsv")
BOOK_START = r"\*\*\* ?START OF TH"  # in whatever case: of Project Gutenberg, which has changed it over the years
_HEAD = 1 << 16  # bytes that are looked at to tell a format
_BLOCK = 1 << 16  # bytes


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed.

    Raises:
        BertlineError: the file is missing, or its compressed content is damaged, when that part is read.
    """
    try:
        with open_compressed(path) as stream:
            yield stream
    except FileNotFoundError:
        raise BertlineError("file not found", where=str(path), fix="Run `dvc repro download`") from None
    except Exception as error:
        if not is_damage(error):
            raise
        raise BertlineError(f"damaged ({reason(error)})", where=str(path), fix="Fetch the file again") from None


def decoded(path: Path) -> Iterator[str]:
    """The text of a file in blocks, without a byte order mark.

    Raises:
        BertlineError: invalid UTF-8, naming the line and the byte; or the compressed file is damaged.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, line = 0, 1
    with opened(path) as stream:
        while True:
            block = stream.read(_BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line += block[: max(0, error.start - pending)].count(b"\n")
                where = f"{path}, line {line}, byte {offset - pending + error.start}"
                raise not_utf8(error, where) from None
            if offset == 0:
                text = text.removeprefix("\ufeff")
            if not block:
                yield text
                return
            yield text
            offset += len(block)
            line += block.count(b"\n")


def kind(path: Path) -> str:
    """How a file is read: python-docs, jsonl, parquet, wikiextractor, book or text.

    Raises:
        BertlineError: by its name it is a table.
    """
    if path.name == RAW_FILE:
        return "python-docs"
    suffix = ending(path.with_suffix("") if ending(path) in COMPRESSED else path)
    if suffix in BY_NAME:
        return BY_NAME[suffix]
    if suffix in _TABLES:  # commas, headings and all would be learned
        fix = 'Write it as JSONL, {"text": …} a line, or as Parquet with a column text; or set `format: text` for it'
        raise BertlineError("a table is no text", where=str(path), fix=fix)
    with opened(path) as stream:
        head = stream.read(_HEAD).removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith(b"<doc "):
        return "wikiextractor"
    if head.startswith(b'{"') and suffix not in (".txt", ".text"):
        return "jsonl"
    return "book" if re.search(BOOK_START.encode(), head, re.IGNORECASE) else "text"
