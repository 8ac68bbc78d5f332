"""Files that are whole or absent: atomic writes, deterministic JSON, sha256, and locks.

A name in its final place means the content behind it is complete: everything is written to a temporary
neighbour, flushed to disk, and renamed; then the directory is flushed, so that the new name outlives a power cut.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bertline.base.errors import BertlineError, not_utf8

JsonRow = dict[str, Any]

_LOCK_POLL_SECONDS = 0.05
_LOCKS = "BERTLINE_LOCKS"


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    Raises:
        BertlineError: as `refuse_device`.
    """
    refuse_device(path)
    _make_directory(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp leaves it to its owner alone
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_device(path: Path) -> None:
    """Refuse to write a file in the place of a device or a pipe: /dev/null would be one from then on, for everybody.

    Raises:
        BertlineError: so it would.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        fix = "Name a file; without a name, answers go to standard output"
        raise BertlineError("a device or a pipe, no file", where=str(path), fix=fix)


def _umask() -> int:
    """What the user lets nobody do with new files. os.umask tells it by changing it, for all threads at once."""
    found = re.search(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1], 8) if found else 0o022


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary directory beside `path`; on success it takes the place of `path`, whole.

    What stood at `path` stays until the new content is complete and on disk. It is then set aside, as
    `.NAME.RANDOM.old/NAME`, for the instant in which the new takes its place. What a process that was killed had
    begun for `path` is removed first; what it had set aside is put back where nothing has taken its place.
    """
    with scratch_directory(path) as temporary:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        for file in (temporary, *sorted(temporary.rglob("*"))):
            sync(file)
        _put_in_place(temporary, path)


@contextmanager
def scratch_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary directory beside `path`, `.NAME.RANDOM.tmp`, and remove it.

    What a process that was killed had begun for `path` is removed first; what another one still writes to stays.
    """
    _make_directory(path.parent)
    _settle_abandoned(path)
    temporary, handle = _begin(path, ".tmp")
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Give a finished directory its name; what had the name until then is removed, or put back if that fails."""
    if not path.exists():
        temporary.replace(path)
        sync(path.parent)
        return
    aside, handle = _begin(path, ".old")
    try:
        path.replace(aside / path.name)
        temporary.replace(path)
        sync(path.parent)
    finally:
        _settle(aside, path)
        os.close(handle)


def _begin(path: Path, suffix: str) -> tuple[Path, int]:
    """A directory beside `path` for its content, and an open handle that locks it as long as somebody works there."""
    while True:
        begun = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=suffix))
        with suppress(FileNotFoundError):  # another writer took it for one that nobody holds, before it was locked
            handle = os.open(begun, os.O_RDONLY)
            with suppress(OSError):  # network file systems lock no directories: what is begun there stays
                fcntl.flock(handle, fcntl.LOCK_EX)
            if begun.exists():
                return begun, handle
            os.close(handle)


def _settle_abandoned(path: Path) -> None:
    """Settle what was begun or set aside for `path`, and that no living process holds."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[^.]+\.(tmp|old)")  # and not those of a name that goes on
    for begun in [entry for entry in path.parent.iterdir() if ours.fullmatch(entry.name)]:
        with suppress(OSError):  # it was finished meanwhile, or cannot be locked
            handle = os.open(begun, os.O_RDONLY)
            try:
                if begun.is_dir() and _try_lock(handle):
                    _settle(begun, path)
            finally:
                os.close(handle)


def _settle(begun: Path, path: Path) -> None:
    """Put back what was set aside for a content that never came; remove the rest."""
    aside = begun / path.name
    if begun.suffix == ".old" and aside.exists() and not path.exists():
        aside.replace(path)
        sync(path.parent)
    shutil.rmtree(begun, ignore_errors=True)


def _make_directory(path: Path) -> None:
    """Make a directory and those above it, each a flushed entry of its parent."""
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file or directory to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as indented JSON with sorted keys: the same value, the same bytes. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_rows(path: Path, rows: Iterable[JsonRow]) -> None:
    """Write a JSON array, one row a line: the shape `dvc plots` reads and `git diff` shows well."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    write_text(path, "[\n" + ",\n".join(lines) + "\n]\n")


