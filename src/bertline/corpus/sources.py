"""Sources of text: from an address to a checked file under data/raw.

    python-docs:                 the documentation inside installed packages (corpus/python_docs.py)
    python-docs:json+numpy       of these packages alone
    file:PATH                    a text file, or a folder of them; relative to the checkout
    https://host/path            fetched, with retries
    mirror:NAME                  NAME below one of the mirrors

BERTLINE_MIRROR names mirrors, tried first and in order: directories or base URLs, laid out `<host>/<path>`. White space
separates them; a colon separates directories, as in PATH. A file reaches its final name only when it is complete and,
if the source has a sha256, has that hash; a mirror is held to it like the official address.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from bertline.base.config import Source
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_file, sha256_directory, sha256_file, write_jsonl
from bertline.corpus.python_docs import package_versions, parse_selection, read_docstrings
from bertline.tasks.docs import RAW_FILE

MIRROR_VARIABLE = "BERTLINE_MIRROR"
COMPRESSED = (".xz", ".gz", ".bz2")
TEXT_SUFFIXES = tuple(f"{text}{packed}" for text in (".txt", ".text") for packed in ("", *COMPRESSED))
TRIES = 4
BACK_OFF = 0.5  # seconds before the second try; doubled for each further one
_TIMEOUT = httpx.Timeout(60, connect=10)
_BLOCK = 1 << 20
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}

Entry = dict[str, Any]


class _Unavailable(Exception):
    """One place does not have the file, or not the right one; the next place may."""


def parse_mirrors(value: str) -> list[str]:
    """The entries of BERTLINE_MIRROR: URLs without a slash at the end, and directories."""
    mirrors: list[str] = []
    for entry in value.split():
        mirrors += [entry.rstrip("/")] if "://" in entry else [part for part in entry.split(":") if part]
    return mirrors


def fetch(source: Source, directory: Path, *, root: Path, mirrors: Sequence[str] = ()) -> Entry:
    """Fetch one source into `directory` and return its row of manifest.json.

    Args:
        source: address, and optionally the expected sha256 and the licence.
        directory: where the file or folder goes, under its own name.
        root: what relative `file:` paths start from.
        mirrors: directories and base URLs, tried first.

    Raises:
        BertlineError: unknown scheme, nothing at the address, or a hash that differs.
    """
    scheme, _, rest = source.address.partition(":")
    if scheme not in _SCHEMES:
        fix = "Use python-docs:, file:PATH, https://… or mirror:NAME"
        raise BertlineError(f"unknown scheme {scheme!r}", where=_where(source), fix=fix)
    path = directory / _name(source, scheme, rest)
    if path.exists():
        fix = "Rename one of them"
        raise BertlineError(f"two sources have the file name {path.name!r}", where=_where(source), fix=fix)
    details = _SCHEMES[scheme](source, path, root, mirrors)
    found = sha256_directory(path) if path.is_dir() else sha256_file(path)
    if source.sha256 and found not in source.sha256.split():
        fix = "Correct sha256 if the new content is meant"
        raise BertlineError(f"sha256 is {found}, expected {source.sha256}", where=_where(source), fix=fix)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    entry = {"address": source.address, "path": path.name, "sha256": found, "bytes": size, "licence": source.licence}
    return entry | details


def _where(source: Source) -> str:
    return f"download.sources, {source.address or 'an entry without address'}"


def _name(source: Source, scheme: str, rest: str) -> str:
    """The name under data/raw: the last part of the address."""
    if scheme == "python-docs":
        return RAW_FILE
    path = PurePosixPath(unquote(urlsplit(source.address).path) if scheme == "https" else rest)
    if not path.name or path.name == ".." or (scheme != "file" and ".." in path.parts):
        raise BertlineError("the address names no file", where=_where(source), fix="End it with the name of the file")
    return path.name


def _python_docs(source: Source, path: Path, _root: Path, _mirrors: Sequence[str]) -> Entry:
    packages = parse_selection(source.address.partition(":")[2])
    write_jsonl(path, read_docstrings(packages))
    return {"packages": package_versions(packages)}


def _local(source: Source, path: Path, root: Path, _mirrors: Sequence[str]) -> Entry:
    origin = root / source.address.partition(":")[2]
    if origin.is_file():
        _copy(origin, path)
        return {}
    if not origin.is_dir():
        fix = "Check the path; it is relative to the checkout"
        raise BertlineError(f"no file or folder {origin}", where=_where(source), fix=fix)
    texts = [file for file in sorted(origin.rglob("*")) if file.is_file() and file.name.endswith(TEXT_SUFFIXES)]
    texts = [file for file in texts if not any(part.startswith(".") for part in file.relative_to(origin).parts)]
    if not texts:
        what = f"no text file ({', '.join(TEXT_SUFFIXES)}) in folder {origin}"
        raise BertlineError(what, where=_where(source), fix="Put text files there, or name one file")
    for file in texts:
        _copy(file, path / file.relative_to(origin))
    return {"files": len(texts)}


def _web(source: Source, path: Path, _root: Path, mirrors: Sequence[str]) -> Entry:
    parts = urlsplit(source.address)
    if not parts.hostname:
        raise BertlineError("not a whole https address", where=_where(source), fix="Write https://host/path")
    below = f"{parts.hostname}{unquote(parts.path)}"
    _first_of([*_below_mirrors(mirrors, below), source.address], source, path)
    return {}


def _mirror(source: Source, path: Path, _root: Path, mirrors: Sequence[str]) -> Entry:
    if not mirrors:
        fix = f"Set {MIRROR_VARIABLE} to a directory or base URL that has it"
        raise BertlineError("no mirror is set", where=_where(source), fix=fix)
    _first_of(list(_below_mirrors(mirrors, source.address.partition(":")[2])), source, path)
    return {}


_SCHEMES: Mapping[str, Callable[[Source, Path, Path, Sequence[str]], Entry]] = {
    "python-docs": _python_docs,
    "file": _local,
    "https": _web,
    "mirror": _mirror,
}


def _below_mirrors(mirrors: Sequence[str], name: str) -> Iterator[str]:
    for mirror in mirrors:
        yield f"{mirror}/{name.lstrip('/')}"


def _first_of(places: Sequence[str], source: Source, path: Path) -> None:
    """Take the file from the first place that has it, whole and with the right hash."""
    problems = []
    for place in places:
        try:
            if "://" in place:
                download(place, path, source.sha256)
            else:
                _take_from_directory(Path(place), path, source.sha256)
        except _Unavailable as problem:
            problems.append(f"{place}: {problem}")
        else:
            return
    fix = f"Check the address and the network, or set {MIRROR_VARIABLE} to a place that has the file"
    raise BertlineError(f"could not be fetched ({'; '.join(problems)})", where=_where(source), fix=fix)


def _take_from_directory(origin: Path, path: Path, sha256: str) -> None:
    if not origin.is_file():
        raise _Unavailable("no such file")
    if sha256:
        _check_hash(origin, sha256)
    _copy(origin, path)


def _copy(origin: Path, path: Path) -> None:
    with atomic_file(path) as temporary:
        shutil.copyfile(origin, temporary)


def _check_hash(path: Path, sha256: str) -> None:
    found = sha256_file(path)
    if found not in sha256.split():
        raise _Unavailable(f"sha256 is {found}, expected {sha256}")


def download(url: str, path: Path, sha256: str = "") -> None:
    """Fetch a URL into `path`: to a temporary file, its length and hash checked, then moved.

    Connection faults, transient statuses, a body cut short and a wrong hash are tried again, TRIES times in all.
    Proxies are taken from the environment, as curl does.
    """
    for attempt in range(TRIES):
        time.sleep(BACK_OFF * 2 ** (attempt - 1) if attempt else 0)
        last = attempt == TRIES - 1
        try:
            with atomic_file(path) as temporary:
                _receive(url, temporary)
                if sha256:
                    _check_hash(temporary, sha256)
            return
        except httpx.HTTPStatusError as error:
            if last or error.response.status_code not in _TRANSIENT:
                raise _Unavailable(f"HTTP status {error.response.status_code}") from None
        except (httpx.TransportError, httpx.TooManyRedirects, httpx.InvalidURL) as error:
            if last:
                raise _Unavailable(f"{type(error).__name__}: {error}") from None
        except _Unavailable:
            if last:
                raise


def _receive(url: str, path: Path) -> None:
    # The bytes as published: a body that the server compresses on the way would not match its hash.
    headers = {"Accept-Encoding": "identity"}
    with (
        httpx.Client(follow_redirects=True, timeout=_TIMEOUT, headers=headers) as client,
        client.stream("GET", url) as response,
        path.open("wb") as out,
    ):
        response.raise_for_status()
        if url.startswith("https:") and response.url.scheme != "https":
            raise _Unavailable(f"redirected from https to {response.url}")
        for block in response.iter_raw(_BLOCK):  # a body shorter than its Content-Length raises here
            out.write(block)
