"""Random numbers by address."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertline.pretraining.randomness import TRAINING, VALIDATION, below, permute, random_words, seed_of, uniform


@given(size=st.integers(1, 3000), key=st.integers(0, 2**63))
def test_every_key_permutes_every_size(size: int, key: int) -> None:
    places = permute(np.arange(size), size, key)
    assert sorted(places.tolist()) == list(range(size))


def test_a_permutation_leaves_no_trace_of_the_order_and_differs_by_key() -> None:
    size = 10_000
    one, other = (permute(np.arange(size), size, key) for key in (1, 2))
    assert abs(np.corrcoef(np.arange(size), one)[0, 1]) < 0.05
    assert (one == other).mean() < 0.01


@given(step=st.integers(0, 2**50), first=st.integers(0, 100), rows=st.integers(1, 20), width=st.integers(1, 50))
def test_a_rows_numbers_do_not_depend_on_the_rows_around_it(step: int, first: int, rows: int, width: int) -> None:
    whole = random_words(3, TRAINING, step, first_row=0, rows=first + rows, width=width)
    assert np.array_equal(whole[first:], random_words(3, TRAINING, step, first_row=first, rows=rows, width=width))


def test_seed_stream_step_and_row_each_give_other_numbers() -> None:
    def draw(seed: int = 0, stream: int = TRAINING, step: int = 5, row: int = 0) -> bytes:
        return random_words(seed, stream, step, first_row=row, rows=1, width=8).tobytes()

    assert len({draw(), draw(seed=1), draw(stream=VALIDATION), draw(step=6), draw(row=1)}) == 5
    assert seed_of(0, TRAINING, 1) != seed_of(0, TRAINING, 2)


def test_uniform_and_below_cover_their_range_evenly() -> None:
    words = random_words(0, TRAINING, 0, first_row=0, rows=1000, width=100)
    assert uniform(words).min() >= 0 and uniform(words).max() < 1
    counts = np.bincount(below(words, 7).ravel(), minlength=7)
    assert counts.sum() == words.size and np.abs(counts / words.size - 1 / 7).max() < 0.005
