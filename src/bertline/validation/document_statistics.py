"""Statistics of documents, a batch of them at a time: of its text nothing stays but a row of figures and a sketch.

    totals = Totals()
    frame, sketches = describe(batch, "train", "en", totals)

Text is looked at inside Arrow (RE2 over whole columns) and as raw bytes (a table of 256 byte classes); a document of
Python strings is never made.
"""

import hashlib
import re
import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bertline.validation.frames import EXAMPLES, shorten
from bertline.validation.language import FOREIGN, OWN, SPACE, byte_classes, count_function_words
from bertline.validation.near_duplicates import SKETCH, Sketches, sketch
from bertline.validation.patterns import CONTROL, MARKUP, MOJIBAKE

_SENTENCE_FAULTS = {"markup": MARKUP, "mojibake": MOJIBAKE, "control": CONTROL, "empty": r"^\s*$"}


@dataclass
class Totals:
    """Counts over the whole corpus, and the first sentences of each fault."""

    sentences: int = 0
    characters: int = 0
    faults: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SENTENCE_FAULTS, 0))
    examples: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in _SENTENCE_FAULTS})


def describe(batch: pa.RecordBatch, split: str, language: str, totals: Totals) -> tuple[pd.DataFrame, Sketches]:
    """Statistics of a batch of documents, one row each, and their sketches; adds to the totals."""
    lists = pc.fill_null(batch.column("sentences").cast(pa.large_list(pa.large_string())), [])
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.fill_null(lists.flatten(), "")
    lengths = pc.utf8_length(flat).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(counts)
    spans = (ends - counts, ends)  # of the sentences of each document
    totals.sentences += len(flat)
    totals.characters += int(lengths.sum())
    faults = {name: _find(flat, name, pattern, totals) for name, pattern in _SENTENCE_FAULTS.items()}
    data, offsets = _raw_bytes(flat)
    text_spans = (offsets[spans[0]], offsets[spans[1]])
    classes = byte_classes(language)[data]
    words = _sums(classes == SPACE, text_spans) + counts
    ids, titles = _texts(batch, "id"), _texts(batch, "title")
    table = pd.DataFrame(
        {
            "document": [f"{shorten(title)} ({name})" for title, name in zip(titles, ids, strict=True)],
            "id": ids,
            "split": split,
            "source": _texts(batch, "source"),
            "title_characters": [len(title) for title in titles],
            "sentences": counts,
            "characters": _sums(lengths, spans) + np.maximum(counts - 1, 0),
            "longest_sentence": [int(lengths[a:b].max(initial=0)) for a, b in zip(*spans, strict=True)],
            "empty_sentences": _sums(faults["empty"], spans),
            "words": words,
            "own_letters": _sums(classes == OWN, text_spans),
            "foreign_letters": _sums(classes == FOREIGN, text_spans),
            "function_words": _sums(count_function_words(flat, language), spans),
            "text_hash": [_hash(data[a:b]) for a, b in zip(*text_spans, strict=True)],
        }
    )
    return table, _sketches(data, offsets, spans)


def _sketches(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], spans: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> Sketches:
    """The sketch of each document, from the hashes of its sentences."""
    view = data.data
    hashes = [zlib.crc32(view[start:end]) for start, end in pairwise(offsets.tolist())]
    found = [sketch(hashes[a:b]) for a, b in zip(*(span.tolist() for span in spans), strict=True)]
    return np.array(found, np.uint64).reshape(-1, SKETCH)


def _find(flat: pa.Array, name: str, pattern: str, totals: Totals) -> NDArray[np.bool_]:
    """Which sentences match a pattern; counts them and keeps the first three."""
    found: NDArray[np.bool_] = pc.match_substring_regex(flat, pattern).to_numpy(zero_copy_only=False)
    totals.faults[name] += int(found.sum())
    lacking = EXAMPLES - len(totals.examples[name])
    totals.examples[name] += [_around(flat[int(place)].as_py(), pattern) for place in np.flatnonzero(found)[:lacking]]
    return found


def _around(sentence: str, pattern: str) -> str:
    """The part of a sentence with the fault in it."""
    match = re.search(pattern, sentence)
    start = max(match.start() - 20, 0) if match else 0
    return shorten(sentence[start : start + 70])


def _raw_bytes(flat: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The UTF-8 bytes of a large_string array, and the offsets of its values in them."""
    _, offsets, data = flat.buffers()
    places = np.frombuffer(offsets, np.int64)[flat.offset : flat.offset + len(flat) + 1]
    return np.frombuffer(data or b"", np.uint8), places


def _sums(values: NDArray[Any], spans: tuple[NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.int64]:
    """Sums of `values` over half-open spans, empty ones included."""
    running = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    sums: NDArray[np.int64] = running[spans[1]] - running[spans[0]]
    return sums


def _hash(text: NDArray[np.uint8]) -> str:
    """Two documents with the same text have the same hash, however it was split into sentences."""
    return hashlib.blake2b(text.data, digest_size=12).hexdigest()


def _texts(batch: pa.RecordBatch, column: str) -> list[str]:
    values: list[str] = pc.fill_null(batch.column(column), "").to_pylist()
    return values
