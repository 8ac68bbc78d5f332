"""Errors for people: what is wrong, where, and what to do about it, on one line."""

import codecs
import errno
import re
from functools import partial
from typing import Any


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


def reason(error: BaseException, most: int = 300) -> str:
    """What an exception says, masked, on one line, without a full stop; of a long text the first `most` characters."""
    text = masked(str(error))  # before it is cut: an address without its end is not known as one
    return " ".join(text.split())[:most].rstrip(".")


def one_line(error: BaseException) -> str:
    """What a person is told of an exception that `has_advice`."""
    if disk_is_full(error):
        place = getattr(error, "where", None) or getattr(error, "filename", None) or "disk"
        message = f"{place}: No space left on device. Free some space and run again."
    elif isinstance(error, BertlineError):
        message = str(error)
    elif gpu_is_full(error):
        told = ". ".join(reason(error).split(". ")[:2])  # the rest is about allocators
        message = f"{told}. Make batches smaller ({_SMALLER}), or end what else computes there; then run again."
    else:
        place = getattr(error, "filename", None) or "input or output"
        what = getattr(error, "strerror", None) or reason(error)
        message = f"{place}: {what}. Check the path and its permissions."
    return printable(masked(message))


def printable(text: str) -> str:
    """A text on one line, as it may be shown in a terminal or stand in a comment of YAML: control characters escaped.

    Headings of a table, names of files and a model's config.json are whatever somebody wrote there.
    """
    return _UNPRINTABLE.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


# Controls, ends of lines that only Unicode knows, halves of characters, and what is none.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def not_utf8(error: UnicodeDecodeError, where: str) -> BertlineError:
    """What to say of a text that is no UTF-8; bytes that begin as UTF-16 does are called so.

    Not latin1: it takes any byte, and makes control characters of the dashes, quotes and euros of Windows-1252.
    """
    wide = error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    fix = f"Convert it to UTF-8, for example with `iconv -f {'utf-16' if wide else 'windows-1252'} -t utf-8`"
    fix += "" if wide else " (that is Western European; Chinese may be gb18030 or big5, Russian windows-1251)"
    return BertlineError(f"not UTF-8 ({error.reason})", where=where, fix=fix)


def has_advice(error: BaseException) -> bool:
    """Whether `one_line` has advice: on a BertlineError, an OSError, and whatever a full disk or GPU has caused."""
    return isinstance(error, BertlineError | OSError) or disk_is_full(error) or gpu_is_full(error)


def gpu_is_full(error: BaseException) -> bool:
    """Whether a GPU had no memory left. This floor is below torch, and knows its exception by name."""
    return type(error).__name__ == "OutOfMemoryError"


_SMALLER = "pretrain.accumulation up, finetune.batch_size down"


def disk_is_full(error: BaseException | None) -> bool:
    """Whether a full disk was the cause: libraries raise exceptions of their own for it, and hide errno."""
    if error is None:
        return False
    words = str(error).lower()
    known = getattr(error, "errno", None) == errno.ENOSPC or any(told in words for told in _FULL)
    return known or disk_is_full(error.__cause__)


_FULL = ("no space left on device", "disk is full", "disk quota exceeded", " requested and ")  # the last: NumPy's


def masked(text: str) -> str:
    """A text, an address for instance, as it may be shown: passwords and tokens in its addresses read ***."""
    text = _WORD.sub(_without_password, text)
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def _without_password(word: re.Match[str]) -> str:
    # No further than to the last @: sought after each :// of a word without one, the time would be its length squared.
    before, at, after = word[0].rpartition("@")
    return _PASSWORD.sub(r"\1:***@", before + at) + after


_WORD = re.compile(r"\S+")
# scheme://user:password@host, where the password may hold what it should not: / and @. host:port/… is none.
_PASSWORD = re.compile(r"(://[^\s:/@]*):(?!\d{1,5}(?:[/?#\s]|$))\S*@")
_NAMES = "passw(?:or)?d|pwd|token|secret|api[_-]?key|access[_-]?key|signature|sig"  # the last: Azure's
_SECRETS = (
    (re.compile(r"(https?://)[^\s:/@]+@"), r"\1***@"),  # a token in the place of a user's name
    (re.compile(rf"([?&][\w.-]*(?:{_NAMES})=)[^&\s'\"]+", re.I), r"\1***"),
)
