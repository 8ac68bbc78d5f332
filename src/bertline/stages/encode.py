"""Stage encode: the documents as token ids, memory-mapped, one token store a split."""

from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import atomic_directory, sha256_file, write_json
from bertline.base.stage import main
from bertline.corpus.parquet import SPLITS
from bertline.tokens.encoding import encode_documents, encoders
from bertline.tokens.store import TokenStore, write_store
from bertline.tokens.tokenizer import VOCAB, SpecialIds, load_tokenizer, read_vocab
from bertline.tokens.usage import unigram_accuracy, unigram_entropy, vocab_used


def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
    """Encode both splits with data/vocab, drop what hardly compresses; write data/tokens and its metrics."""
    size, sha256 = load_tokenizer(artifacts.vocab).get_vocab_size(), sha256_file(artifacts.vocab / VOCAB)
    unknown_id = SpecialIds.of(read_vocab(artifacts.vocab)).unk
    train, validation = (artifacts.tokens(split) for split in SPLITS)
    with (
        atomic_directory(train.parent) as directory,
        encoders(artifacts.vocab, params.encode.max_tokens_per_character) as workers,
    ):
        for split in SPLITS:
            batches = encode_documents(workers, artifacts.documents, split)
            write_store(directory / split, batches, vocab_size=size, vocab_sha256=sha256, unknown_id=unknown_id)
    stores = [TokenStore.open(train), TokenStore.open(validation)]
    tokens, unknown, words, dropped = (
        sum(store.meta[key] for store in stores) for key in ("tokens", "unknown", "words", "dropped")
    )
    metrics = {
        "train_tokens": stores[0].meta["tokens"],
        "validation_tokens": stores[1].meta["tokens"],
        "dropped_documents": dropped,
        "unknown_share": unknown / tokens,
        "tokens_per_word": tokens / words,
        "vocab_used": vocab_used(stores[0]),
        "unigram_entropy": unigram_entropy(stores[1]),
        "unigram_accuracy": unigram_accuracy(stores[1]),
    }
    write_json(artifacts.metrics("encode"), metrics)
    return metrics


if __name__ == "__main__":
    main(run)
