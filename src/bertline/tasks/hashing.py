"""Choosing by hash: which rows go where depends on what they are, not on their order or on a random state."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def stable_hash(*parts: str) -> int:
    """A number of 64 bits from texts: the same on every machine and in every process, unlike hash()."""
    digest = hashlib.blake2b("\x1f".join(parts).encode(errors="surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def sample(items: Sequence[T], count: int, key: Callable[[T], str]) -> list[T]:
    """`count` of the items (or all), chosen by a hash of their key, in their own order."""
    if len(items) <= count:
        return list(items)
    ranked = sorted(range(len(items)), key=lambda place: (stable_hash("sample", key(items[place])), place))
    return [items[place] for place in sorted(ranked[:count])]
