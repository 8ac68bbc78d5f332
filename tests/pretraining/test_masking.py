"""Masked language modelling: what is chosen, and what stands in for it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.base.errors import BertlineError
from bertline.pretraining.masking import (
    CLS,
    MASK,
    PAD,
    SEP,
    UNK,
    Masked,
    MaskRandomness,
    Pieces,
    mask_tokens,
    predictions_of,
)
from bertline.pretraining.randomness import random_words
from bertline.tokens.encoder import SPECIAL_TOKENS

WORDS, INSIDE, UNUSED = 120, 60, 15
VOCABULARY = [
    *SPECIAL_TOKENS,
    *(f"[unused{number}]" for number in range(UNUSED)),
    *(f"w{number}" for number in range(WORDS)),
    *(f"##p{number}" for number in range(INSIDE)),
]
PIECES = Pieces.of(VOCABULARY)
FIRST = len(SPECIAL_TOKENS) + UNUSED


def sequences(lengths: np.ndarray, width: int, seed: int = 0) -> np.ndarray:
    """[CLS] … [SEP] … [SEP] [PAD] …, with ordinary pieces and a few [UNK]."""
    random = np.random.default_rng(seed)
    ids = random.integers(FIRST, len(VOCABULARY), size=(len(lengths), width))
    ids[random.random(ids.shape) < 0.05] = UNK
    column = np.arange(width)
    ids[:, 0] = CLS
    ids[(column == lengths[:, None] // 2) | (column == lengths[:, None] - 1)] = SEP
    ids[column >= lengths[:, None]] = PAD
    return ids


def mask(
    ids: np.ndarray, lengths: np.ndarray, *, rate: float = 0.15, whole_word: bool = False, step: int = 0
) -> Masked:
    batch, width = ids.shape
    count = int(predictions_of(width, rate))
    words = random_words(1, 0, step, first_row=0, rows=batch, width=width + 2 * count)
    randomness = MaskRandomness(words[:, :width], words[:, width : width + count], words[:, width + count :])
    return mask_tokens(ids, lengths, randomness, PIECES, mask_rate=rate, whole_word=whole_word)


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, Masked]:
    lengths = np.full(4000, 64)
    ids = sequences(lengths, 64)
    return ids, mask(ids, lengths)


def test_80_percent_become_mask_10_percent_random_10_percent_stay(many: tuple[np.ndarray, Masked]) -> None:
    _, masked = many
    seen = np.take_along_axis(masked.ids, masked.positions, axis=1)
    count = seen.size
    for share, expected in (
        ((seen == MASK).mean(), 0.8),
        ((seen == masked.targets).mean(), 0.1 + 0.1 / len(PIECES.replacements)),
    ):
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_random_tokens_are_ordinary_and_evenly_drawn(many: tuple[np.ndarray, Masked]) -> None:
    _, masked = many
    seen = np.take_along_axis(masked.ids, masked.positions, axis=1)
    replaced = seen[(seen != MASK) & (seen != masked.targets)]
    assert replaced.min() >= FIRST
    counts = np.bincount(replaced, minlength=len(VOCABULARY))[FIRST:]
    expected = len(replaced) / (WORDS + INSIDE)
    assert ((counts - expected) ** 2 / expected).sum() < 2 * (WORDS + INSIDE)  # chi-squared, far in its tail


def test_every_place_is_as_likely_to_be_chosen(many: tuple[np.ndarray, Masked]) -> None:
    ids, masked = many
    chosen = np.zeros(ids.shape, dtype=bool)
    np.put_along_axis(chosen, masked.positions, True, axis=1)
    shares = chosen[:, 1:32].sum(axis=0) / (ids[:, 1:32] != UNK).sum(axis=0)
    assert np.abs(shares - shares.mean()).max() < 0.03


@given(
    lengths=st.lists(st.integers(4, 40), min_size=1, max_size=8),
    rate=st.floats(0.01, 0.5),
    step=st.integers(0, 1000),
    whole_word=st.booleans(),
)
def test_targets_are_what_stood_there_and_never_special(
    lengths: list[int], rate: float, step: int, whole_word: bool
) -> None:
    real = np.array(lengths)
    ids = sequences(real, 40, seed=step)
    masked = mask(ids, real, rate=rate, step=step, whole_word=whole_word)
    used = masked.weights > 0
    assert np.array_equal(np.take_along_axis(ids, masked.positions, axis=1)[used], masked.targets[used])
    assert (masked.targets[used] >= FIRST).all()
    assert (masked.targets[~used] == PAD).all() and (masked.positions[~used] == 0).all()
    untouched = np.ones(ids.shape, dtype=bool)
    rows, columns = np.nonzero(used)
    untouched[rows, masked.positions[rows, columns]] = False
    assert np.array_equal(ids[untouched], masked.ids[untouched])
    counts = used.sum(axis=1)
    assert (np.diff(np.where(used, masked.positions, 10**6 + np.arange(used.shape[1])), axis=1) > 0).all()
    wanted = np.minimum(predictions_of(real, rate), (ids >= FIRST).sum(axis=1))
    assert (counts <= wanted).all() if whole_word else np.array_equal(counts, wanted)


def test_whole_words_are_masked_wholly_or_not_at_all_and_fill_the_count() -> None:
    lengths = np.full(500, 64)
    ids = sequences(lengths, 64, seed=3)
    masked = mask(ids, lengths, whole_word=True)
    chosen = np.zeros(ids.shape, dtype=bool)
    rows, columns = np.nonzero(masked.weights)
    chosen[rows, masked.positions[rows, columns]] = True
    ordinary = PIECES.ordinary[ids]
    joined = PIECES.continuation[ids][:, 1:] & ordinary[:, :-1]  # to the piece before
    assert np.array_equal(chosen[:, 1:][joined], chosen[:, :-1][joined])
    assert masked.weights.sum(axis=1).mean() > 9.9  # of 10
    single = mask(ids, lengths)
    assert not np.array_equal(single.positions, masked.positions)


def test_a_sequence_of_unknown_tokens_only_asks_for_nothing() -> None:
    ids = np.array([[CLS, UNK, UNK, SEP]])
    masked = mask(ids, np.array([4]), rate=0.5)
    assert masked.weights.sum() == 0 and np.array_equal(masked.ids, ids)


def test_a_vocabulary_without_the_special_tokens_first_is_refused() -> None:
    with pytest.raises(BertlineError, match="special tokens"):
        Pieces.of(["a", *SPECIAL_TOKENS])
    with pytest.raises(BertlineError, match="special tokens only"):
        Pieces.of([*SPECIAL_TOKENS, "[unused0]"])
