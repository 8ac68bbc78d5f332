"""Archives to folders of files, with nothing in them trusted.

    unpacked = unpack(path, "corpus.tar.zst", Path("corpus"), limit=0, wanted=is_text)

Zip and tar (also compressed: .gz, .bz2, .xz, .zst). An archive is refused whole, with its first fault, if a name in it
leads out of the folder, or if it holds links, devices, a name twice, or more than it may unpack to. Files whose names
begin with a dot, and those not wanted, are left out.
"""

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from bertline.base.errors import BertlineError, reason
from bertline.corpus.addresses import is_name
from bertline.corpus.compression import COMPRESSED, ending, is_damage, open_compressed

RATIO = 100  # an archive may unpack to this many times its size; text is compressed 3 to 20 times
SMALL = 64 << 20  # bytes that any archive may unpack to
LARGE = 256 << 30  # bytes that none may unpack to unless its limit is set
MAX_FILES = 1_000_000
_HEADERS = 8 << 20  # bytes between two files of a tar; a long name takes 1,024
_BLOCK = 1 << 20
_UTF_8 = 1 << 11  # flag of a zip's name
_TAR = {".tgz": ".gz", ".tbz2": ".bz2", ".tbz": ".bz2", ".txz": ".xz", ".tzst": ".zst", ".tar": ""}
_TAR |= {f".tar{packed}": packed for packed in COMPRESSED}
_SUFFIXES = sorted((".zip", *_TAR), key=len, reverse=True)


@dataclass(frozen=True)
class Unpacked:
    """What was in an archive: files that were unpacked, their bytes, and files that were left out."""

    files: int
    bytes: int
    left_out: int


class Damaged(BertlineError):
    """The archive's bytes make no sense."""


class _Refused(Exception):
    """A reason not to unpack."""


class _Metered:
    """A stream that may be read up to a number of bytes: `allowed`."""

    def __init__(self, stream: IO[bytes], allowed: int) -> None:
        self._stream = stream
        self.position, self.allowed = 0, allowed

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self.position += len(block)
        if self.position > self.allowed:
            raise _Refused("")
        return block


