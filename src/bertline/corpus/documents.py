"""The corpus from raw files: read, clean, split into sentences, drop duplicates, hold some out.

    metrics = build_corpus(Path("data/raw"), directory, config)

Everything is a stream: a document is dropped or written before the next one is read; of each only a hash stays in
memory, to recognise duplicates.
"""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bertline.base.config import Documents
from bertline.base.errors import BertlineError
from bertline.corpus.clean import normalise, readable
from bertline.corpus.dedup import Seen, content_key, is_validation
from bertline.corpus.docstrings import prose
from bertline.corpus.parquet import SPLITS, CleanDocument, DocumentWriter
from bertline.corpus.readers import Document, read_documents
from bertline.corpus.sentences import split_sentences


def build_corpus(raw: Path, directory: Path, config: Documents) -> dict[str, Any]:
    """Write the splits into `directory` and return what they hold and what each rule dropped.

    Raises:
        BertlineError: a source cannot be read, or a split stays empty.
    """
    dropped: Counter[str] = Counter()
    seen = Seen()
    characters = 0
    with ExitStack() as stack:
        train, validation = (stack.enter_context(DocumentWriter(directory, split)) for split in SPLITS)
        for document in read_documents(raw):
            sentences = clean_sentences(document, config.language, dropped)
            size = sum(map(len, sentences))
            if size < config.min_characters or len(sentences) < config.min_sentences:
                dropped["documents_short"] += 1
                continue
            key = content_key(sentences)
            if seen.add(key):
                dropped["documents_duplicate"] += 1
                continue
            characters += size
            split = validation if is_validation(key, config.validation_fraction) else train
            split.add(CleanDocument(key, document.source, document.title, sentences))
    _refuse_empty(raw, train.documents, validation.documents, dropped)
    return {
        "train_documents": train.documents,
        "validation_documents": validation.documents,
        "train_sentences": train.sentences,
        "validation_sentences": validation.sentences,
        "characters": characters,
        "dropped": dict(sorted(dropped.items())),
    }


def clean_sentences(document: Document, language: str, dropped: Counter[str]) -> list[str]:
    """The sentences of a document after cleaning; `dropped` counts what the rules took away."""
    sentences: list[str] = []
    for paragraph in document.paragraphs:
        if not document.docstrings:
            parts = split_sentences(normalise(paragraph), language)
            kept = [part for part in parts if any(map(str.isalpha, part))]
            dropped["sentences_symbols"] += len(parts) - len(kept)
            sentences += kept
            continue
        texts, lines = prose(paragraph)
        split = (sentence for text in texts for sentence in split_sentences(normalise(text), language))
        kept, unreadable = readable(split)
        dropped.update(lines)
        dropped.update(unreadable)
        sentences += kept
    return sentences


def _refuse_empty(raw: Path, train: int, validation: int, dropped: Counter[str]) -> None:
    if train + validation == 0:
        rules = ", ".join(f"{count:,} {rule.replace('_', ' ')}" for rule, count in dropped.most_common(3) if count)
        what = f"the corpus is empty (dropped: {rules})" if rules else "the corpus is empty: no text in the sources"
        fix = "Add text to download.sources, or lower documents.min_characters and documents.min_sentences"
        raise BertlineError(what, where=str(raw), fix=fix)
    if train == 0 or validation == 0:
        what = f"{train + validation} documents do not fill both splits ({train} train, {validation} validation)"
        fix = "Add documents (an empty line separates them), or change documents.validation_fraction"
        raise BertlineError(what, where=str(raw), fix=fix)
