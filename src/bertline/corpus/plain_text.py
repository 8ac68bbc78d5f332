"""Plain text: documents apart by empty lines, or a book a file."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from bertline.corpus.raw_files import BOOK_START, decoded
from bertline.corpus.records import MAX_DOCUMENT, Document, name_of, pieces

MAX_PARAGRAPH = 100_000  # characters; a longer line is cut between two words where it can be
_START = re.compile(BOOK_START, re.IGNORECASE)
_END = re.compile(r"\*\*\* ?END OF TH|End of (?:the )?Project Gutenberg", re.IGNORECASE)


def read_plain_text(path: Path) -> Iterator[Document]:
    """Documents of a text file: a paragraph a line, an empty line between documents."""
    title = name_of(path)
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


def read_book(path: Path) -> Iterator[Document]:
    """The one document of a file (more, if it is very long): empty lines end paragraphs, their lines are joined.

    Of an e-book of Project Gutenberg, what stands before its START line and after its END line is left out; several of
    them in a file are a document each.
    """
    for _, lines in groupby(_within_marks(_paragraphs(path)), key=itemgetter(0)):
        yield from pieces(path.name, name_of(path), _unwrapped(line for _, line in lines))


def _unwrapped(lines: Iterable[str]) -> Iterator[str]:
    """Paragraphs of wrapped lines."""
    held: list[str] = []
    size = 0
    for line in lines:
        if held and (not line or size + len(line) > MAX_PARAGRAPH):
            yield " ".join(held)
            held, size = [], 0
        if line:
            held.append(line)
            size += len(line) + 1
    if held:
        yield " ".join(held)


def _within_marks(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines between the marks of Project Gutenberg, or all if there are none near the top; each with its book."""
    held: list[str] | None = []  # the head, until it is told whether it is one
    book = size = 0
    inside = False
    for line in lines:
        if not inside and _START.match(line):
            held, inside, book = None, True, book + 1
        elif inside and _END.match(line):
            inside = False
        elif inside:
            yield book, line
        elif held is not None:
            held.append(line)
            size += len(line)
            if size > MAX_PARAGRAPH:
                yield from ((book, line) for line in held)
                held, inside = None, True
    yield from ((book, line) for line in held or ())


def _paragraphs(path: Path) -> Iterator[str]:
    """The lines of a file without white space around them, cut where longer than MAX_PARAGRAPH."""
    rest = ""
    for text in decoded(path):
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            if len(line) <= MAX_PARAGRAPH:
                yield line.strip()
            else:
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
