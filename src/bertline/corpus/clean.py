"""Cleaning that fits any text: one normal form for characters and white space, and sentences worth training on.

    normalise("Cafe\\u0301\\x00  au lait")   # "Café au lait"
    keep, dropped = readable(sentences)      # without formulas, addresses and strings of symbols

What docstrings need besides is in corpus/docstrings.py.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

MIN_WORDS = 3
MIN_LETTERS = 0.6  # share of letters and spaces

# Control and format characters (Unicode Cc, Cf) but white space: they carry no text and differ between copies of one.
# And halves of surrogate pairs, which JSON can spell and UTF-8 cannot write. U+0080 to U+009F are quotes, dashes and
# the euro of Windows-1252 that were read as Latin-1, and become these again, as in any browser (HTML, numeric
# character references).
# U+200C and U+200D (joiners) are kept: Persian, Hindi and emoji are spelled with them. So is U+FFFD, which stands where
# a letter was lost: without it gate_corpus could not tell that text was decoded in the wrong way.
_CONTROL = re.compile(
    "[\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f\\xad\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u2064\\ud800-\\udfff\\ufeff]"
)
_WINDOWS = {chr(byte): bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0)}
_ADDRESS = re.compile(r"https?://|www\.\w|\w@\w+\.\w")
_FORMULA = re.compile(r"\\[a-zA-Z]{2,}|[_^]\{")
_CODE = re.compile(
    r"\w\(.*[^=<>!]=[^=].*\)"  # call(name=value)
    r"|^(?:import|from|def|class|return|elif|assert|print\() ?\w+.*[(:=]"
    r"|^[\w.]+ = \S"
    r"|[{};]\s*$|->|:=|===|--\w+[= ]"
)
_STAMP = re.compile(r"^(?:Create Date|Revision ID|Revises|Created|Generated|Author|Copyright)\b.*[:(]")


def normalise(text: str, counts: Counter[str] | None = None) -> str:
    """Unicode NFC, no control characters, every run of white space one space. Normalising twice changes nothing.

    What stood between two words as a control character of Windows-1252 stays as what it was: don't, not dont.

    Args:
        text: any text.
        counts: counts the control characters that went, and the texts that were not in NFC.
    """
    text, control = _CONTROL.subn(_as_meant, text)
    # Deleting a control character can bring a letter and its accent together: NFC comes after.
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    if counts is not None and (control or composed != text):
        counts["characters_control"] += control
        counts["paragraphs_not_nfc"] += composed != text
    return " ".join(composed.split())


def _as_meant(control: re.Match[str]) -> str:
    return _WINDOWS.get(control[0], "")


def readable(sentences: Iterable[str]) -> tuple[list[str], Counter[str]]:
    """The sentences that read as language, and how many each rule dropped."""
    kept: list[str] = []
    dropped: Counter[str] = Counter()
    for sentence in sentences:
        rule = _fault(sentence)
        if rule:
            dropped[f"sentences_{rule}"] += 1
        else:
            kept.append(sentence)
    return kept, dropped


def _fault(sentence: str) -> str:
    """The rule that drops a sentence; empty if none does."""
    letters = sum(map(str.isalpha, sentence)) + sentence.count(" ")
    rules = {
        "short": sentence.count(" ") < MIN_WORDS - 1,
        "address": bool(_ADDRESS.search(sentence)),
        "formula": bool(_FORMULA.search(sentence)),
        "code": bool(_CODE.search(sentence) or _STAMP.search(sentence)),
        "symbols": letters < MIN_LETTERS * len(sentence),
    }
    return next((name for name, met in rules.items() if met), "")
