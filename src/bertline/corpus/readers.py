"""Readers: the files under data/raw as a stream of documents, whatever their size.

    for document in read_documents(Path("data/raw")): ...

Which reader a file gets is decided by its name: the documentation of Python packages (python-docs.jsonl), or plain
text: a paragraph a line, an empty line between documents. Plain text may be compressed (.xz, .gz, .bz2), and is held in
parts of bounded size: a line without end does not fill the memory.
"""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any, cast

from bertline.base.errors import BertlineError
from bertline.base.files import JsonRow, read_json, read_jsonl
from bertline.tasks.docs import RAW_FILE, docs_split

MANIFEST = "manifest.json"
MAX_PARAGRAPH = 100_000  # characters; a longer line is cut between two words where it can be
MAX_DOCUMENT = 1_000_000  # characters; a longer document goes on in the next one
_BLOCK = 1 << 16  # bytes
_SHORT = 400  # characters; docstrings shorter than this are gathered into a document of their module


@dataclass(frozen=True)
class Document:
    """Raw text that belongs together, before cleaning."""

    source: str  # the package, or the name of the file
    title: str
    paragraphs: tuple[str, ...]
    docstrings: bool = False  # each paragraph is a whole docstring, markup and line breaks included


def read_documents(raw: Path) -> Iterator[Document]:
    """All documents of the sources in manifest.json, in its order.

    Raises:
        BertlineError: the manifest or a file is missing, damaged, or not UTF-8.
    """
    for source in read_json(raw / MANIFEST)["sources"]:
        path = raw / source["path"]
        if path.name == RAW_FILE:
            yield from read_python_docs(path)
        elif path.is_dir():
            for file in sorted(file for file in path.rglob("*") if file.is_file()):
                yield from read_plain_text(file)
        else:
            yield from read_plain_text(path)


def read_python_docs(path: Path) -> Iterator[Document]:
    """Documents of python-docs.jsonl: a top-level class with its methods, a function, or the short rest of a module.

    Modules whose text the docs tasks are tested on are left out.
    """
    for (package, module), rows in groupby(read_jsonl(path), key=lambda row: (row["package"], row["module"])):
        if docs_split(module) == "test":
            continue
        short: list[str] = []
        for name, members in groupby(rows, key=_top_level):
            texts = [row["text"] for row in members]
            if name and sum(map(len, texts)) >= _SHORT:
                yield Document(package, f"{module}.{name}", tuple(texts), docstrings=True)
            else:
                short += texts
        if short:
            yield Document(package, module, tuple(short), docstrings=True)


def _top_level(row: JsonRow) -> str:
    return str(row["name"]).partition(".")[0]


def read_plain_text(path: Path) -> Iterator[Document]:
    """Documents of a text file: a paragraph a line, an empty line between documents."""
    title = path.name.partition(".")[0]
    number = size = 0
    paragraphs: list[str] = []
    for line in _paragraphs(path):
        if line and size + len(line) <= MAX_DOCUMENT:
            paragraphs.append(line)
            size += len(line)
            continue
        if paragraphs:
            number += 1
            yield Document(path.name, f"{title} {number}", tuple(paragraphs))
        paragraphs, size = ([line], len(line)) if line else ([], 0)
    if paragraphs:
        yield Document(path.name, f"{title} {number + 1}", tuple(paragraphs))


def _paragraphs(path: Path) -> Iterator[str]:
    """The lines of a file without white space around them, cut where longer than MAX_PARAGRAPH."""
    rest = ""
    for text in _decoded(path):
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield from _cut(line.strip())
        while len(rest) > MAX_PARAGRAPH:
            head, rest = _cut_once(rest)
            if head.strip():
                yield head.strip()
    if rest.strip():
        yield rest.strip()


def _cut(line: str) -> Iterator[str]:
    while len(line) > MAX_PARAGRAPH:
        head, line = _cut_once(line)
        if head.strip():
            yield head.strip()
    yield line


def _cut_once(line: str) -> tuple[str, str]:
    at = line.rfind(" ", MAX_PARAGRAPH // 2, MAX_PARAGRAPH)
    at = at if at > 0 else MAX_PARAGRAPH
    return line[:at], line[at:]


def _decoded(path: Path) -> Iterator[str]:
    """The text of a file in blocks.

    Raises:
        BertlineError: invalid UTF-8, naming the line and the byte; or the compressed file is damaged.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, line = 0, 1
    for block in _blocks(path):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line += block[: max(0, error.start - pending)].count(b"\n")
            where = f"{path}, line {line}, byte {offset - pending + error.start}"
            fix = "Convert the file to UTF-8, for example with `iconv -f latin1 -t utf-8`"
            raise BertlineError(f"not UTF-8 ({error.reason})", where=where, fix=fix) from None
        yield text.removeprefix("\ufeff") if offset == 0 else text
        offset += len(block)
        line += block.count(b"\n")


def _blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, decompressed; the last block is empty."""
    try:
        with _open(path) as stream:
            while block := stream.read(_BLOCK):
                yield block
    except FileNotFoundError:
        raise BertlineError("file not found", where=str(path), fix="Run `dvc repro download`") from None
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        problem = " ".join(str(error).split())
        raise BertlineError(f"damaged ({problem})", where=str(path), fix="Fetch the file again") from None
    except OSError as error:
        if error.errno is not None or path.suffix != ".bz2":
            raise
        raise BertlineError(f"damaged ({error})", where=str(path), fix="Fetch the file again") from None
    yield b""


def _open(path: Path) -> IO[bytes]:
    openers: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
    return cast(IO[bytes], openers.get(path.suffix, open)(path, "rb"))
