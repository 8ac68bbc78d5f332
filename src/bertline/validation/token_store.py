"""Frames of gate_tokens: the vocabulary and the token stores, read from their files rather than through the room that
wrote them, so that a fault in writing shows up as a named expectation, not as an exception.

Ids and offsets are read in blocks of a memory map; what is held follows the number of documents alone, 8 bytes each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError, reason
from bertline.base.files import read_json, sha256_file
from bertline.validation.frames import Frame, first, summary
from bertline.validation.text_of_tokens import Offsets, text_fault
from bertline.validation.vocabulary import SPECIAL_TOKENS, read_entries, vocabulary_frames

_FILES = ("ids.npy", "sentences.npy", "documents.npy")
_COUNTS = ("tokens", "sentences", "documents", "words", "unknown")
_BLOCK = 1 << 24  # ids or offsets at a time


def token_frames(artifacts: Artifacts, documents: Mapping[str, Any], encode: Mapping[str, Any]) -> dict[str, Frame]:
    """The frames of a vocabulary and its token stores.

    Args:
        artifacts: the checkout: its documents, vocabulary and token stores are looked at.
        documents: metrics.json of stage documents, with the numbers of documents.
        encode: metrics.json of stage encode, which should say what is found here.

    Returns:
        entries, vocabulary: as vocabulary_frames.
        stores: a row a split: files as recorded, offsets, ids, [UNK], tokens a word, the text they stand for.
        tokens: one row: training tokens, share of the vocabulary in use.
    """
    vocab = artifacts.vocab
    stores = {split: artifacts.tokens(split) for split in ("train", "validation")}
    entries = read_entries(vocab / "vocab.txt")
    found = {split: _Store(directory, entries) for split, directory in stores.items()}
    digest = sha256_file(vocab / "vocab.txt") if (vocab / "vocab.txt").exists() else ""
    table = [store.row(split, digest, documents.get(f"{split}_documents")) for split, store in found.items()]
    for row, (split, store) in zip(table, found.items(), strict=True):
        # Offsets that are not whole point anywhere; they have an expectation of their own.
        whole = not row["fault"] and not row["offset_faults"]
        row["text_fault"] = (
            text_fault(artifacts.documents, split, vocab / "tokenizer.json", store.offsets) if whole else ""
        )
    counts = found["train"].counts
    ordinary = np.array([token not in SPECIAL_TOKENS for token in entries], dtype=bool)
    unused = np.flatnonzero((counts[: len(entries)] == 0) & ordinary)
    lacking = first(entries[place] for place in unused)
    values: dict[str, Any] = {
        "train_tokens": int(found["train"].ids.size),
        "validation_tokens": int(found["validation"].ids.size),
        "vocab_used": 1 - len(unused) / max(int(ordinary.sum()), 1),
        "unigram_entropy": _entropy(found["validation"].counts),
        "unigram_accuracy": float(found["validation"].counts.max(initial=0) / max(found["validation"].ids.size, 1)),
    }
    values["differs"] = _differing(values, encode)
    return {
        **vocabulary_frames(entries, vocab / "tokenizer.json"),
        "stores": Frame(pd.DataFrame(table), "split"),
        "tokens": summary(values, {"vocab_used": lacking}),
    }


def _differing(values: Mapping[str, float], encode: Mapping[str, Any]) -> str:
    """The figures that stage encode reports otherwise than they are here."""
    names = ("train_tokens", "validation_tokens", "unigram_entropy", "unigram_accuracy")
    told = {name: encode.get(name) for name in names}
    wrong = [name for name in names if not _close(values[name], told[name])]
    return "; ".join(f"{name}: {values[name]:,.6g} here, {told[name]} there" for name in wrong)


def _close(here: float, there: object) -> bool:
    return isinstance(there, int | float) and abs(here - there) <= 1e-4 * abs(here)


class _Store:
    """One token store: its files, as far as they can be read."""

    def __init__(self, directory: Path, entries: Sequence[str]) -> None:
        self.directory, self.vocab_size = directory, len(entries)
        self.special_ids = {token: entries.index(token) for token in SPECIAL_TOKENS if token in entries}
        self.faults: list[str] = []
        self.ids, self.sentences, self.documents = (self._map(name) for name in _FILES)
        self.meta = self._meta()
        self.counts = _count(self.ids, self.vocab_size)

    def _map(self, name: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.directory / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            self.faults.append(f"{name}: {reason(error, 80)}")
            return np.zeros(0, np.int64)
        return array

    def _meta(self) -> dict[str, Any]:
        try:
            value = read_json(self.directory / "meta.json")
        except BertlineError as error:
            self.faults.append(f"meta.json: {error.what}")
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def offsets(self) -> Offsets:
        return Offsets(self.ids, self.sentences, self.documents)

    def _occurrences(self, *tokens: str) -> int:
        """How often special tokens occur among the ids."""
        return sum(int(self.counts[self.special_ids[token]]) for token in tokens if token in self.special_ids)

    def _documents_of_sources(self) -> int | None:
        """The documents that meta.json tells of, source by source."""
        try:
            return sum(int(count) for _, count in self.meta["sources"])
        except (KeyError, TypeError, ValueError):
            return None

    def row(self, split: str, vocab_sha256: str, documents: int | None) -> dict[str, Any]:
        """The row of a split in frame stores."""
        recorded = self.meta.get("sha256")
        recorded = recorded if isinstance(recorded, dict) else {}
        paths = [self.directory / name for name in _FILES]
        altered = [path.name for path in paths if path.exists() and sha256_file(path) != recorded.get(path.name)]
        found = {
            "tokens": self.ids.size,
            "sentences": self.sentences.size - 1,
            "documents": self.documents.size - 1,
            "documents of all sources": self.documents.size - 1,
            "unknown": self._occurrences("[UNK]"),
        }
        told = self.meta | {"documents of all sources": self._documents_of_sources()}
        words, dropped = self.meta.get("words"), self.meta.get("dropped", 0)
        accounted = found["documents"] + (dropped if isinstance(dropped, int) else 0)  # by encode's filter
        largest = int(np.flatnonzero(self.counts).max(initial=0))
        return {
            "split": split,
            "fault": "; ".join(self.faults),
            "altered": ", ".join(altered),
            "missing": ", ".join(name for name in _COUNTS if not isinstance(self.meta.get(name), int)),
            "miscounted": ", ".join(key for key, count in found.items() if told.get(key) != count),
            "vocabulary": "same" if self.meta.get("vocab_sha256") == vocab_sha256 else "another",
            "offset_faults": _offset_faults(self.sentences, self.ids.size, self.documents),
            "ids_beyond": f"id {largest} of a vocabulary of {self.vocab_size}" if largest >= self.vocab_size else "",
            "special_ids": self._occurrences("[PAD]", "[CLS]", "[SEP]", "[MASK]"),
            "documents": found["documents"],
            "dropped_share": 1 - found["documents"] / max(accounted, 1),
            "documents_lost": f"{accounted} of {documents}" if accounted != documents else "",
            "tokens": found["tokens"],
            "unknown_share": found["unknown"] / max(found["tokens"], 1),
            "tokens_per_word": found["tokens"] / words if isinstance(words, int) and words > 0 else 0.0,
            "tokens_per_sentence": found["tokens"] / max(found["sentences"], 1),
        }


def _count(ids: NDArray[Any], vocab_size: int) -> NDArray[np.int64]:
    """How often each id occurs; at least as long as the vocabulary, longer where ids are beyond it."""
    counts = np.zeros(vocab_size, np.int64)
    for start in range(0, ids.size, _BLOCK):
        block = np.bincount(ids[start : start + _BLOCK])
        if len(block) > len(counts):
            counts = np.concatenate([counts, np.zeros(len(block) - len(counts), np.int64)])
        counts[: len(block)] += block
    return counts


def _offset_faults(sentences: NDArray[Any], tokens: int, documents: NDArray[Any]) -> str:
    """What is wrong with the offsets: each array goes from 0 to the end of what it points into, rising all the way."""
    faults: list[str] = []
    for name, offsets, end in (("sentences", sentences, tokens), ("documents", documents, sentences.size - 1)):
        if not offsets.size or offsets[0] != 0:
            faults.append(f"{name} do not begin at 0")
        elif offsets[-1] != end:
            faults.append(f"{name} end at {offsets[-1]}, not {end}")
        if falling := _first_not_risen(offsets):
            faults.append(f"{name} do not rise at {falling}")
    return "; ".join(faults)


def _first_not_risen(offsets: NDArray[Any]) -> int:
    """The place of the first offset that is not above the one before; 0 if all are."""
    for start in range(0, offsets.size - 1, _BLOCK):
        places = np.flatnonzero(np.diff(offsets[start : start + _BLOCK + 1]) < 1)
        if places.size:
            return start + int(places[0]) + 1
    return 0


def _entropy(counts: NDArray[np.int64]) -> float:
    """Entropy of a unigram distribution, in nats."""
    shares = counts[counts > 0] / max(int(counts.sum()), 1)
    return float(-(shares * np.log(shares)).sum())
