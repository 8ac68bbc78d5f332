"""Token stores made by hand: one in which every token tells its place, and one with something to learn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bertline.tokens.store import TokenBatch, TokenStore, write_store
from bertline.tokens.tokenizer import SPECIAL_TOKENS

SPECIALS = len(SPECIAL_TOKENS)
Documents = Sequence[Sequence[Sequence[int]]]  # documents of sentences of ids


def make_store(
    directory: Path, documents: Documents, vocab_size: int, sources: Sequence[tuple[str, int]] = ()
) -> TokenStore:
    """A store of these ids; `sources` tells how many documents are from where."""
    sentences = [sentence for document in documents for sentence in document]
    batch = TokenBatch(
        ids=np.array([token for sentence in sentences for token in sentence], dtype=np.uint32),
        sentences=np.array([len(sentence) for sentence in sentences], dtype=np.int64),
        documents=np.array([len(document) for document in documents], dtype=np.int64),
        words=0,
        sources=sources,
    )
    write_store(directory, [batch], vocab_size=vocab_size, vocab_sha256="0" * 64, unknown_id=1)
    return TokenStore.open(directory)


def place_store(
    directory: Path,
    lengths: Sequence[Sequence[int]],
    *,
    inside: float = 0.3,
    sources: Sequence[tuple[str, int]] = (),
) -> tuple[TokenStore, list[str]]:
    """A store in which the token at place p has id SPECIALS + p, so that batches show where their tokens come from.

    Args:
        directory: where to.
        lengths: for each document, the tokens of each sentence.
        inside: share of tokens, not at the start of a sentence, that are ## pieces.
        sources: how many documents are from where, in order.
    """
    random = np.random.default_rng(0)
    vocabulary, documents, place = list(SPECIAL_TOKENS), [], 0
    for document in lengths:
        made = []
        for length in document:
            made.append(list(range(SPECIALS + place, SPECIALS + place + length)))
            continues = random.random(length) < inside
            vocabulary += [
                f"{'##' if number and continues[number] else ''}w{place + number}" for number in range(length)
            ]
            place += length
        documents.append(made)
    return make_store(directory, documents, len(vocabulary), sources), vocabulary


def random_lengths(documents: int, *, seed: int = 0, longest: int = 25) -> list[list[int]]:
    """For each document 2 to 9 sentences of 1 to `longest` tokens."""
    random = np.random.default_rng(seed)
    return [random.integers(1, longest + 1, size=random.integers(2, 10)).tolist() for _ in range(documents)]


def topic_store(directory: Path, *, documents: int = 60, seed: int = 0) -> tuple[TokenStore, list[str]]:
    """A store of 8 topics with 24 words each: every document speaks of one, so that there is something to learn."""
    random = np.random.default_rng(seed)
    topics, words = 8, 24
    vocabulary = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(topics * words))]
    vocabulary += [f"[unused{number}]" for number in range(-len(vocabulary) % 64)]
    made = []
    for number in range(documents):
        topic = SPECIALS + words * (number % topics)
        made.append([(topic + random.integers(0, words, size=12)).tolist() for _ in range(8)])
    return make_store(directory, made, len(vocabulary)), vocabulary