class _Folder:
    """Where files go: each under its own name, all of them together within a limit."""

    def __init__(self, root: Path, limit: int, wanted: Callable[[str], bool]) -> None:
        self.root, self.limit, self.wanted = root, limit, wanted
        self.files = self.bytes = self.left_out = 0
        self._paths: set[PurePosixPath] = set()
        self._above: set[PurePosixPath] = set()  # folders

    def place(self, name: str) -> Path | None:
        """Where the file of this name goes; None: it is left out."""
        path = _checked(name)
        if path in self._paths or path in self._above or not self._paths.isdisjoint(path.parents):
            raise _Refused(f"it holds {name!r} twice")
        if len(self._paths) >= MAX_FILES:
            raise _Refused(f"it holds more than {MAX_FILES:,} files")
        self._paths.add(path)
        self._above.update(path.parents)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
        if hidden or not self.wanted(path.name):
            self.left_out += 1
            return None
        return self.root / path

    def write(self, stream: IO[bytes], path: Path) -> None:
        """Write a file from a stream of its bytes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            while block := stream.read(_BLOCK):
                self.bytes += len(block)
                if self.bytes > self.limit:
                    raise _Refused("")
                out.write(block)
        self.files += 1


def archive_stem(name: str) -> str:
    """The name of the folder that an archive becomes (`a.tar.gz`: `a`); empty if the name is not that of an archive."""
    suffix = _suffix(name)
    return name[: -len(suffix)] if suffix else ""


def _suffix(name: str) -> str:
    return next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix) and len(name) > len(suffix)), "")


def unpack(path: Path, name: str, folder: Path, *, limit: int, wanted: Callable[[str], bool]) -> Unpacked:
    """Unpack an archive into `folder`, which is made; on any fault it is removed again.

    Args:
        path: the archive.
        name: its published name, which says what it is.
        folder: where its files go.
        limit: bytes that it may unpack to; 0: RATIO times its size, but SMALL at least and LARGE at most.
        wanted: whether a file of this name is unpacked.

    Raises:
        BertlineError: the archive is damaged, dangerous, too large, or holds no file that is wanted.
    """
    made = _Folder(folder, _allowed(path, limit), wanted)
    with _explained(path, name, folder, made.limit):
        suffix = _suffix(name)
        if suffix == ".zip":
            _unpack_zip(path, made)
        else:
            _unpack_tar(path, _TAR[suffix], made)
        if not made.files:
            raise _Refused(f"it holds no text to read ({made.left_out:,} other files)")
    return Unpacked(made.files, made.bytes, made.left_out)


def decompress(path: Path, name: str, target: Path, *, limit: int) -> int:
    """Decompress a single file (.gz, .bz2, .xz, .zst) into `target`; return its bytes. Limits are those of `unpack`.

    Raises:
        BertlineError: the file is damaged or too large.
    """
    made = _Folder(target.parent, _allowed(path, limit), lambda _: True)
    with _explained(path, name, target, made.limit), open_compressed(path, ending(PurePosixPath(name))) as stream:
        made.write(stream, target)
    return made.bytes


def _allowed(path: Path, limit: int) -> int:
    return limit or min(max(RATIO * path.stat().st_size, SMALL), LARGE)


@contextmanager
def _explained(path: Path, name: str, target: Path, allowed: int) -> Iterator[None]:
    """Turn what may go wrong inside into one line, and take away what was made until then."""
    try:
        yield
    except Exception as error:
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        if isinstance(error, _Refused) and not str(error):
            what = f"it unpacks to more than {allowed:,} bytes, from {path.stat().st_size:,}"
            raise BertlineError(what, where=name, fix="Set max_unpacked if it is meant") from None
        if isinstance(error, _Refused | NotImplementedError):  # zipfile's word for a method it does not know
            raise BertlineError(str(error), where=name, fix="Pack it anew, or take another archive") from None
        wrong = isinstance(error, tarfile.TarError | zipfile.BadZipFile | ValueError | OverflowError)
        if wrong or is_damage(error):
            raise Damaged(f"damaged ({reason(error)})", where=name, fix="Fetch it again") from None
        raise


def _unpack_zip(path: Path, folder: _Folder) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = _zip_name(member)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _Refused(f"{name!r} in it is a link or a device")
            if member.flag_bits & 1:
                raise _Refused(f"{name!r} in it is encrypted")
            if name.endswith("/"):
                _check_folder(name)
            elif target := folder.place(name):
                with archive.open(member) as stream:
                    folder.write(stream, target)


def _zip_name(member: zipfile.ZipInfo) -> str:
    """The name of a file in a zip. Those of Japanese Windows may have a byte in them (of 表) that is no backslash."""
    if "\\" not in member.filename or member.flag_bits & _UTF_8:
        return member.filename
    try:
        name = member.filename.encode("cp437").decode("cp932")  # what zipfile took it for, and what it is
    except UnicodeError:
        return member.filename
    return member.filename if "\\" in name else name


def _unpack_tar(path: Path, packed: str, folder: _Folder) -> None:
    with open_compressed(path, packed or ".tar") as raw:
        metered = _Metered(raw, _HEADERS)
        with tarfile.open(fileobj=cast(IO[bytes], metered), mode="r|") as archive:
            for member in _members(archive, metered, folder.limit):
                if member.isdir():
                    _check_folder(member.name)
                elif not member.isreg() or member.issparse():
                    raise _Refused(f"{member.name!r} in it is a link, a device or sparse")
                elif target := folder.place(member.name):
                    stream = archive.extractfile(member)
                    assert stream is not None, "a regular file has content"
                    folder.write(stream, target)


def _members(archive: tarfile.TarFile, metered: _Metered, limit: int) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar. tarfile holds headers in memory, so that these have a limit of their own."""
    while True:
        metered.allowed = min(archive.offset, limit) + _HEADERS
        member = archive.next()
        if member is None:
            return
        archive.members = []  # type: ignore[attr-defined]  # it would keep every one of them; a stream goes forward only
        metered.allowed = min(archive.offset, limit) + _HEADERS  # its content, too
        yield member


def _check_folder(name: str) -> None:
    if name not in (".", "./"):  # `tar -C folder -c .` begins with the folder itself
        _checked(name)


def _checked(name: str) -> PurePosixPath:
    """A name in an archive as a path below the folder."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    drive = len(name) > 1 and name[1] == ":"
    if name.startswith("/") or drive or "\\" in name or ".." in parts:
        raise _Refused(f"{name!r} in it would lie outside of its folder")
    if not parts or not is_name(name) or any(len(part.encode()) > 255 for part in parts):
        raise _Refused(f"{name!r} in it is no name for a file")
    return PurePosixPath(*parts)
