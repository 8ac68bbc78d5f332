"""Do the labels stand beside their own texts, or one row off?

A shifted column leaves everything else in order: label set, balance, texts. But words then tell the label of the
neighbouring row better than that of their own. A naive Bayes classifier (McCallum and Nigam, 1998; hashed words) is
trained on half of the rows and tried on the other half, with the labels as they stand and shifted by one row either
way. Where words tell nothing of the labels, or rows are sorted by label, the three are alike, and nothing is said.
Shifted labels must also be told better than by the commonest one: in WNLI each sentence comes twice, with contrary
labels, so that words tell the wrong one, and next to that even the neighbour's label looks well told.

The same serves other kinds of task. A pair is also told by how much its texts have in common; the targets of a
regression are two classes, above the median and not; the tags of a sentence are labels of its words.
"""

import math
import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

ROWS = 4000  # of the training split, the first: enough to tell, few enough for a second
_FEATURES = 1 << 14
_WORDS = 60
_SMOOTHING = 0.1
_CLASSES = 32
_DEVIATIONS = 4  # standard errors of the difference of two accuracies, taken off for chance
_WORD = re.compile(r"\w+")
_SHAPE = re.compile(r"[^\W\d_a-z]+|[a-z]+|\d+")


def hashed_words(text: str) -> list[int]:
    """The first words of a text as places in a table of 16,384."""
    words = _WORD.findall(text.lower())[:_WORDS]
    return [zlib.crc32(word.encode(errors="replace")) % _FEATURES for word in words]


def word_features(word: str) -> list[int]:
    """A word of a tagged sentence: the word itself, and its shape ("Xx", "x_x", "0"), which unseen words have too."""
    shape = _SHAPE.sub(lambda match: "X" if match[0][0].isupper() else "x" if match[0][0].isalpha() else "0", word)
    return [zlib.crc32(part.encode(errors="replace")) % _FEATURES for part in (word.lower(), f"\0{shape}")]


def overlap(text: str, text_pair: str) -> list[int]:
    """How many words two texts have in common, as one feature: a tenth of the words of the shorter one."""
    ours, theirs = (set(_WORD.findall(side.lower())) for side in (text, text_pair))
    return [10 * len(ours & theirs) // max(min(len(ours), len(theirs)), 1)]


def label_shift(texts: Sequence[Sequence[int]], labels: Sequence[str]) -> float:
    """How much better shifted labels are told by the words than the labels as they stand, beyond chance.

    Args:
        texts: the hashed words of each row.
        labels: of each row.

    Returns:
        A difference of accuracies, to those of the labels as they stand or of the commonest one, whichever is less:
        above 0 if the labels seem to be a row off, else at most 0.
    """
    _, classes = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
    rows = len(texts) - 2
    if rows < 20 or classes.max(initial=0) < 1:
        return -1.0
    inner = texts[1:-1]
    places = np.repeat(np.arange(rows), [len(text) for text in inner])
    words = np.fromiter((word for text in inner for word in text), np.int64, len(places))
    own, before, after = (classes[1 + shift : 1 + shift + rows] for shift in (0, -1, 1))
    told = _right(places, words, own)
    gains: list[float] = []
    for shifted in (before, after):
        right = _right(places, words, shifted)
        gains.append(min(_surely_more(right, told), _surely_more(right, _commonest(shifted))))
    return max(gains)


def _commonest(classes: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which rows of the second half have the commonest class of the first."""
    half = len(classes) // 2
    right: NDArray[np.bool_] = classes[half:] == np.bincount(classes[:half]).argmax()
    return right


def _surely_more(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """By how much ours are more often right, less what chance may give to the rows on which they differ."""
    gain = ours.astype(float) - theirs
    return float(gain.mean() - _DEVIATIONS * gain.std() / math.sqrt(len(gain)))


def _right(places: NDArray[np.int64], words: NDArray[np.int64], classes: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which rows of the second half are told rightly by naive Bayes trained on the first."""
    rows, kinds = len(classes), int(classes.max()) + 1
    half = rows // 2
    seen = places < half
    ends = np.searchsorted(places, np.arange(half, rows + 1)) - np.count_nonzero(seen)
    texts = csr_array((np.ones(ends[-1]), words[~seen], ends), shape=(rows - half, _FEATURES))
    priors = np.log(np.bincount(classes[:half], minlength=kinds) + _SMOOTHING)
    best, told = np.full(rows - half, -np.inf), np.zeros(rows - half, np.intp)
    seen_words, seen_classes = words[seen], classes[places[seen]]
    for first in range(0, kinds, _CLASSES):  # a few at a time: hundreds of classes by 16,384 words would be gigabytes
        some = np.arange(first, min(first + _CLASSES, kinds))
        of = seen_classes - first
        among = (of >= 0) & (of < len(some))
        counts = np.bincount(of[among] * _FEATURES + seen_words[among], minlength=len(some) * _FEATURES)
        smoothed = counts.reshape(len(some), _FEATURES) + _SMOOTHING
        scores = texts @ np.log(smoothed / smoothed.sum(axis=1, keepdims=True)).T + priors[some]
        better = scores.max(axis=1) > best
        best, told = np.maximum(scores.max(axis=1), best), np.where(better, first + scores.argmax(axis=1), told)
    right: NDArray[np.bool_] = told == classes[half:]
    return right
