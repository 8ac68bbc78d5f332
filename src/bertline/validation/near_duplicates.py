"""Documents that repeat most sentences of another one, found from four hashes a document.

    sketch(hashes)                      # the four smallest of a document's sentence hashes
    near_copies(sketches)               # for each document the place of an earlier one that it nearly repeats, or -1

The smallest hashes of two sets agree as often as the sets do (bottom-k sketch; Broder 1997, "On the resemblance and
containment of documents"). Documents that share the smallest or the second smallest are compared with the first of
their kind; so a pair may be missed, but none is made up.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SKETCH = 4
_NONE = np.uint64(2**64 - 1)  # in place of a hash, where a document has fewer sentences
_LEAST = 0.75  # of the larger sketch, shared

Sketches = NDArray[np.uint64]


def sketch(hashes: Sequence[int]) -> list[int]:
    """The smallest distinct hashes of a document, ascending, filled up to four."""
    least = sorted(set(hashes))[:SKETCH]
    return least + [int(_NONE)] * (SKETCH - len(least))


def near_copies(sketches: Sketches) -> NDArray[np.int64]:
    """For each document the place of an earlier one that shares three quarters of its sketch, or -1.

    Args:
        sketches: (documents, 4).
    """
    found = np.full(len(sketches), -1, np.int64)
    places = np.arange(len(sketches))
    for column in range(2):
        keys = sketches[:, column]
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        leader = first[group]
        candidates = np.flatnonzero((leader != places) & (keys != _NONE) & (found < 0))
        alike = _alike(sketches[candidates], sketches[leader[candidates]])
        found[candidates[alike]] = leader[candidates[alike]]
    return found


def _alike(ours: Sketches, theirs: Sketches) -> NDArray[np.bool_]:
    """Which pairs of sketches share most of their hashes."""
    shared = ((ours[:, :, None] == theirs[:, None, :]).any(axis=2) & (ours != _NONE)).sum(axis=1)
    size = np.maximum((ours != _NONE).sum(axis=1), (theirs != _NONE).sum(axis=1))
    alike: NDArray[np.bool_] = shared >= _LEAST * size
    return alike
