"""The token store: a split's token ids on disk, memory-mapped, with offsets for sentences and documents.

    write_store(directory, batches, vocab_size=8192, vocab_sha256="…", unknown_id=1)
    store = TokenStore.open(directory)      # O(1), whatever its size
    store.ids[store.sentences[3] : store.sentences[4]]   # the ids of sentence 3

Sentence s is `ids[sentences[s] : sentences[s + 1]]`; document d is the sentences `documents[d] : documents[d + 1]`.
No special tokens are stored. Written in a stream, so that memory does not grow with the corpus.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertline.base.errors import BertlineError, reason
from bertline.base.files import atomic_directory, read_json, sha256_file, write_json

META = "meta.json"
FILES = ("ids.npy", "sentences.npy", "documents.npy")
_REMAKE = "Make it anew with `dvc repro encode`"


class TokenBatch(NamedTuple):
    """Some whole documents, encoded."""

    ids: NDArray[Any]  # (tokens,) token ids of all sentences, in order
    sentences: NDArray[np.int64]  # (sentences,) tokens in each sentence
    documents: NDArray[np.int64]  # (documents,) sentences in each document
    words: int  # words of the text, as spaces delimit them
    dropped: int = 0  # documents that were left out on purpose
    sources: Sequence[tuple[str, int]] = ()  # in order, how many documents are from where


@dataclass(frozen=True)
class TokenStore:
    """The tokens of one split, memory-mapped and read-only."""

    directory: Path
    ids: NDArray[Any]  # (tokens,) uint16 or uint32
    sentences: NDArray[np.int64]  # (sentences + 1,) offsets into ids
    documents: NDArray[np.int64]  # (documents + 1,) offsets into sentences
    meta: dict[str, Any]

    @classmethod
    def open(cls, directory: Path) -> "TokenStore":
        """Map a store and check that sizes and last offsets agree; its contents are not read.

        Raises:
            BertlineError: a file is missing, cut short, or of another store than meta.json.
        """
        meta = read_json(directory / META)
        ids, sentences, documents = (_map(directory / name) for name in FILES)
        expected = {"tokens": len(ids), "sentences": len(sentences) - 1, "documents": len(documents) - 1}
        for key, found in expected.items():
            if meta.get(key) != found:
                what = f"{found:,} {key} in the files, {meta.get(key)} in {META}"
                raise BertlineError(what, where=str(directory), fix=_REMAKE)
        if sentences[-1] != len(ids) or documents[-1] != len(sentences) - 1:
            raise BertlineError("offsets do not end where the ids end", where=str(directory), fix=_REMAKE)
        return cls(directory, ids, sentences, documents, meta)

    def times(self, upsample: Mapping[str, int]) -> NDArray[np.int64]:
        """How often an epoch that has these sources several times has each document: (documents,).

        Raises:
            BertlineError: there is no such source.
        """
        names = [name for name, _ in self.meta["sources"]]
        for name in upsample:
            if name not in names:
                what = f"no document is from {name!r}, but from {', '.join(dict.fromkeys(names))}"
                raise BertlineError(
                    what, where="params.yaml, key pretrain.upsample", fix="Name sources as they are there"
                )
        return np.repeat([upsample.get(name, 1) for name in names], [count for _, count in self.meta["sources"]])


def _map(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise BertlineError("file not found", where=str(path), fix=_REMAKE) from None
    except (ValueError, EOFError) as error:
        raise BertlineError(f"not a whole .npy file ({reason(error)})", where=str(path), fix=_REMAKE) from None
    return array


def write_store(
    directory: Path, batches: Iterable[TokenBatch], *, vocab_size: int, vocab_sha256: str, unknown_id: int
) -> dict[str, Any]:
    """Write a store from batches, atomically, and return its meta.json.

    Args:
        directory: where; replaced whole.
        batches: the documents in order.
        vocab_size: entries of the vocabulary; decides between uint16 and uint32.
        vocab_sha256: hash of its vocab.txt, kept in meta.json.
        unknown_id: id of its [UNK], counted in meta.json.

    Raises:
        BertlineError: there is no token at all, or an id is outside the vocabulary.
    """
    with atomic_directory(directory) as temporary:
        counts = _write_arrays(temporary, _within(vocab_size, batches, directory), vocab_size, unknown_id)
        if not counts["tokens"]:
            dropped = counts["dropped"]
            what = f"no tokens to store: all {dropped:,} documents were dropped" if dropped else "no tokens to store"
            fix = "Raise encode.max_tokens_per_character" if dropped else "Add text to the corpus"
            raise BertlineError(what, where=str(directory), fix=fix)
        hashes = {name: sha256_file(temporary / name) for name in FILES}
        meta = {**counts, "vocab_size": vocab_size, "vocab_sha256": vocab_sha256, "sha256": hashes}
        write_json(temporary / META, meta)
    return meta


def _within(vocab_size: int, batches: Iterable[TokenBatch], directory: Path) -> Iterator[TokenBatch]:
    """The batches, as long as all ids are in the vocabulary."""
    for batch in batches:
        if len(batch.ids) and batch.ids.max() >= vocab_size:
            what = f"token id {batch.ids.max()} in a vocabulary of {vocab_size} entries"
            raise BertlineError(what, where=str(directory), fix="Use the vocabulary the text was encoded with")
        yield batch


def _write_arrays(directory: Path, batches: Iterable[TokenBatch], vocab_size: int, unknown_id: int) -> dict[str, Any]:
    """Write ids and offsets of all batches, and return what is counted on the way."""
    id_type = np.dtype("<u2") if vocab_size <= 2**16 else np.dtype("<u4")
    words = unknown = dropped = 0
    sources: list[tuple[str, int]] = []
    with ExitStack() as open_files:
        ids = open_files.enter_context(_NpyWriter(directory / "ids.npy", id_type))
        sentences = open_files.enter_context(_NpyWriter(directory / "sentences.npy", np.dtype("<i8")))
        documents = open_files.enter_context(_NpyWriter(directory / "documents.npy", np.dtype("<i8")))
        sentences.append(np.zeros(1))
        documents.append(np.zeros(1))
        for batch in batches:
            documents.append(sentences.length - 1 + np.cumsum(batch.documents))
            sentences.append(ids.length + np.cumsum(batch.sentences))
            ids.append(batch.ids)
            words += batch.words
            dropped += batch.dropped
            sources += batch.sources
            unknown += int(np.count_nonzero(batch.ids == unknown_id))
        return {
            "tokens": ids.length,
            "sentences": sentences.length - 1,
            "documents": documents.length - 1,
            "words": words,
            "unknown": unknown,
            "dropped": dropped,
            "sources": _joined(sources),
        }


def _joined(runs: Iterable[tuple[str, int]]) -> list[list[Any]]:
    """Runs of documents, each [source, count], with neighbours of one source joined."""
    groups = itertools.groupby(runs, key=itemgetter(0))
    return [[source, sum(count for _, count in group)] for source, group in groups]


class _NpyWriter:
    """A one-dimensional .npy file of which the length is known only at its end.

    NumPy pads its header so that a longer first axis fits in the same bytes ("GROWTH_AXIS_MAX_DIGITS" in
    numpy.lib.format); the header is written twice, the second time with the final length.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path, self.dtype, self.length = path, dtype, 0
        self.stream: IO[bytes] = path.open("wb")
        self._write_header()
        self.start = self.stream.tell()

    def __enter__(self) -> "_NpyWriter":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stream.seek(0)
            self._write_header()
            assert self.stream.tell() == self.start, "the .npy header has changed its size"
        finally:
            self.stream.close()

    def _write_header(self) -> None:
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.stream, header)

    def append(self, values: NDArray[Any]) -> None:
        self.stream.write(np.ascontiguousarray(values, dtype=self.dtype).data)
        self.length += len(values)
