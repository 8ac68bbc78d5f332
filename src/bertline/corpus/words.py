"""Words as numbers of 64 bits, and n-grams of them: one pass for keys, near duplicates and decontamination.

    hashes = WordHashes()
    words = hashes.of("A door, it is.")          # uint64, one a word, in lower case
    ngrams(words, 3)                             # uint64, one a window of three words

What separates words separates them in every script: runs of letters and digits with their marks, and each Chinese
character or Japanese kana by itself, as in BERT; what Thai or Khmer writes between two spaces is one word.
The numbers depend on the text alone, not on the process.
"""

import hashlib
import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bertline.base.words import CJK, OTHER_LETTERS, word_pattern, words_of

Hashes = NDArray[np.uint64]

_HAS_CJK = re.compile(f"[{CJK}]")
_MOST_CACHED = 100_000  # words: some 15 MB a process, however large the corpus
# Odd constants of SplitMix64 (Steele et al. 2014): they spread the bits of one word over all 64.
_MULTIPLY = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(31)


def find_words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _word_or_cjk().findall(text.lower()) if not text.isascii() and _HAS_CJK.search(text) else words_of(text)


@cache
def _word_or_cjk() -> re.Pattern[str]:
    return re.compile(f"[{CJK}]|{word_pattern(OTHER_LETTERS)}")


class WordHashes(dict[str, int]):
    """Word -> 64 bits of its BLAKE2b hash; those seen before are remembered, up to a bound."""

    def __missing__(self, word: str) -> int:
        value = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        self[word] = value
        return value

    def of(self, text: str) -> Hashes:
        """The numbers of the words of a text, in order."""
        if len(self) > _MOST_CACHED:
            self.clear()
        words = find_words(text)
        return np.fromiter(map(self.__getitem__, words), np.uint64, len(words))


def ngrams(words: Hashes, n: int) -> Hashes:
    """A number for each window of n words; none if there are fewer than n words."""
    count = len(words) - n + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    mixed = words[:count].copy()
    for place in range(1, n):
        mixed *= _MULTIPLY  # wraps around, as it should
        mixed ^= mixed >> _SHIFT
        mixed += words[place : place + count]
    mixed *= _MIX
    mixed ^= mixed >> _SHIFT
    return mixed
