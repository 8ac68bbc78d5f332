"""Words: what texts are compared by, in every script.

words_of("A door, it is.")     # ["a", "door", "it", "is"]
words_of("यह हिन्दी है")           # three: the signs of vowels are marks, which Python's \\w leaves out
"""

import re
import unicodedata
from functools import cache

_ASCII_WORD = re.compile(r"\w+")
# Where marks begin: one comparison spares most characters the search in some 300 ranges.
_AFTER_LATIN = "(?=[\u0300-\U000e01ef])"


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case: runs of letters, digits and underscores, with the marks that are on them."""
    text = text.lower()
    return (_ASCII_WORD if text.isascii() else _word()).findall(text)


def word_pattern(letters: str) -> str:
    """A regular expression for a run of `letters` (a class of characters), with the marks that are on them."""
    return rf"{letters}++(?:{_AFTER_LATIN}[{_marks()}]++{letters}*+)*+"


@cache
def _word() -> re.Pattern[str]:
    return re.compile(word_pattern(r"\w"))


@cache
def _marks() -> str:
    """Every combining mark (Unicode M), as the ranges of a class: a word begins with none, and none ends it."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)):  # the planes between hold none
        if unicodedata.category(chr(code)).startswith("M"):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
