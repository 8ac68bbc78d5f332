"""Masked language modelling: what is chosen, and what stands in for it, wherever the special tokens have their ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.base.errors import BertlineError
from bertline.pretraining.masking import Masked, MaskRandomness, Pieces, mask_tokens, predictions_of
from bertline.pretraining.randomness import random_words
from bertline.tokens.tokenizer import SPECIAL_TOKENS

WORDS, INSIDE = 120, 60
_UNUSED = [f"[unused{number}]" for number in range(115)]
_ORDINARY = [*(f"w{number}" for number in range(WORDS)), *(f"##p{number}" for number in range(INSIDE))]
LAYOUTS = {
    "specials first": [*SPECIAL_TOKENS, *_UNUSED, *_ORDINARY],
    "bert-base-uncased": ["[PAD]", *_UNUSED[:99], *SPECIAL_TOKENS[1:], *_UNUSED[99:], *_ORDINARY],
    "specials last": ["[PAD]", *_ORDINARY[:70], "[MASK]", "[SEP]", *_UNUSED, "[CLS]", *_ORDINARY[70:], "[UNK]"],
}
Sequences = tuple[np.ndarray, Masked]


@pytest.fixture(scope="module", params=LAYOUTS)
def vocabulary(request: pytest.FixtureRequest) -> list[str]:
    return LAYOUTS[request.param]


@pytest.fixture(scope="module")
def pieces(vocabulary: list[str]) -> Pieces:
    return Pieces.of(vocabulary)


def sequences(pieces: Pieces, lengths: np.ndarray, width: int, seed: int = 0) -> np.ndarray:
    """[CLS] … [SEP] … [SEP] [PAD] …, with ordinary pieces and a few [UNK]."""
    random = np.random.default_rng(seed)
    ids = random.choice(pieces.replacements, size=(len(lengths), width))
    ids[random.random(ids.shape) < 0.05] = pieces.special.unk
    column = np.arange(width)
    ids[:, 0] = pieces.special.cls
    ids[(column == lengths[:, None] // 2) | (column == lengths[:, None] - 1)] = pieces.special.sep
    ids[column >= lengths[:, None]] = pieces.special.pad
    return ids


def mask(
    pieces: Pieces, ids: np.ndarray, lengths: np.ndarray, *, rate: float = 0.15, whole_word: bool = False, step: int = 0
) -> Masked:
    batch, width = ids.shape
    count = int(predictions_of(width, rate))
    words = random_words(1, 0, step, first_row=0, rows=batch, width=width + 2 * count)
    randomness = MaskRandomness(words[:, :width], words[:, width : width + count], words[:, width + count :])
    return mask_tokens(ids, lengths, randomness, pieces, mask_rate=rate, whole_word=whole_word)


@pytest.fixture(scope="module")
def many(pieces: Pieces) -> Sequences:
    lengths = np.full(4000, 64)
    ids = sequences(pieces, lengths, 64)
    return ids, mask(pieces, ids, lengths)


def test_ordinary_pieces_are_neither_special_nor_unused(vocabulary: list[str], pieces: Pieces) -> None:
    special = {
        "[PAD]": pieces.special.pad,
        "[UNK]": pieces.special.unk,
        "[CLS]": pieces.special.cls,
        "[SEP]": pieces.special.sep,
        "[MASK]": pieces.special.mask,
    }
    assert special == {token: vocabulary.index(token) for token in SPECIAL_TOKENS}
    assert {vocabulary[place] for place in pieces.replacements} == set(_ORDINARY)
    assert np.array_equal(np.flatnonzero(pieces.ordinary), pieces.replacements)
    assert [piece for piece, inside in zip(vocabulary, pieces.continuation, strict=True) if inside] == _ORDINARY[WORDS:]


def test_80_percent_become_mask_10_percent_random_10_percent_stay(many: Sequences, pieces: Pieces) -> None:
    _, masked = many
    seen = np.take_along_axis(masked.ids, masked.positions, axis=1)
    count = seen.size
    for share, expected in (
        ((seen == pieces.special.mask).mean(), 0.8),
        ((seen == masked.targets).mean(), 0.1 + 0.1 / len(pieces.replacements)),
    ):
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_random_tokens_are_ordinary_and_evenly_drawn(many: Sequences, vocabulary: list[str], pieces: Pieces) -> None:
    _, masked = many
    seen = np.take_along_axis(masked.ids, masked.positions, axis=1)
    replaced = seen[(seen != pieces.special.mask) & (seen != masked.targets)]
    drawn = np.bincount(replaced, minlength=len(vocabulary))
    counts = drawn[[vocabulary.index(piece) for piece in _ORDINARY]]
    assert counts.sum() == len(replaced)
    expected = len(replaced) / (WORDS + INSIDE)
    assert ((counts - expected) ** 2 / expected).sum() < 2 * (WORDS + INSIDE)  # chi-squared, far in its tail


@pytest.mark.parametrize("whole_word", [False, True])
def test_every_place_is_as_likely_to_be_chosen(many: Sequences, pieces: Pieces, whole_word: bool) -> None:
    ids, masked = many
    if whole_word:
        masked = mask(pieces, ids, np.full(len(ids), 64), whole_word=True)
    chosen = np.zeros(ids.shape, dtype=bool)
    rows, columns = np.nonzero(masked.weights)
    chosen[rows, masked.positions[rows, columns]] = True
    shares = chosen[:, 1:32].sum(axis=0) / (ids[:, 1:32] != pieces.special.unk).sum(axis=0)
    assert np.abs(shares - shares.mean()).max() < 0.03


@given(
    lengths=st.lists(st.integers(4, 40), min_size=1, max_size=8),
    rate=st.floats(0.01, 0.5),
    step=st.integers(0, 1000),
    whole_word=st.booleans(),
)
def test_targets_are_what_stood_there_and_never_special(
    vocabulary: list[str], pieces: Pieces, lengths: list[int], rate: float, step: int, whole_word: bool
) -> None:
    real = np.array(lengths)
    ids = sequences(pieces, real, 40, seed=step)
    masked = mask(pieces, ids, real, rate=rate, step=step, whole_word=whole_word)
    used = masked.weights > 0
    assert np.array_equal(np.take_along_axis(ids, masked.positions, axis=1)[used], masked.targets[used])
    assert {vocabulary[target] for target in masked.targets[used]} <= set(_ORDINARY)
    assert (masked.targets[~used] == vocabulary.index("[PAD]")).all() and (masked.positions[~used] == 0).all()
    untouched = np.ones(ids.shape, dtype=bool)
    rows, columns = np.nonzero(used)
    untouched[rows, masked.positions[rows, columns]] = False
    assert np.array_equal(ids[untouched], masked.ids[untouched])
    counts = used.sum(axis=1)
    assert (np.diff(np.where(used, masked.positions, 10**6 + np.arange(used.shape[1])), axis=1) > 0).all()
    wanted = np.minimum(predictions_of(real, rate), np.isin(ids, pieces.replacements).sum(axis=1))
    assert (counts <= wanted).all() if whole_word else np.array_equal(counts, wanted)


def test_whole_words_are_masked_wholly_or_not_at_all_and_fill_the_count(pieces: Pieces) -> None:
    lengths = np.full(500, 64)
    ids = sequences(pieces, lengths, 64, seed=3)
    masked = mask(pieces, ids, lengths, whole_word=True)
    chosen = np.zeros(ids.shape, dtype=bool)
    rows, columns = np.nonzero(masked.weights)
    chosen[rows, masked.positions[rows, columns]] = True
    ordinary = pieces.ordinary[ids]
    joined = pieces.continuation[ids][:, 1:] & ordinary[:, :-1]  # to the piece before
    assert np.array_equal(chosen[:, 1:][joined], chosen[:, :-1][joined])
    assert masked.weights.sum(axis=1).mean() > 9.9  # of 10
    single = mask(pieces, ids, lengths)
    assert not np.array_equal(single.positions, masked.positions)


def test_a_word_that_began_before_the_sequence_is_asked_for_as_what_is_there_of_it(pieces: Pieces) -> None:
    """As of a word that is longer than any sequence: its pieces alone stand between the special tokens."""
    inside = np.flatnonzero(pieces.continuation)
    special = pieces.special
    ids = np.array([[special.cls, inside[0], inside[1], special.sep, pieces.replacements[0], special.sep]])
    masked = mask(pieces, ids, np.array([6]), rate=0.5, whole_word=True)
    assert masked.positions[masked.weights > 0].tolist() == [1, 2, 4]


def test_a_sequence_of_unknown_tokens_only_asks_for_nothing(pieces: Pieces) -> None:
    special = pieces.special
    ids = np.array([[special.cls, special.unk, special.unk, special.sep]])
    masked = mask(pieces, ids, np.array([4]), rate=0.5)
    assert masked.weights.sum() == 0 and np.array_equal(masked.ids, ids)


def test_a_vocabulary_that_cannot_work_is_refused() -> None:
    with pytest.raises(BertlineError, match=r"no \[MASK\]"):
        Pieces.of([*SPECIAL_TOKENS[:4], "a"])
    with pytest.raises(BertlineError, match="special tokens only"):
        Pieces.of([*SPECIAL_TOKENS, "[unused0]"])
