"""Masked language modelling: which tokens to predict, and what the model sees in their place.

    pieces = Pieces.of(vocabulary)
    masked = mask_tokens(ids, lengths, randomness, pieces, mask_rate=0.15, whole_word=False)

As in BERT (Devlin et al. 2019, section 3.1, and create_pretraining_data.py in google-research/bert): a share of the
tokens is chosen; 80 % of those become [MASK], 10 % a random token, 10 % stay. The count is fixed by a sequence's
length, so that shapes are the same in every batch. Unlike there, [UNK] is never asked for, and neither a special token
nor an unused entry of the vocabulary ever stands in as the random one.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from bertline.base.errors import BertlineError
from bertline.pretraining.randomness import Words, below, uniform
from bertline.tokens.tokenizer import SpecialIds

_MASKED, _REPLACED = 0.8, 0.9  # below the first: [MASK]; from there to the second: a random token; above: as it is

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Pieces:
    """What examples need to know about a vocabulary.

    Attributes:
        continuation: (vocabulary,) True for pieces inside a word (##x).
        ordinary: (vocabulary,) True for what can be asked for: neither special nor [unused].
        replacements: ids of the ordinary pieces, ascending.
        special: ids of the special tokens.
    """

    continuation: Flags
    ordinary: Flags
    replacements: Ids
    special: SpecialIds

    @classmethod
    def of(cls, vocabulary: Sequence[str]) -> "Pieces":
        """Read them off the pieces, in the order of their ids.

        Raises:
            BertlineError: as SpecialIds.of; or nothing else is there.
        """
        special = SpecialIds.of(vocabulary)
        continuation = np.array([piece.startswith("##") for piece in vocabulary])
        ordinary = np.array([not piece.startswith("[unused") for piece in vocabulary])
        ordinary[list(astuple(special))] = False
        if not ordinary.any():
            fix = "Make it anew with `bertline vocab`"
            raise BertlineError("it holds special tokens only", where="the vocabulary", fix=fix)
        return cls(continuation, ordinary, np.flatnonzero(ordinary), special)


@dataclass(frozen=True)
class MaskRandomness:
    """The random words that masking takes: `order` (batch, sequence), `fate` and `replacement` (batch, predictions)."""

    order: Words
    fate: Words
    replacement: Words


@dataclass(frozen=True)
class Masked:
    """Sequences as the model sees them, and what it is asked for.

    Attributes:
        ids: (batch, sequence), with the chosen tokens masked.
        positions: (batch, predictions), ascending places of the chosen tokens; unneeded ones are 0.
        targets: (batch, predictions), what stood there; unneeded ones are [PAD].
        weights: (batch, predictions), 1 for a real prediction, 0 for an unneeded one.
    """

    ids: Ids
    positions: Ids
    targets: Ids
    weights: NDArray[np.float32]


def predictions_of(length: NDArray[np.int64] | int, mask_rate: float) -> NDArray[np.int64]:
    """How many tokens a sequence of `length` tokens, special ones included, is asked for: at least one."""
    return np.maximum(np.rint(np.asarray(length) * mask_rate).astype(np.int64), 1)


def mask_tokens(
    ids: Ids, lengths: Ids, randomness: MaskRandomness, pieces: Pieces, *, mask_rate: float, whole_word: bool
) -> Masked:
    """Choose tokens of each sequence and mask them.

    Args:
        ids: (batch, sequence), padded with [PAD].
        lengths: (batch,), real tokens of each.
        randomness: of the same shapes, and (batch, predictions_of(sequence, mask_rate)).
        pieces: of the vocabulary.
        mask_rate: share of a sequence's tokens to ask for.
        whole_word: choose whole words, as many as fit the count, instead of single tokens.
    """
    width = randomness.fate.shape[1]
    wanted = np.minimum(predictions_of(lengths, mask_rate), width)
    candidates = pieces.ordinary[ids]
    chooser = _choose_words if whole_word else _choose_tokens
    chosen = chooser(candidates, pieces.continuation[ids], randomness.order, wanted)
    rows, places = np.nonzero(chosen)
    counts = chosen.sum(axis=1)
    column = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
    positions = np.zeros((len(ids), width), dtype=np.int64)
    targets = np.full_like(positions, pieces.special.pad)
    weights = np.zeros(positions.shape, dtype=np.float32)
    positions[rows, column], targets[rows, column], weights[rows, column] = places, ids[rows, places], 1.0
    masked = ids.copy()
    masked[rows, places] = _seen(targets, randomness, pieces)[rows, column]
    return Masked(masked, positions, targets, weights)


def _seen(targets: Ids, randomness: MaskRandomness, pieces: Pieces) -> Ids:
    """What stands in for each target: 80 % [MASK], 10 % a random ordinary piece, 10 % itself."""
    fate = uniform(randomness.fate)
    other = pieces.replacements[below(randomness.replacement, len(pieces.replacements))]
    return np.where(fate < _MASKED, pieces.special.mask, np.where(fate < _REPLACED, other, targets))


def _choose_tokens(candidates: Flags, _continuation: Flags, order: Words, wanted: Ids) -> Flags:
    """The `wanted` candidates of each row that come first in a random order: (batch, sequence)."""
    ranked = np.argsort(_candidates_first(candidates, order), axis=1, kind="stable")
    count = np.minimum(wanted, candidates.sum(axis=1))
    first = np.arange(candidates.shape[1]) < count[:, None]
    chosen = np.zeros_like(candidates)
    np.put_along_axis(chosen, ranked, first, axis=1)
    return chosen


def _candidates_first(candidates: Flags, order: Words) -> Words:
    """Sort keys: random for candidates, the largest of all for the rest."""
    return np.where(candidates, order >> np.uint64(1), np.uint64(2**64 - 1))


def _choose_words(candidates: Flags, continuation: Flags, order: Words, wanted: Ids) -> Flags:
    """Whole words in a random order, each if it still fits into what is wanted: (batch, sequence).

    A word is a piece and the ## pieces after it. A longer word that no longer fits is passed over for a shorter one, as
    in BERT's create_pretraining_data.py.
    """
    batch, sequence = candidates.shape
    begins = candidates & ~(continuation & np.pad(candidates, ((0, 0), (1, 0)))[:, :-1])
    start = np.maximum.accumulate(np.where(begins, np.arange(sequence), 0), axis=1)  # of the word a token is in
    size = np.zeros((batch, sequence), dtype=np.int64)
    np.add.at(size, (np.arange(batch)[:, None], start), candidates)
    ranked = np.argsort(_candidates_first(begins, order), axis=1, kind="stable")
    left = wanted.copy()
    taken = np.zeros((batch, sequence), dtype=bool)
    every = np.arange(batch)
    for rank in range(int(begins.sum(axis=1).max(initial=0))):
        word = ranked[:, rank]
        fits = begins[every, word] & (size[every, word] <= left)
        taken[every, word] |= fits
        left -= np.where(fits, size[every, word], 0)
        if not left.any():
            break
    chosen: Flags = candidates & np.take_along_axis(taken, start, axis=1)
    return chosen
