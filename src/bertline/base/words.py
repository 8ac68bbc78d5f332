"""Words: what texts are compared by, in every script.

words_of("A door, it is.")     # ["a", "door", "it", "is"]
words_of("यह हिन्दी है")           # three: the signs of vowels are marks, which Python's \\w leaves out
"""

import re
import unicodedata
from functools import cache

_ASCII_WORD = re.compile(r"\w+")
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""Chinese characters and Japanese kana, as the ranges of a class: each is a word, as none are written between them."""
OTHER_LETTERS = rf"[^\W{CJK}]"
# Where marks begin: one comparison spares most characters the search in some 300 ranges.
_AFTER_LATIN = "(?=[\u0300-\U000e01ef])"
# Marks of no script of their own: accents that no composed letter has, and what makes a symbol an emoji.
_ACCENTS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe2f"


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case: runs of letters, digits and underscores, with the marks inside of them.

    At its end a word keeps the marks of its own script, such as vowels; not an accent on a symbol, as in B̄.
    """
    text = text.lower()
    return (_ASCII_WORD if text.isascii() else _word()).findall(text)


def normalised(text: str) -> str:
    """The words of a text with single spaces between: what two copies of it have in common."""
    return " ".join(words_of(text))


def word_pattern(letters: str) -> str:
    """A regular expression for a word of `letters` (a class of characters) and marks."""
    at_the_end = f"(?:(?![{_ACCENTS}])[{_marks()}])++"
    return rf"{letters}++(?:{_AFTER_LATIN}(?:[{_marks()}]++{letters}++|{at_the_end}))*+"


def marked_pattern(letters: str) -> str:
    """As word_pattern, with every mark that stands at the end: nothing of a word may be cut off."""
    return rf"{letters}++(?:{_AFTER_LATIN}[{_marks()}]++{letters}*+)*+"


def marks_of(text: str) -> dict[int, int]:
    """Where marks stand in a text: the first character of each run of them, and the one behind its last."""
    return {} if text.isascii() else dict(run.span() for run in _run_of_marks().finditer(text))


@cache
def _word() -> re.Pattern[str]:
    return re.compile(word_pattern(r"\w"))


@cache
def _run_of_marks() -> re.Pattern[str]:
    return re.compile(f"{_AFTER_LATIN}[{_marks()}]+")


@cache
def _marks() -> str:
    """Every combining mark (Unicode M), as the ranges of a class: no word begins with one."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)):  # the planes between hold none
        if unicodedata.category(chr(code)).startswith("M"):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
