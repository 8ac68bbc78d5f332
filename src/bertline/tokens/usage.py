"""How a token store uses its vocabulary: counts, share used, entropy, the commonest token."""

import numpy as np
from numpy.typing import NDArray

from bertline.tokens.store import TokenStore

_BLOCK = 1 << 22  # tokens counted at once


def token_counts(store: TokenStore) -> NDArray[np.int64]:
    """How often each id occurs (vocab_size,)."""
    size = int(store.meta["vocab_size"])
    counts = np.zeros(size, np.int64)
    for at in range(0, len(store.ids), _BLOCK):
        counts += np.bincount(store.ids[at : at + _BLOCK], minlength=size)
    return counts


def vocab_used(store: TokenStore) -> float:
    """The share of the vocabulary's entries that occur, special tokens counted; of them [UNK] alone may occur."""
    counts = token_counts(store)
    return float(np.count_nonzero(counts) / len(counts))


def unigram_entropy(store: TokenStore) -> float:
    """The entropy of the tokens' own distribution, in nats.

    It is the loss of the best model that knows frequencies and no context: a language model must fall below it.
    """
    counts = token_counts(store)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def unigram_accuracy(store: TokenStore) -> float:
    """The share of the commonest token: how often one is right who always guesses it."""
    counts = token_counts(store)
    return float(counts.max() / counts.sum())
