"""What the rows of a task tell as a whole: splits of one kind, columns in their places, targets of one scale."""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

_DEVIATIONS = 4
_LOPSIDED = 0.2  # natural logarithm of the ratio of two mean lengths: a fifth longer
_FAR = 20  # interquartile ranges from the median


def columns_swapped(rows: pd.DataFrame) -> str:
    """Splits in which the first text is clearly the longer one where it is the shorter in train, or the other way.

    Args:
        rows: columns split and lopsided: the logarithm of the ratio of the lengths of a row's two texts, NaN without.
    """
    by_split = rows.dropna(subset="lopsided").groupby("split")["lopsided"]
    means, errors = by_split.mean(), by_split.sem()
    clear = means[(means.abs() > _LOPSIDED) & (means.abs() > _DEVIATIONS * errors)]
    if "train" not in clear:
        return ""
    return ", ".join(str(split) for split, mean in clear.items() if mean * clear["train"] < 0)


def off_scale(labels: "pd.Series[str]") -> "pd.Series[str]":
    """The targets of a regression that lie 20 interquartile ranges or more from the median; else the empty text."""
    numbers = pd.to_numeric(labels, errors="coerce")
    low, middle, high = np.nanquantile(numbers, (0.25, 0.5, 0.75)) if numbers.notna().any() else (0.0, 0.0, 0.0)
    far = (numbers - middle).abs() > _FAR * (high - low)
    return labels.where(far & (high > low), "")


def halves(labels: "pd.Series[str]") -> list[str]:
    """The targets of a regression as two classes of one size: at most the median, or above."""
    numbers = pd.to_numeric(labels, errors="coerce")
    return ["high" if above else "low" for above in numbers > numbers.median()]


def imbalance(labels: Mapping[str, Counter[str]]) -> dict[str, float]:
    """For validation and test: how far the shares of the labels are from those in train, beyond chance.

    The total variation distance, from 0 (the same) to 1 (no label in common), less what a split of its size may show.
    """
    train = labels["train"]
    found = {}
    for split in ("validation", "test"):
        own = labels[split]
        kinds = set(train) | set(own)
        shares = [(own[label] / max(own.total(), 1), train[label] / max(train.total(), 1)) for label in kinds]
        distance = sum(abs(a - b) for a, b in shares) / 2
        found[split] = max(distance - math.sqrt(len(kinds) / max(own.total(), 1)), 0.0) if own else 0.0
    return found
