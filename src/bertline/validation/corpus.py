"""Frames of gate_corpus: the document shards as statistics (document_statistics.py), and what comparing them tells."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bertline.base.errors import reason
from bertline.validation.document_statistics import Totals, describe
from bertline.validation.frames import EXAMPLES, Frame, as_text, summary
from bertline.validation.language import knows_function_words
from bertline.validation.near_duplicates import Sketches, near_copies

SCHEMA = "id: string, source: string, title: string, sentences: list<string>"
_ARROW_SCHEMA = [*((name, pa.string()) for name in ("id", "source", "title")), ("sentences", pa.list_(pa.string()))]
_BATCH = 2048  # documents
_MOST_FOREIGN = 0.5  # share of letters of another script in a document of the language, at most
_FEWEST_OWN = 0.2  # share of letters of the language's script among the characters of a document, at least
_WORDS_TO_JUDGE = 50
_FEWEST_FUNCTION_WORDS = 0.05  # English documentation: 0.27 in the mean, below 0.05 in 2 of 1000 documents
_WORDS_TO_HOLD_ONE = 20  # of shorter documents of English documentation, 2 of 1000 have no function word at all

_Described = tuple[pd.DataFrame, Sketches]  # of a batch of documents


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
    totals = Totals()
    shards: list[dict[str, Any]] = []
    parts = [_no_documents()]
    for path in sorted(directory.glob("*.parquet")):
        shard, found = _read_shard(path, language, totals)
        shards.append(shard)
        parts += found
    documents = pd.concat([table for table, _ in parts], ignore_index=True)
    documents = _compare(documents, np.concatenate([sketches for _, sketches in parts]), language)
    columns = ["file", "split", "rows", "columns", "fault"]
    return {
        "shards": Frame(pd.DataFrame(shards, columns=columns), "file"),
        "documents": Frame(documents.drop(columns="text_hash"), "document"),
        "corpus": _corpus(documents, totals, metrics),
    }


def _read_shard(path: Path, language: str, totals: Totals) -> tuple[dict[str, Any], list[_Described]]:
    """One row of frame shards, and what describe() says of its documents if it has the right schema."""
    split = path.name.partition("-")[0]
    shard: dict[str, Any] = {"file": path.name, "split": split, "rows": 0, "columns": "", "fault": ""}
    parts: list[_Described] = []
    try:
        with pq.ParquetFile(path) as file:
            shard["columns"] = _describe_schema(file.schema_arrow)
            shard["rows"] = file.metadata.num_rows
            if shard["columns"] == SCHEMA:
                parts = [describe(batch, split, language, totals) for batch in _batches(file)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        shard["fault"] = reason(error, 120)
    return shard, parts


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """The documents, some at a time; never of two row groups, which are written with a bounded number of characters."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(_BATCH, row_groups=[group], use_threads=False)


def _describe_schema(schema: pa.Schema) -> str:
    def name(kind: pa.DataType) -> str:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return f"list<{name(kind.value_type)}>"
        return str(kind).removeprefix("large_")

    return ", ".join(f"{column.name}: {name(column.type)}" for column in schema)


def _compare(documents: pd.DataFrame, sketches: Sketches, language: str) -> pd.DataFrame:
    """Add what is told by comparing.

    same_text_as is the first document of the split with the same text; nearly_as an earlier document, of any split,
    with most of its sentences; in_train, for validation documents, the training document with the same text;
    language_fault says what speaks for another language.
    """
    first_of = documents.groupby(["split", "text_hash"], sort=False)["document"].transform("first")
    repeated = documents.duplicated(["split", "text_hash"])
    train = documents[documents["split"] == "train"].drop_duplicates("text_hash").set_index("text_hash")["document"]
    leaked = documents["text_hash"].map(train).where(documents["split"] != "train")
    return documents.assign(
        same_text_as=first_of.where(repeated, ""),
        nearly_as=_near_copies(documents, sketches),
        in_train=as_text(leaked),
        language_fault=_language_faults(documents, language),
    )


def _near_copies(documents: pd.DataFrame, sketches: Sketches) -> "pd.Series[str]":
    """An earlier document that is nearly the same, or the empty text; whole copies are told of elsewhere."""
    places = near_copies(sketches)
    hashes = documents["text_hash"].to_numpy()
    near = (places >= 0) & (hashes != hashes[places])
    return pd.Series(documents["document"].to_numpy()[places], index=documents.index, dtype=str).where(near, "")


def _language_faults(documents: pd.DataFrame, language: str) -> "pd.Series[str]":
    """Why a document seems to be in another language, or the empty text."""
    faults = pd.Series("", index=documents.index, dtype=str)
    letters = documents["own_letters"] + documents["foreign_letters"]
    # Latin letters are foreign to no script, for names and terms; but a text is not all names.
    faults[documents["own_letters"] < documents["characters"] * _FEWEST_OWN] = f"hardly a letter of {language!r}"
    faults[documents["foreign_letters"] > letters * _MOST_FOREIGN] = "letters of another script"
    if knows_function_words(language):
        words, known = documents["words"], documents["function_words"]
        few = (words >= _WORDS_TO_JUDGE) & (known < words * _FEWEST_FUNCTION_WORDS)
        faults[few | ((words >= _WORDS_TO_HOLD_ONE) & (known == 0))] = f"hardly a function word of {language!r}"
    return faults


def _no_documents() -> _Described:
    """The table of no document at all, with the columns that the checks name."""
    empty = pa.RecordBatch.from_pylist([], pa.schema(_ARROW_SCHEMA))
    return describe(empty, "train", "", Totals())


def _corpus(documents: pd.DataFrame, totals: Totals, metrics: Mapping[str, Any]) -> Frame:
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
        "foreign_share": foreign / max(foreign + own, 1),
        "own_letter_share": own / max(totals.characters, 1),
        "duplicate_share": _share(documents["same_text_as"] != ""),
        "near_duplicate_share": _share(documents["nearly_as"] != ""),
        "leaked_share": _share(documents["in_train"][documents["split"] == "validation"] != ""),
        **shares,
    }
    examples: dict[str, list[str]] = {f"{name}_share": found for name, found in totals.examples.items()}
    examples["leaked_share"] = documents["document"][documents["in_train"] != ""].head(EXAMPLES).tolist()
    examples["foreign_share"] = _most(documents, documents["foreign_letters"] / documents["characters"].clip(1))
    return summary(values, examples)


def _share(found: "pd.Series[bool]") -> float:
    return float(found.mean()) if len(found) else 0.0


def _most(documents: pd.DataFrame, share: "pd.Series[float]") -> list[str]:
    """The documents with the most of something, by title and id, if they have any."""
    order = share[share > 0].sort_values(ascending=False, kind="stable").index[:EXAMPLES]
    return [str(documents["document"][place]) for place in order]
