"""Frames of gate_corpus: the document shards as statistics, read in batches, so that memory does not follow the corpus.

Text is looked at inside Arrow (RE2 over whole columns) and as raw bytes (a table of 256 byte classes); a document of
Python strings is never made.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bertline.validation.frames import EXAMPLES, Frame, as_text, first, shorten, summary
from bertline.validation.language import FOREIGN, OWN, SPACE, byte_classes, function_word_pattern
from bertline.validation.patterns import CONTROL, MARKUP, MOJIBAKE

SCHEMA = "id: string, source: string, title: string, sentences: list<string>"
_ARROW_SCHEMA = [*((name, pa.string()) for name in ("id", "source", "title")), ("sentences", pa.list_(pa.string()))]
_BATCH = 2048  # documents
_MOST_FOREIGN = 0.5  # share of letters of another script in a document of the language, at most
_WORDS_TO_JUDGE = 50
_FEWEST_FUNCTION_WORDS = 0.05  # English documentation: 0.27 in the mean, below 0.05 in 2 of 1000 documents

_SENTENCE_FAULTS = {"markup": MARKUP, "mojibake": MOJIBAKE, "control": CONTROL, "empty": r"^\s*$"}


@dataclass
class _Totals:
    """Counts over the whole corpus, and the first sentences of each fault."""

    sentences: int = 0
    characters: int = 0
    faults: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SENTENCE_FAULTS, 0))
    examples: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in _SENTENCE_FAULTS})


def corpus_frames(directory: Path, language: str, metrics: Mapping[str, Any]) -> dict[str, Frame]:
    """The frames of a documents directory.

    Args:
        directory: with {train,validation}-*.parquet.
        language: ISO 639 code of what the text should be.
        metrics: metrics.json of stage documents: how many documents it wrote.

    Returns:
        shards: a row a file: columns (its schema), rows, fault (why it cannot be read).
        documents: a row a document: split, sentences, characters, longest_sentence, same_text_as, in_train, …
        corpus: one row: counts and shares.
    """
    totals = _Totals()
    shards: list[dict[str, Any]] = []
    parts: list[pd.DataFrame] = []
    for path in sorted(directory.glob("*.parquet")):
        shard, found = _read_shard(path, language, totals)
        shards.append(shard)
        parts += found
    documents = pd.concat(parts, ignore_index=True) if parts else _no_documents()
    documents = _compare(documents, language)
    columns = ["file", "split", "rows", "columns", "fault"]
    return {
        "shards": Frame(pd.DataFrame(shards, columns=columns), "file"),
        "documents": Frame(documents.drop(columns="text_hash"), "document"),
        "corpus": _corpus(documents, totals, metrics),
    }


def _read_shard(path: Path, language: str, totals: _Totals) -> tuple[dict[str, Any], list[pd.DataFrame]]:
    """One row of frame shards, and the statistics of its documents if it has the right schema."""
    split = path.name.partition("-")[0]
    shard: dict[str, Any] = {"file": path.name, "split": split, "rows": 0, "columns": "", "fault": ""}
    parts: list[pd.DataFrame] = []
    try:
        with pq.ParquetFile(path) as file:
            shard["columns"] = _describe_schema(file.schema_arrow)
            shard["rows"] = file.metadata.num_rows
            if shard["columns"] == SCHEMA:
                parts = [_describe(batch, split, language, totals) for batch in file.iter_batches(_BATCH)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        shard["fault"] = " ".join(str(error).split())[:120]
    return shard, parts


def _describe_schema(schema: pa.Schema) -> str:
    def name(kind: pa.DataType) -> str:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return f"list<{name(kind.value_type)}>"
        return str(kind).removeprefix("large_")

    return ", ".join(f"{column.name}: {name(column.type)}" for column in schema)


def _describe(batch: pa.RecordBatch, split: str, language: str, totals: _Totals) -> pd.DataFrame:
    """Statistics of a batch of documents, one row each; adds to the totals."""
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
    pattern = function_word_pattern(language)
    known = pc.count_substring_regex(flat, pattern).to_numpy(zero_copy_only=False) if pattern else np.zeros(len(flat))
    ids, titles = _texts(batch, "id"), _texts(batch, "title")
    return pd.DataFrame(
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
            "function_words": _sums(known, spans),
            "text_hash": [_hash(data[a:b]) for a, b in zip(*text_spans, strict=True)],
        }
    )


def _find(flat: pa.Array, name: str, pattern: str, totals: _Totals) -> NDArray[np.bool_]:
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


def _compare(documents: pd.DataFrame, language: str) -> pd.DataFrame:
    """Add what is told by comparing.

    same_text_as is the first document of the split with the same text; in_train, for validation documents, the training
    document with the same text; language_fault says what speaks for another language.
    """
    first_of = documents.groupby(["split", "text_hash"], sort=False)["document"].transform("first")
    repeated = documents.duplicated(["split", "text_hash"])
    train = documents[documents["split"] == "train"].drop_duplicates("text_hash").set_index("text_hash")["document"]
    leaked = documents["text_hash"].map(train).where(documents["split"] != "train")
    return documents.assign(
        same_text_as=first_of.where(repeated, ""),
        in_train=as_text(leaked),
        language_fault=_language_faults(documents, language),
    )


def _language_faults(documents: pd.DataFrame, language: str) -> "pd.Series[str]":
    """Why a document seems to be in another language, or the empty text."""
    faults = pd.Series("", index=documents.index, dtype=str)
    letters = documents["own_letters"] + documents["foreign_letters"]
    faults[documents["foreign_letters"] > letters * _MOST_FOREIGN] = "letters of another script"
    if function_word_pattern(language):
        long_enough = documents["words"] >= _WORDS_TO_JUDGE
        few = documents["function_words"] < documents["words"] * _FEWEST_FUNCTION_WORDS
        faults[long_enough & few] = f"hardly a function word of {language!r}"
    return faults


def _no_documents() -> pd.DataFrame:
    """The table of no document at all, with the columns that the checks name."""
    empty = pa.RecordBatch.from_pylist([], pa.schema(_ARROW_SCHEMA))
    return _describe(empty, "train", "", _Totals())


def _corpus(documents: pd.DataFrame, totals: _Totals, metrics: Mapping[str, Any]) -> Frame:
    """The one row of frame corpus."""
    counts = documents["split"].value_counts()
    foreign, own = int(documents["foreign_letters"].sum()), int(documents["own_letters"].sum())
    words = int(documents["words"].sum())
    shares = {f"{name}_share": count / max(totals.sentences, 1) for name, count in totals.faults.items()}
    values = {
        "splits": ", ".join(sorted(str(split) for split in counts.index)),
        "train_documents": int(counts.get("train", 0)),
        "validation_documents": int(counts.get("validation", 0)),
        "validation_share": int(counts.get("validation", 0)) / max(len(documents), 1),
        "documents": len(documents),
        "lost": "; ".join(
            f"{split}: {counts.get(split, 0)} of {metrics.get(f'{split}_documents')}"
            for split in ("train", "validation")
            if counts.get(split, 0) != metrics.get(f"{split}_documents")
        ),
        "sentences": totals.sentences,
        "characters": totals.characters,
        "words": words,
        "characters_per_sentence": totals.characters / max(totals.sentences, 1),
        "source_share": documents["source"].nunique() / max(len(documents), 1),
        "foreign_share": foreign / max(foreign + own, 1),
        "own_letter_share": own / max(totals.characters, 1),
        "function_word_share": int(documents["function_words"].sum()) / max(words, 1),
        "duplicate_share": float((documents["same_text_as"] != "").mean()) if len(documents) else 0.0,
        **shares,
    }
    examples: dict[str, list[str]] = {f"{name}_share": found for name, found in totals.examples.items()}
    examples["foreign_share"] = first(_most(documents, documents["foreign_letters"] / documents["characters"].clip(1)))
    return summary(values, examples)


def _most(documents: pd.DataFrame, share: "pd.Series[float]") -> list[str]:
    """The ids of the documents with the most of something, if they have any."""
    order = share[share > 0].sort_values(ascending=False, kind="stable").index[:EXAMPLES]
    return [str(documents["document"][place]) for place in order]
