"""The work on one block of documents: clean, split, judge, fingerprint; a pure function, for any process or host.

    for block in blocks(read_documents(raw)): part = process(block, plan)

A block is cut by content, never by the number of workers. Its kept documents go to a part file in a scratch folder;
what is needed to decide about duplicates and contamination comes back, some 700 bytes a document.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bertline.base.config import Documents
from bertline.corpus.boilerplate import line_fault, without_bullet
from bertline.corpus.clean import normalise, readable
from bertline.corpus.contamination import Index, N
from bertline.corpus.dedup import Signatures, content_key, signatures
from bertline.corpus.docstrings import prose
from bertline.corpus.markup import without_markup
from bertline.corpus.parquet import SCHEMA
from bertline.corpus.quality import count_characters, document_fault, mostly_letters
from bertline.corpus.records import Document
from bertline.corpus.sentences import split_sentences
from bertline.corpus.words import Hashes, WordHashes, ngrams

BLOCK_CHARACTERS = 2_000_000
KEY = np.dtype("V16")

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Documents that are worked on together, and their number in the order of the corpus."""

    number: int
    documents: list[Document]


@dataclass(frozen=True)
class Plan:
    """What every block needs to know."""

    config: Documents
    scratch: Path  # the folder of the parts; on a cluster, one that all hosts share
    index: Path | None  # of the evaluation 13-grams (corpus/contamination.py)

    def part(self, number: int) -> Path:
        return self.scratch / f"part-{number:06}.arrow"


@dataclass(frozen=True)
class Part:
    """What is known of the documents of a part file, in its order."""

    keys: NDArray[np.void]  # (documents,) of KEY
    characters: Places  # (documents,)
    sentences: Places  # (documents,)
    signatures: Signatures  # (documents, dedup.PLACES)
    sharing: Places  # (hits,) the document of each 13-gram shared with an evaluation row
    shared: Places  # (hits,) its place in the index
    counts: Counter[str]  # what each rule took away


@dataclass
class _Kept:
    """The documents of a block that stay, so far."""

    documents: list[Document] = field(default_factory=list)
    sentences: list[list[str]] = field(default_factory=list)
    words: list[Hashes] = field(default_factory=list)


def blocks(documents: Iterable[Document]) -> Iterator[Block]:
    """Documents in blocks of about BLOCK_CHARACTERS."""
    held: list[Document] = []
    number = size = 0
    for document in documents:
        held.append(document)
        size += sum(map(len, document.paragraphs))
        if size >= BLOCK_CHARACTERS:
            yield Block(number, held)
            held, size, number = [], 0, number + 1
    if held:
        yield Block(number, held)


def process(block: Block, plan: Plan) -> Part:
    """Work on one block, write its part file, and return what is known of it."""
    counts: Counter[str] = Counter()
    sentences = [_clean_sentences(document, plan.config.language_code, counts) for document in block.documents]
    kept = _judge(block.documents, sentences, plan.config, counts)
    _write(kept, plan.part(block.number))
    sharing, shared = _shared(kept.words, plan.index)
    return Part(
        keys=np.frombuffer(b"".join(map(content_key, kept.words)), KEY),
        characters=np.array([sum(map(len, parts)) for parts in kept.sentences], np.int64),
        sentences=np.array(list(map(len, kept.sentences)), np.int64),
        signatures=signatures(kept.words if plan.config.near_duplicates else []),
        sharing=sharing,
        shared=shared,
        counts=counts,
    )


def _clean_sentences(document: Document, language: str, counts: Counter[str]) -> list[str]:
    """The sentences of a document after cleaning; `counts` counts what the rules took away."""
    sentences: list[str] = []
    for paragraph in document.paragraphs:
        if not document.docstrings:
            text = normalise(without_markup(paragraph, counts), counts)
            text = without_bullet(text)
            fault = line_fault(text) if text else "empty"
            if fault:
                counts[f"lines_{fault}"] += 1
            else:
                sentences += split_sentences(text, language)
            continue
        texts, lines = prose(paragraph)
        split = (sentence for text in texts for sentence in split_sentences(normalise(text, counts), language))
        kept, unreadable = readable(split)
        counts.update(lines)
        counts.update(unreadable)
        sentences += kept
    return sentences


def _judge(documents: list[Document], sentences: list[list[str]], config: Documents, counts: Counter[str]) -> _Kept:
    """Drop sentences and documents by their characters, length and repetitions."""
    characters = count_characters([sentence for parts in sentences for sentence in parts])
    readable_by_ratio = mostly_letters(characters, config.min_letter_share)
    hashes = _hashes()
    kept = _Kept()
    end = 0
    for document, parts in zip(documents, sentences, strict=True):
        start, end = end, end + len(parts)
        keep = readable_by_ratio[start:end]
        chosen = [part for part, wanted in zip(parts, keep.tolist(), strict=True) if wanted]
        counts["sentences_symbols"] += len(parts) - len(chosen)
        if len(chosen) < config.min_sentences or sum(map(len, chosen)) < config.min_characters:
            counts["documents_short"] += 1
            continue
        words = hashes.of(" ".join(chosen))
        fault = (
            document_fault(characters.of(start, end, readable_by_ratio), words, config)
            if not document.docstrings
            else ""
        )
        if fault:
            counts[f"documents_{fault}"] += 1
            continue
        kept.documents.append(document)
        kept.sentences.append(chosen)
        kept.words.append(words)
    return kept


@cache
def _hashes() -> WordHashes:
    """The words of this process."""
    return WordHashes()


@cache
def _index(path: Path) -> Index:
    return Index(path)


def _shared(words: list[Hashes], index: Path | None) -> tuple[Places, Places]:
    """The document of each 13-gram shared with an evaluation row, and the 13-gram's place in the index."""
    if index is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    found = [_index(index).shared(ngrams(document, N)) for document in words]
    sharing = np.repeat(np.arange(len(found)), list(map(len, found)))
    return sharing, np.concatenate([np.empty(0, np.int64), *found])


def _write(kept: _Kept, path: Path) -> None:
    table = pa.table(
        {
            "id": [content_key(words).hex() for words in kept.words],
            "source": [document.source for document in kept.documents],
            "title": [normalise(document.title) for document in kept.documents],
            "sentences": kept.sentences,
        },
        schema=SCHEMA,
    )
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.ipc.new_file(path, SCHEMA, options=options) as writer:
        writer.write_table(table)
