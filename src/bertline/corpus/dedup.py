"""Exact duplicates, and the split by content: both from one hash of the normalised text.

key = content_key(sentences)          # the same for texts that differ in case, punctuation or spacing alone
is_validation(key, fraction=0.05)     # a document's split never changes when the corpus grows
"""

import hashlib
import re
from collections.abc import Iterable

_WORD = re.compile(r"\w+")


def content_key(sentences: Iterable[str]) -> str:
    """128 bits in hexadecimal, of the words of a text in lower case."""
    digest = hashlib.blake2b(digest_size=16)
    for sentence in sentences:
        # A text without a letter or digit is its own key.
        digest.update(" ".join([*_WORD.findall(sentence.lower()), ""]).encode() or sentence.encode())
    return digest.hexdigest()


def is_validation(key: str, fraction: float) -> bool:
    """Whether a document belongs to the validation split: a share `fraction` of all keys does."""
    return int(key[:16], 16) < fraction * 2**64


class Seen:
    """Which keys came before; some 100 bytes of memory each, for the whole corpus."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    def add(self, key: str) -> bool:
        """Note a key; True if it was there already."""
        before = len(self._keys)
        self._keys.add(bytes.fromhex(key))
        return len(self._keys) == before
