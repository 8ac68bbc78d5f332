"""Addresses of sources, read: which files they stand for, where these are fetched and what they are called.

    python-docs:[package+package]                       hf://datasets/OWNER/NAME@REVISION/PATH
    file:PATH                                           https://host/path
    mirror:NAME

In https:, hf: and mirror: braces stand for several files, as in a shell: `part-{0..9}.txt`, `{train,test}.txt`.
"""

import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from pathlib import PurePosixPath
from urllib.parse import SplitResult, quote, unquote, urlsplit

from bertline.base.errors import BertlineError
from bertline.tasks.docs import RAW_FILE

SCHEMES = ("python-docs", "file", "https", "hf", "mirror")
HUB = "https://huggingface.co"
MAX_FILES = 10_000  # that one address may stand for
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
# Revisions hold no slash, but for the two kinds of them that the Hub makes itself.
_HUB_ADDRESS = re.compile(
    r"hf://datasets/(?P<repository>[^/@]+(?:/[^/@]+)?)(?:@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+))?/(?P<path>.+)"
)
_PATH_CHARACTERS = "/:@!$&'()*+,;="  # what a path of a URL holds as it is, besides letters and digits
_COMMIT = re.compile(r"[0-9a-f]{40}")


def where(address: str) -> str:
    """How messages name a source."""
    return f"download.sources, {address or 'an entry without address'}"


def scheme(address: str) -> str:
    """The scheme of an address.

    Raises:
        BertlineError: there is no such scheme.
    """
    name = address.partition(":")[0]
    if name not in SCHEMES:
        fix = "Use python-docs:, file:PATH, https://…, hf://datasets/… or mirror:NAME"
        raise BertlineError(f"unknown scheme {name!r}", where=where(address), fix=fix)
    return name


def expand(address: str) -> list[str]:
    """The addresses that one with braces stands for, in order: `{00..12}` counts, `{a,b}` lists.

    Raises:
        BertlineError: unknown scheme, a brace that is neither, or too many files.
    """
    if scheme(address) in ("python-docs", "file"):
        return [address]
    pieces = _BRACES.split(address)  # text, inside of a brace, text, …
    choices: list[Sequence[str]] = [[text] for text in pieces]
    choices[1::2] = [_choices(inside, address) for inside in pieces[1::2]]
    count = 1
    for values in choices:
        count *= len(values)
    if count > MAX_FILES:
        raise _wrong(address, f"its braces stand for {count:,} files", f"Name at most {MAX_FILES:,} in one entry")
    return ["".join(parts) for parts in product(*choices)]


def _choices(inside: str, address: str) -> Sequence[str]:
    if span := _RANGE.fullmatch(inside):
        first, last = span.groups()
        width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
        if int(first) <= int(last):
            numbers = range(int(first), min(int(last), int(first) + MAX_FILES) + 1)
            return [f"{number:0{width}d}" for number in numbers]
    elif "," in inside:
        return inside.split(",")
    fix = "Write {00..12} to count or {a,b} to list"
    raise _wrong(address, f"{{{inside}}} is neither a range nor a list", fix)


def url(address: str) -> str:
    """The official URL of an https: or hf: address of one file.

    Raises:
        BertlineError: the address is not whole.
    """
    if scheme(address) == "https":
        _parts(address)
        return address
    parts = _hub_parts(address)
    # File names on the Hub are plain text: `#` and `?` are letters of them.
    return f"{HUB}/datasets/{quote(parts[0])}/resolve/{quote(parts[1], safe='')}/{quote(parts[2])}"


def _parts(address: str) -> SplitResult:
    """The parts of an https: address.

    Raises:
        BertlineError: it names no host, or none that there can be, as https://[x.
    """
    with suppress(ValueError):
        parts = urlsplit(address)
        if parts.hostname:
            return parts
    raise _wrong(address, "not a whole https address", "Write https://host/path")


def _hub_parts(address: str) -> tuple[str, str, str]:
    """Repository, revision and path of an hf: address."""
    found = _HUB_ADDRESS.fullmatch(address)
    if not found:
        fix = "Write hf://datasets/OWNER/NAME@REVISION/PATH, with the path of a file"
        raise _wrong(address, "not the address of a dataset's file on the Hub", fix)
    return found["repository"], unquote(found["revision"] or "main"), found["path"]


def _below_mirror(address: str) -> str:
    """Where a mirror has the file: host/path, or the NAME of a mirror: address."""
    if scheme(address) == "mirror":
        return address.partition(":")[2].lstrip("/")
    official = urlsplit(url(address))
    # The query may be all that tells two files apart. It is a part of the name: a slash in it begins no folder.
    query = f"?{official.query}".replace("/", "%2F") if official.query else ""
    return f"{official.hostname}{unquote(official.path)}{query}"


def at_mirror(mirror: str, address: str) -> str:
    """Where one mirror has the file: a path in a directory, or a URL, in which `#`, `?` and `%` of names are quoted."""
    below = _below_mirror(address)
    return f"{mirror}/{quote(below, safe=_PATH_CHARACTERS) if '://' in mirror else below}"


def is_fixed(address: str) -> bool:
    """Whether what the address leads to can never change: a file of a commit on the Hub."""
    return scheme(address) == "hf" and _COMMIT.fullmatch(_hub_parts(address)[1]) is not None


def local_name(address: str) -> PurePosixPath:
    """The path under data/raw: the last part of the address; for the Hub's files repository and path.

    Raises:
        BertlineError: the address names no file.
    """
    kind, rest = scheme(address), address.partition(":")[2]
    if kind == "python-docs":
        return PurePosixPath(RAW_FILE)
    if kind == "hf":
        repository, _, inside = _hub_parts(address)
        path = PurePosixPath(repository, inside)
    else:
        path = PurePosixPath(unquote(_parts(address).path) if kind == "https" else rest)
    outside = kind != "file" and (".." in path.parts or (kind == "hf" and path.is_absolute()))
    if not path.name or path.name == ".." or outside or not is_name(path.name):
        raise _wrong(address, "the address names no file", "End it with the name of the file")
    return path if kind == "hf" else PurePosixPath(path.name)


def is_name(text: str) -> bool:
    """Whether a text can name a file: no control characters, nothing that UTF-8 cannot write."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _wrong(address: str, what: str, fix: str) -> BertlineError:
    return BertlineError(what, where=where(address), fix=fix)
