"""Sources of text: from an address to checked files under data/raw.

    python-docs:                          the documentation inside installed packages (corpus/python_docs.py)
    python-docs:json+numpy                of these packages alone
    file:PATH                             a file, or the texts of a folder; relative to the checkout
    https://host/path                     fetched (corpus/http.py)
    hf://datasets/OWNER/NAME@REV/PATH     a file of a dataset on the Hugging Face Hub
    mirror:NAME                           NAME below one of the mirrors

BERTLINE_MIRROR names mirrors, tried first and in order: directories or base URLs, laid out `<host>/<path>`. White space
separates them; a colon separates directories, as in PATH. A file reaches its final name only when it is complete and,
if the source has a sha256 or a size, has these; a mirror is held to them like the official address. Archives become
folders (corpus/archives.py).
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from bertline.base.artifacts import Artifacts
from bertline.base.download_config import Source
from bertline.base.errors import BertlineError, masked
from bertline.base.files import sha256_directory, sha256_file, visible, write_jsonl
from bertline.base.messages import say
from bertline.corpus.addresses import at_mirror, expand, is_fixed, is_name, local_name, scheme, url, where
from bertline.corpus.archives import Damaged, archive_stem, decompress, unpack
from bertline.corpus.compression import COMPRESSED, ending
from bertline.corpus.http import Unavailable, download, shown
from bertline.corpus.kept import Expected, Kept, copy, keep, link
from bertline.corpus.python_docs import package_versions, parse_selection, read_docstrings
from bertline.corpus.raw_files import BY_NAME
from bertline.corpus.readers import MANIFEST

MIRROR_VARIABLE = "BERTLINE_MIRROR"
FORMATS = (".txt", ".text", *BY_NAME)
_WIKI_EXTRACTOR = re.compile(r"wiki_\d+")  # its files have no suffix

Entry = dict[str, Any]


@dataclass(frozen=True)
class Places:
    """Where files come from, and where they are kept between runs.

    Attributes:
        root: what relative `file:` paths start from.
        kept: directory of what was fetched from the web.
        mirrors: directories and base URLs, tried first.
    """

    root: Path
    kept: Path
    mirrors: Sequence[str] = ()

    @classmethod
    def of(cls, artifacts: Artifacts) -> "Places":
        """Those of a checkout, and the mirrors that BERTLINE_MIRROR names."""
        mirrors = parse_mirrors(os.environ.get(MIRROR_VARIABLE, ""))
        return cls(artifacts.root, artifacts.runs / "download", mirrors)


@dataclass(frozen=True)
class _Found:
    """A file that has been found right, outside data/raw; `kept` if it may be given a second name there."""

    path: Path
    sha256: str
    kept: Kept | None = None


def parse_mirrors(value: str) -> list[str]:
    """The entries of BERTLINE_MIRROR: URLs without a slash at the end, and directories.

    Raises:
        BertlineError: one is neither, as http://[::1.
    """
    mirrors: list[str] = []
    for entry in value.split():
        try:
            urlsplit(entry)
        except ValueError:  # its message repeats what may be a part of a password
            where = f"environment variable {MIRROR_VARIABLE}, {masked(entry)}"
            raise BertlineError("not a whole URL", where=where, fix="Correct it, or unset the variable") from None
        mirrors += [entry.rstrip("/")] if "://" in entry else [part for part in entry.split(":") if part]
    return mirrors


def is_text(name: str) -> bool:
    """Whether a file of this name is taken from a folder or an archive: one that corpus/readers.py reads."""
    name = name.lower()
    packed = next((suffix for suffix in COMPRESSED if name.endswith(suffix)), "")
    plain = name.removesuffix(packed)
    return plain.endswith(FORMATS) or _WIKI_EXTRACTOR.fullmatch(plain) is not None


def fetch(source: Source, directory: Path, places: Places) -> list[Entry]:
    """Fetch one source into `directory` and return its rows of manifest.json: one, or one a file of its braces.

    Raises:
        BertlineError: unknown scheme, nothing at the address, a hash or size that differs, or an archive that is
            damaged or dangerous.
    """
    addresses = expand(source.address)
    if len(addresses) > 1 and (source.sha256 or source.bytes):
        fix = "Write one entry a file, each with its own"
        raise BertlineError("sha256 and bytes are those of one file", where=where(source.address), fix=fix)
    rows = [_fetch_one(replace(source, address=address), directory, places) for address in addresses]
    for row in rows:
        if count := row.get("unpacked", row).get("left_out", 0):
            names = f"texts are named {', '.join(FORMATS)}, also compressed"
            say(f"{row['address']}: {count:,} of its files left out ({names})")
    return rows


def fetch_packed(source: Source, directory: Path, places: Places) -> None:
    """Fetch one source as it is published: the readers of benchmarks look into archives.

    Raises:
        BertlineError: as fetch.
    """
    fetch(replace(source, unpack="nothing"), directory, places)


def check_apart(rows: Sequence[Entry]) -> None:
    """Refuse a source in the folder of another: its text would be read twice.

    Raises:
        BertlineError: one lies so.
    """
    paths = {row["path"] for row in rows}
    for row in rows:
        for folder in map(PurePosixPath.as_posix, PurePosixPath(row["path"]).parents):
            if folder in paths:
                what = f"{row['path']!r} lies in {folder!r}, the folder of another source"
                raise BertlineError(what, where=where(row["address"]), fix="Set another folder: for one of them")


def _fetch_one(source: Source, directory: Path, places: Places) -> Entry:
    kind = scheme(source.address)
    name = local_name(source.address)
    if kind == "python-docs":
        path = _free(source, directory, name)
        packages = parse_selection(source.address.partition(":")[2])
        write_jsonl(path, read_docstrings(packages))
        found = sha256_file(path)
        _check(source, found, path.stat().st_size)
        row = _row(source, path.relative_to(directory), found, path.stat().st_size)
        return row | {"packages": package_versions(packages)}
    if kind == "file":
        origin = places.root / source.address.partition(":")[2]
        if origin.is_dir():
            return _copy_folder(source, origin, directory)
        if not origin.is_file():
            fix = "Check the path; it is relative to the checkout"
            if set("{*?") & set(source.address):
                fix += ", and no pattern: name the folder, or one entry a file"
            fix = Artifacts(places.root).fix_missing(source.address.partition(":")[2], fix)
            raise BertlineError(f"no file or folder {origin}", where=where(source.address), fix=fix)
        found = sha256_file(origin)
        _check(source, found, origin.stat().st_size)
        return _put(source, _Found(origin, found), directory, name)
    with _from_web(source, places) as there:
        return _put(source, there, directory, name)


def _row(source: Source, path: Path, sha256: str, size: int) -> Entry:
    row = {
        "address": source.address,
        "path": path.as_posix(),
        "sha256": sha256,
        "bytes": size,
        "licence": source.licence,
    }
    return row | ({"format": source.format} if source.format else {})  # readers.py goes by it


def _free(source: Source, directory: Path, name: PurePosixPath) -> Path:
    """Where a source goes; what already has that name is another source."""
    path = directory / source.folder / name
    if path.exists() or path == directory / MANIFEST:
        what = f"two sources have the file name {path.relative_to(directory).as_posix()!r}"
        raise BertlineError(what, where=where(source.address), fix="Set folder: for one of them")
    return path


def _check(source: Source, sha256: str, size: int) -> None:
    problem = _expected(source).problem(sha256, size)
    if problem:
        fix = "Correct sha256 and bytes if the new content is meant"
        raise BertlineError(problem, where=where(source.address), fix=fix)


def _expected(source: Source) -> Expected:
    return Expected(tuple(source.sha256.split()), source.bytes)


def _put(source: Source, found: _Found, directory: Path, name: PurePosixPath) -> Entry:
    """Bring a file into the directory: unpacked, linked or copied."""
    stem = archive_stem(name.name) if source.unpack != "nothing" else ""
    suffixes = {"nothing": (), "archives": (".zst",), "all": COMPRESSED}[source.unpack]
    packed = not stem and ending(name) in suffixes
    path = _free(source, directory, name.with_name(stem) if stem else name.with_suffix("") if packed else name)
    row = _row(source, path.relative_to(directory), found.sha256, found.path.stat().st_size)
    try:
        if stem:
            made = unpack(found.path, name.name, path, limit=source.max_unpacked, wanted=is_text)
            inside = {"files": made.files, "bytes": made.bytes, "left_out": made.left_out}
            return row | {"unpacked": {**inside, "sha256": sha256_directory(path)}}
        if packed:
            size = decompress(found.path, name.name, path, limit=source.max_unpacked)
            return row | {"unpacked": {"files": 1, "bytes": size, "left_out": 0, "sha256": sha256_file(path)}}
    except BertlineError as error:
        if found.kept and isinstance(error, Damaged):
            found.kept.drop_file()  # the next run is to fetch it anew
        raise BertlineError(error.what, where=where(source.address), fix=error.fix) from None
    if found.kept:
        link(found.path, path)
    else:
        copy(found.path, path)
    return row


def _copy_folder(source: Source, origin: Path, directory: Path) -> Entry:
    path = _free(source, directory, PurePosixPath(origin.name))
    inside = visible(origin)
    files = [entry for entry in inside if entry.is_file()]
    leading = next((entry for entry in inside if entry.is_symlink() and not entry.is_file()), None)
    if leading:  # rglob does not enter it, and DVC would not see what changes behind it
        what = f"{leading.relative_to(origin).as_posix()!r} is a link to a folder, or to nothing"
        fix = "Put what it leads to in its place, or name that as a source of its own; links to files may stay"
        raise BertlineError(what, where=where(source.address), fix=fix)
    texts = [file for file in files if is_text(file.name)]
    if not texts:
        what = f"no text file ({', '.join(FORMATS)}, also compressed) in folder {origin}"
        raise BertlineError(what, where=where(source.address), fix="Put text files there, or name one file")
    for file in texts:
        if not is_name(name := file.relative_to(origin).as_posix()):
            what = f"the file name {name!r} has bytes that are no UTF-8, or control characters"
            raise BertlineError(what, where=where(source.address), fix="Rename the file")
        # The stage flushes the whole folder to disk; to do so file by file takes milliseconds for each.
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, path / name)
    found, size = sha256_directory(path), sum(file.stat().st_size for file in texts)
    _check(source, found, size)
    row = _row(source, path.relative_to(directory), found, size)
    return row | {"files": len(texts), "left_out": len(files) - len(texts)}


@contextmanager
def _from_web(source: Source, places: Places) -> Iterator[_Found]:
    """The file of an https:, hf: or mirror: address, right and whole, while no other process touches it."""
    official = [url(source.address)] if scheme(source.address) != "mirror" else []
    if not official and not places.mirrors:
        fix = f"Set {MIRROR_VARIABLE} to a directory or base URL that has it"
        raise BertlineError("no mirror is set", where=where(source.address), fix=fix)
    names = [source.address]
    if source.sha256 and scheme(source.address) == "https":  # by its hash a file is known, whatever it is called
        names.insert(0, source.address.partition("?")[0])
    mirrors = [at_mirror(mirror, name) for mirror in places.mirrors for name in dict.fromkeys(names)]
    with keep(places.kept, source.address) as kept:
        yield _first_of([*mirrors, *official], source, kept)


def _first_of(candidates: Sequence[str], source: Source, kept: Kept) -> _Found:
    """The file at the first place that has it, whole and right; that of an earlier run where it is still the one."""
    expected = _expected(source)
    state = kept.whole() if expected.sha256 or is_fixed(source.address) else {}
    if state and not expected.problem(state["sha256"], state["bytes"]):
        return _Found(kept.file, state["sha256"], kept)
    problems = []
    for place in candidates:
        try:
            if "://" in place:
                return _Found(kept.file, download(place, kept, expected), kept)
            return _in_directory(Path(place), expected)
        except Unavailable as problem:
            problems.append(f"{shown(place)}: {problem}")
    fix = f"Check the address and the network, or set {MIRROR_VARIABLE} to a place that has the file"
    raise BertlineError(f"could not be fetched ({'; '.join(problems)})", where=where(source.address), fix=fix)


def _in_directory(path: Path, expected: Expected) -> _Found:
    if not path.is_file():
        raise Unavailable("no such file")
    sha256 = sha256_file(path)
    problem = expected.problem(sha256, path.stat().st_size)
    if problem:
        raise Unavailable(problem)
    return _Found(path, sha256)
