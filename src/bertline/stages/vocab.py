"""Stage vocab: a WordPiece vocabulary from the training documents, as tokenizer files for every model.

With `vocab.reuse` it is that of a Hugging Face BERT instead, so that `pretrain.init_from` can go on from its weights.
"""

from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import atomic_directory, write_json
from bertline.base.stage import main
from bertline.tokens.counting import count_documents
from bertline.tokens.hf import read_tokenizer
from bertline.tokens.tokenizer import load_tokenizer, write_tokenizer
from bertline.tokens.wordpiece import train_vocab


def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
    """Count the words of the training split, learn the vocabulary or take it over, write data/vocab and its metrics."""
    theirs = read_tokenizer(artifacts.root / params.vocab.reuse) if params.vocab.reuse else None
    lowercase = theirs.lowercase if theirs else params.vocab.lowercase
    words = count_documents(artifacts.documents, "train", lowercase=lowercase)
    vocab = theirs.vocabulary if theirs else train_vocab(words, size=params.vocab.size)
    with atomic_directory(artifacts.vocab) as directory:
        write_tokenizer(vocab, directory, lowercase=lowercase)
        load_tokenizer(directory)  # what was written reads back
    metrics = {
        "size": len(vocab),
        "unused": sum(piece.startswith("[unused") for piece in vocab),
        "words": words.total(),
        "distinct_words": len(words.words),
        "whole_words": words.occurrences(vocab) / max(words.total(), 1),
    }
    write_json(artifacts.metrics("vocab"), metrics)
    return metrics


if __name__ == "__main__":
    main(run)
