"""Seeds: their spread, the one that is kept, and when a difference is beyond them."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.evaluation.seeds import beyond, middle_seed, spread

SCORES = st.lists(st.floats(-1, 1).map(lambda value: round(value, 4)), min_size=1, max_size=9)


def test_a_spread_is_median_least_most_and_sample_deviation() -> None:
    assert spread([0.5, 0.9, 0.7]) == (0.7, 0.5, 0.9, 0.2, 3)
    assert spread([0.25, 0.75]).median == 0.5
    assert spread([0.4]) == (0.4, 0.4, 0.4, 0.0, 1)
    with pytest.raises(ValueError, match="empty"):
        spread([])


@pytest.mark.parametrize(
    ("scores", "seed"),
    [
        ({0: 0.1, 1: 0.9, 2: 0.5}, 2),
        ({0: 0.1, 1: 0.9, 2: 0.5, 3: 0.6}, 2),  # of an even number the lower one: never flattered
        ({5: 0.5, 3: 0.5, 4: 0.5}, 3),  # of equals the lowest seed
        ({7: 0.2}, 7),
    ],
)
def test_the_middle_seed_is_kept(scores: dict[int, float], seed: int) -> None:
    assert middle_seed(scores) == seed


@given(SCORES)
def test_as_many_seeds_are_better_than_the_middle_one_as_are_worse(scores: list[float]) -> None:
    kept = scores[middle_seed(dict(enumerate(scores)))]
    assert sum(score < kept for score in scores) <= (len(scores) - 1) / 2
    assert sum(score > kept for score in scores) <= len(scores) / 2
    assert kept <= statistics.median(scores)


@given(SCORES, SCORES)
def test_beyond_is_fair_to_both_sides(ours: list[float], theirs: list[float]) -> None:
    swapped = {"above": "below", "below": "above", "within": "within", "unknown": "unknown"}
    assert beyond(spread(theirs), spread(ours)) == swapped[beyond(spread(ours), spread(theirs))]


def test_beyond_wants_every_seed_above_every_other() -> None:
    assert beyond(spread([0.5, 0.6]), spread([0.3, 0.4])) == "above"
    assert beyond(spread([0.5, 0.6]), spread([0.3, 0.5])) == "within"
    assert beyond(spread([0.5]), spread([0.3, 0.4])) == "unknown"
