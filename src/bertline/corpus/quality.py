"""Character and repetition ratios: what is no prose, sentence by sentence and document by document.

    counts = count_characters(sentences)         # letters, digits, … of each sentence, in NumPy
    keep = mostly_letters(counts, 0.5)
    fault = document_fault(counts_of_document, words, config)

After the rules of Gopher (Rae et al. 2021, appendix A) and C4 (Raffel et al. 2020), those that hold in any script.
"""

import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bertline.base.config import Documents
from bertline.corpus.words import Hashes, ngrams

_SEPARATOR = "\n"  # stands in no normalised sentence
REPEATED = 10  # words: n-grams of this length do not recur in prose by chance
_MIN_WORDS = 100  # fewer say nothing about repetition

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Characters:
    """Numbers of characters; each array is (texts,)."""

    total: Counts
    letters: Counts
    digits: Counts
    uppercase: Counts
    spaces: Counts

    def of(self, start: int, end: int, keep: NDArray[np.bool_]) -> "Characters":
        """The sums over the texts from `start` to `end` that are kept, as arrays of one element."""
        names = ("total", "letters", "digits", "uppercase", "spaces")
        sums = (getattr(self, name)[start:end][keep[start:end]].sum(keepdims=True) for name in names)
        return Characters(*sums)


@cache
def _weights() -> NDArray[np.uint64]:
    """For every code point four counters of 16 bits in one number: letter, digit, upper case, space."""
    weights = np.zeros(sys.maxunicode + 1, np.uint64)
    for code in range(0x32400):  # the planes above hold no letters
        category = unicodedata.category(chr(code))
        kinds = (category[0] in "LM", category[0] == "N", category in ("Lu", "Lt"), category[0] == "Z")
        weights[code] = sum(kind << (16 * place) for place, kind in enumerate(kinds))
    return weights


def count_characters(texts: Sequence[str]) -> Characters:
    """Count the characters of each text; a text has fewer than 65,536."""
    codes = np.frombuffer(_SEPARATOR.join([*texts, ""]).encode("utf-32-le"), np.uint32)
    ends = np.flatnonzero(codes == ord(_SEPARATOR))
    starts = np.append(0, ends[:-1] + 1) if len(ends) else ends
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_weights()[codes])])
    sums = running[ends] - running[starts]  # of all four; what wrapped around comes right again
    counts = [((sums >> np.uint64(16 * place)) & np.uint64(0xFFFF)).astype(np.int64) for place in range(4)]
    return Characters(ends - starts, *counts)


def mostly_letters(characters: Characters, share: float) -> NDArray[np.bool_]:
    """Which texts have a letter, and at least this share of letters among what is no space."""
    enough: NDArray[np.bool_] = characters.letters >= np.maximum(share * (characters.total - characters.spaces), 1)
    return enough


def document_fault(characters: Characters, words: Hashes, config: Documents) -> str:
    """The rule that drops a document; empty if none does.

    Args:
        characters: of the document's sentences that were kept, arrays of one element.
        words: the hashes of its words.
        config: the thresholds.
    """
    letters = max(int(characters.letters[0]), 1)
    if int(characters.digits[0]) > config.max_digit_share * letters:
        return "digits"
    if int(characters.uppercase[0]) > config.max_uppercase_share * letters:
        return "uppercase"
    if len(words) >= _MIN_WORDS and _repeated_share(words) > config.max_repeated_share:
        return "repetitive"
    return ""


def _repeated_share(words: Hashes) -> float:
    """The share of a text's n-grams of REPEATED words that stood in it before."""
    grams = np.sort(ngrams(words, REPEATED))
    return float((grams[1:] == grams[:-1]).mean()) if len(grams) > 1 else 0.0