def write_jsonl(path: Path, rows: Iterable[JsonRow]) -> int:
    """Stream rows into a JSONL file, atomically; return how many there were."""
    count = 0
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def parse_json(text: str | bytes, where: str, fix: str) -> Any:
    """The JSON value of a text; one that is malformed, or nested too deep to be read, is a BertlineError."""
    try:
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise not_utf8(error, where) from None
    except (ValueError, RecursionError) as error:
        raise BertlineError(f"not valid JSON ({error})", where=where, fix=fix) from None


def read_json(path: Path) -> Any:
    """Read one JSON value, a byte order mark before it or not; a missing or malformed file is a BertlineError."""
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"), str(path), "Write it anew")
    except FileNotFoundError:
        raise BertlineError("file not found", where=str(path), fix=_MISSING_FIX) from None
    except UnicodeDecodeError as error:
        raise not_utf8(error, str(path)) from None


def read_jsonl(path: Path) -> Iterator[JsonRow]:
    """Stream the rows of a JSONL file; a bad line is a BertlineError that names its number."""
    return (row for _, row in numbered_jsonl(path))


def numbered_jsonl(path: Path, shown: str = "") -> Iterator[tuple[int, JsonRow]]:
    """As read_jsonl, each row with the number of its line, from 1: empty lines are no rows.

    Args:
        path: of the file.
        shown: how messages call it, if not by its path.
    """
    try:
        lines = path.open("rb")
    except FileNotFoundError:
        raise BertlineError("file not found", where=str(path), fix=_MISSING_FIX) from None
    with lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{shown or path}, line {number}"
            row = parse_json(line, where, "Write one whole JSON object a line")
            if not isinstance(row, dict):
                raise BertlineError("not a JSON object", where=where, fix="Write one object a line")
            yield number, row


_MISSING_FIX = "Check the path, or run `dvc repro` to make what the pipeline makes"


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """sha256 of a value of JSON, the same whatever the order of its keys; what is none, a date of YAML, as its text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def visible(folder: Path) -> list[Path]:
    """What is in a folder and in those below it, sorted; what is hidden is left out."""
    inside = sorted(folder.rglob("*"))
    return [entry for entry in inside if not any(part.startswith(".") for part in entry.relative_to(folder).parts)]


def sha256_directory(path: Path, pattern: str = "*") -> str:
    """One sha256 for a directory: of the sorted relative names and the sha256 of each file that fits the pattern."""
    files = sorted(file for file in path.rglob(pattern) if file.is_file())
    lines = [f"{sha256_file(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def exclusive_lock(path: Path, purpose: str, *, patience: float = 0.0) -> Iterator[None]:
    """Hold `path` for this process alone; wait for its holder as long as `patience`, then refuse, naming the holder.

    The kernel drops the lock when its holder dies, so that no lock is ever stale.

    Args:
        path: the lock file; it stays.
        purpose: what is done under the lock, for the message.
        patience: seconds to wait; 0: refuse at once.

    Raises:
        BertlineError: another process holds the lock.
    """
    _make_directory(path.parent)
    deadline = time.monotonic() + patience
    with open(path, "a+", encoding="utf-8", opener=_open_no_link) as handle:
        while not _try_lock(handle):
            if time.monotonic() < deadline:
                time.sleep(_LOCK_POLL_SECONDS)
                continue
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            fix = "Wait for it, or stop that process"
            raise BertlineError(f"{purpose} is already running: {holder}", where=str(path), fix=fix)
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
        yield


def _open_no_link(path: str, flags: int) -> int:
    """Open a lock: in /tmp a link of its name may be anybody's, and lead to a file that would be written over."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def machine_lock(name: str) -> Path:
    """A lock file of this user's on this machine, the same for all checkouts; for `exclusive_lock`.

    It is in /tmp whatever TMPDIR says: two runs with different ones must not hold one GPU. BERTLINE_LOCKS names another
    folder.
    """
    # Not in /run/user: it goes when the user logs out, though a run of theirs goes on, and cron's runs have none.
    return Path(os.environ.get(_LOCKS) or "/tmp") / f"bertline-{os.getuid()}-{name}.lock"


def _try_lock(handle: IO[str] | int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
