"""Errors for people: what is wrong, where, and what to do about it, on one line."""

from functools import partial
from typing import Any
from urllib.parse import urlsplit


class BertlineError(Exception):
    """A fault the user can act on; shown without a traceback, with exit status 1.

    Args:
        what: what is wrong, in a few words.
        where: the file, key, row or address it was met at.
        fix: what to do about it.
    """

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix

    def __reduce__(self) -> tuple[Any, ...]:  # worker processes send it to the one that asked
        return partial(BertlineError, where=self.where, fix=self.fix), (self.what,)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.fix}."


def masked(address: str) -> str:
    """An address as it may be shown: its password, if it has one, reads ***."""
    parts = urlsplit(address)
    if parts.password is None:
        return address
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()
