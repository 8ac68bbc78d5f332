"""Stage encode: the documents as token ids, memory-mapped, one token store a split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import atomic_directory, sha256_file, write_json
from bertline.base.stage import main
from bertline.corpus.parquet import SPLITS, read_sentences
from bertline.tokens.encoder import VOCAB, Encoder, SpecialIds, load_tokenizer, read_vocab
from bertline.tokens.store import TokenBatch, TokenStore, write_store
from bertline.tokens.usage import unigram_entropy, vocab_used


def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
    """Encode both splits with data/vocab; write data/tokens and its metrics."""
    tokenizer = load_tokenizer(artifacts.vocab)
    size, sha256 = tokenizer.get_vocab_size(), sha256_file(artifacts.vocab / VOCAB)
    unknown_id = SpecialIds.of(read_vocab(artifacts.vocab)).unk
    encoder = Encoder(tokenizer)
    train, validation = (artifacts.tokens(split) for split in SPLITS)
    with atomic_directory(train.parent) as directory:
        for split in SPLITS:
            batches = _encoded(encoder, artifacts.documents, split)
            write_store(directory / split, batches, vocab_size=size, vocab_sha256=sha256, unknown_id=unknown_id)
    stores = [TokenStore.open(train), TokenStore.open(validation)]
    tokens, unknown, words = (sum(store.meta[key] for store in stores) for key in ("tokens", "unknown", "words"))
    metrics = {
        "train_tokens": stores[0].meta["tokens"],
        "validation_tokens": stores[1].meta["tokens"],
        "unknown_share": unknown / tokens,
        "tokens_per_word": tokens / words,
        "vocab_used": vocab_used(stores[0]),
        "unigram_entropy": unigram_entropy(stores[1]),
    }
    write_json(artifacts.metrics("encode"), metrics)
    return metrics


def _encoded(encoder: Encoder, documents: Path, split: str) -> Iterator[TokenBatch]:
    for batch in read_sentences(documents, split):
        sentences = [sentence for document in batch for sentence in document]
        ids, lengths = encoder.encode(sentences)
        words = sum(len(sentence.split()) for sentence in sentences)
        yield TokenBatch(ids, lengths, np.array([len(document) for document in batch], np.int64), words)


if __name__ == "__main__":
    main(run)
