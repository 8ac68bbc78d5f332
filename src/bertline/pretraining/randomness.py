"""Random numbers by address instead of by sequence: any (seed, stream, step, row) has its own, at once and for ever.

Nothing is drawn "before" anything else, so there is no state to save, to replay or to share between workers:

    words = random_words(seed=0, stream=TRAINING, step=1_000_000, first_row=32, rows=16, width=100)
    slots = permute(np.arange(10), size=1000, key=7)

The generator is Philox 4x64 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), keyed by seed and
stream, with the row and the step as its counter. The permutation is a Feistel network over a square of numbers.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Places = NDArray[np.int64]

TRAINING, VALIDATION, DROPOUT = 0, 1, 2  # streams: the same seed and step give unrelated numbers in each

_BLOCK = 4  # 64-bit words from one value of Philox's counter
_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def random_words(seed: int, stream: int, step: int, *, first_row: int, rows: int, width: int) -> Words:
    """Random 64-bit words of rows first_row … first_row + rows - 1 of a step: (rows, width).

    A row's words depend on its number, not on how many rows are asked for at once; `width` must stay the same.
    """
    blocks = -(-width // _BLOCK)
    counter = np.array([first_row * blocks, 0, step, 0], dtype=np.uint64)
    generator = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64), counter=counter)
    return generator.random_raw(rows * blocks * _BLOCK).reshape(rows, blocks * _BLOCK)[:, :width]


def uniform(words: Words) -> NDArray[np.float64]:
    """Words as numbers in [0, 1), with 53 random bits each."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(words: Words, bound: NDArray[np.int64] | int) -> Places:
    """Words as whole numbers in [0, bound); a bound of 0 counts as 1."""
    last = np.maximum(np.asarray(bound, dtype=np.int64) - 1, 0)
    return np.minimum((uniform(words) * bound).astype(np.int64), last)


def seed_of(seed: int, stream: int, step: int) -> int:
    """One number below 2^63 for a generator that wants a seed of its own, such as torch's."""
    return int(random_words(seed, stream, step, first_row=0, rows=1, width=1)[0, 0] >> np.uint64(1))


def permute(index: Places, size: int, key: Words | int) -> Places:
    """Where each index of 0 … size - 1 goes under the random permutation that `key` names; O(1) each, without a table.

    A Feistel network over pairs of digits in base ceil(sqrt(size)) permutes the square, which is hardly larger; what
    lands beyond `size` is permuted on until it falls inside (Black & Rogaway 2002, "Ciphers with arbitrary finite
    domains").
    """
    base = np.uint64(int(np.ceil(np.sqrt(size))))
    keys = np.broadcast_to(np.asarray(key, dtype=np.uint64), index.shape)
    places = _feistel(index.astype(np.uint64), base, keys)
    outside = np.flatnonzero(places >= size)
    while outside.size:
        places[outside] = _feistel(places[outside], base, keys[outside])
        outside = outside[places[outside] >= size]
    return places.astype(np.int64)


def _feistel(places: Words, base: np.uint64, keys: Words) -> Words:
    left, right = places // base, places % base
    for number in range(_ROUNDS):
        mixed = scramble(right + scramble(keys * np.uint64(_ROUNDS) + np.uint64(number)))
        left, right = right, (left + mixed % base) % base
    return left * base + right


def scramble(words: Words) -> Words:
    """Mix the bits of each word (the finalizer of SplitMix64: Steele et al. 2014); one to one."""
    words = (words + _GOLDEN).astype(np.uint64)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
