"""What several seeds say together: the middle, the spread, and whether two recipes differ by more than their seeds do.

A fine-tuned score moves with the seed of head, order and dropout, by points on small tasks (Dodge et al. 2020). So a
recipe is judged by the median over its seeds, never by its best one, and shown with the least and the most.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

_DIGITS = 6


class Spread(NamedTuple):
    """One metric over the seeds of a recipe.

    Attributes:
        median: of an even number the mean of the middle two.
        least, most: the worst and the best seed.
        deviation: sample standard deviation; 0 for one seed.
        seeds: how many.
    """

    median: float
    least: float
    most: float
    deviation: float
    seeds: int


def spread(values: Sequence[float]) -> Spread:
    """Sum up one metric over seeds.

    Raises:
        ValueError: there is no value.
    """
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    median, least, most, deviation = (
        round(float(figure), _DIGITS) for figure in (statistics.median(values), min(values), max(values), deviation)
    )
    return Spread(median, least, most, deviation, len(values))


def middle_seed(scores: Mapping[int, float]) -> int:
    """The seed with the median score; of an even number the lower of the middle two, of equals the lowest seed.

    Raises:
        ValueError: there is no seed.
    """
    median = statistics.median_low(scores.values())
    return min(seed for seed, score in scores.items() if score == median)


def beyond(ours: Spread, theirs: Spread) -> Literal["above", "below", "within", "unknown"]:
    """Whether one recipe differs from another by more than the seeds do.

    "above": the worst of our seeds beats the best of theirs. "below": the other way round. "within": they overlap.
    "unknown": one side has a single seed, which says nothing of a spread.
    """
    if min(ours.seeds, theirs.seeds) < 2:
        return "unknown"
    if ours.least > theirs.most:
        return "above"
    return "below" if ours.most < theirs.least else "within"
