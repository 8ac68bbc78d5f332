"""Decontamination: which documents share an n-gram of 13 words with the evaluation rows of a task.

    write_index(tasks, path)                # of some data/tasks/T: each 13-gram of validation and test rows, hashed
    Index(path).shared(ngrams(words, N))    # places in the index of the 13-grams that a document shares
    contaminated(documents, shared, alive, most_common=10)  # which documents to drop, and the 13-gram that tells
    describe(tasks, hashes, places)         # which task, split and row a 13-gram comes from, and its words

After appendix C of Brown et al. 2020 (GPT-3): N-grams that stand in more than 10 documents are common phrases (of
licences, of every other docstring), no contamination, and are ignored.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertline.base.files import read_jsonl
from bertline.corpus.clean import normalise
from bertline.corpus.markup import without_markup
from bertline.corpus.words import Hashes, WordHashes, find_words, ngrams

N = 13  # words
_EVALUATION = ("validation*.jsonl", "test*.jsonl", "submission/*.jsonl")  # of a task; the last are a leaderboard's
_NOT_TEXT = frozenset(["id", "label", "tags", "answers"])  # answers stand in the context
_FILTER_BITS = 27  # of the first, cheap look: 16 MB a process
_HELD = 1 << 20  # 13-grams until they are merged: contexts repeat, and what is held is what differs

Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Origin:
    """Where an evaluation 13-gram stands."""

    task: str
    split: str
    row: str
    ngram: str


def _evaluation_texts(tasks: Sequence[Path]) -> Iterator[tuple[str, str, str, str]]:
    """Task, split, row id and text, of all texts of the rows of some tasks' directories that are no training rows."""
    for directory in sorted(tasks):
        for path in (path for pattern in _EVALUATION for path in sorted(directory.glob(pattern))):
            split = path.relative_to(directory).with_suffix("").as_posix()
            for row in read_jsonl(path):
                for name, value in row.items():
                    if name not in _NOT_TEXT and value:
                        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
                        yield directory.name, split, str(row.get("id", "")), text


def _forms(text: str) -> Iterator[str]:
    """A row's text as it is, and as documents are cleaned where that differs: a document may have it either way."""
    yield text
    lines = (without_markup(line, Counter()) for line in text.split("\n"))
    cleaned = normalise(" ".join(lines))
    if cleaned != " ".join(text.split()):
        yield cleaned


def write_index(tasks: Sequence[Path], path: Path) -> int:
    """Write the sorted hashes of all evaluation 13-grams (.npy) and return how many there are.

    Raises:
        BertlineError: a row is not valid JSON; names file and line.
    """
    hashes = WordHashes()
    found: list[Hashes] = [np.empty(0, np.uint64)]
    size = 0
    for form in (form for *_, text in _evaluation_texts(tasks) for form in _forms(text)):
        found.append(ngrams(hashes.of(form), N))
        size += len(found[-1])
        if size > _HELD:
            found, size = [_distinct(found)], 0
    index = _distinct(found)
    np.save(path, index)
    return len(index)


def _distinct(hashes: list[Hashes]) -> Hashes:
    """All numbers once, sorted; np.unique hashes them first, which takes five times as long."""
    numbers = np.concatenate(hashes)
    numbers.sort()
    return numbers[np.flatnonzero(np.diff(numbers, prepend=~numbers[:1]))]


class Index:
    """The evaluation 13-grams, memory-mapped: processes share one copy."""

    def __init__(self, path: Path) -> None:
        self.hashes: Hashes = np.load(path, mmap_mode="r")
        self._filter = np.zeros(1 << (_FILTER_BITS - 3), np.uint8)
        bits = self._bits(np.asarray(self.hashes))
        np.bitwise_or.at(self._filter, bits >> 3, (1 << (bits & 7)).astype(np.uint8))

    @staticmethod
    def _bits(hashes: Hashes) -> NDArray[np.int64]:
        return (hashes >> np.uint64(64 - _FILTER_BITS)).astype(np.int64)

    def shared(self, grams: Hashes) -> Places:
        """The places in the index of those of a document's 13-grams that are in it, sorted, each once."""
        bits = self._bits(grams)
        likely = grams[(self._filter[bits >> 3] >> (bits & 7).astype(np.uint8)) & 1 == 1]
        places = np.searchsorted(self.hashes, likely)
        places = np.minimum(places, len(self.hashes) - 1)
        sure: Places = np.unique(places[self.hashes[places] == likely])
        return sure


def contaminated(documents: Places, shared: Places, alive: Mask, most_common: int) -> dict[int, int]:
    """The documents to drop, each with the place in the index of the first 13-gram that tells.

    Args:
        documents: document of each shared 13-gram; each pair stands once.
        shared: its place in the index.
        alive: the documents that are still there: copies do not make a phrase common.
        most_common: 13-grams in more documents than this are common phrases.
    """
    counted = alive[documents]
    documents, shared = documents[counted], shared[counted]
    _, inverse, counts = np.unique(shared, return_inverse=True, return_counts=True)
    telling = counts[inverse] <= most_common
    names, first = np.unique(documents[telling], return_index=True)
    return dict(zip(names.tolist(), shared[telling][first].tolist(), strict=True))


def describe(tasks: Sequence[Path], hashes: Hashes, places: Sequence[int]) -> dict[int, Origin]:
    """The first origin of each 13-gram, by its place in the index."""
    words = WordHashes()
    wanted = {int(hashes[place]): place for place in places}
    keys = np.array(sorted(wanted), np.uint64)
    found: dict[int, Origin] = {}
    for task, split, row, text in _evaluation_texts(tasks) if wanted else ():
        for form in _forms(text):
            grams = ngrams(words.of(form), N)
            for at in np.flatnonzero(np.isin(grams, keys)):
                ngram = " ".join(find_words(form)[at : at + N])
                found.setdefault(wanted[int(grams[at])], Origin(task, split, row, ngram))
    return found
