"""Files fetched from the web, and parts of them, kept between runs under data/runs/download by their address.

    with keep(Path("data/runs/download"), address) as kept: ...

DVC removes data/raw before it runs the stage; what is kept here is linked back into it instead of being fetched again,
and a part goes on where it stopped. An address has one folder:

    part, part.json    what has come so far; the URL it comes from, and the validators of that version
    file, file.json    the whole file; the same, with its sha256
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertline.base.errors import BertlineError
from bertline.base.files import atomic_file, read_json, sha256_file, sync, write_json
from bertline.base.messages import say

State = Mapping[str, Any]
"""url, masked; where the server gave them: etag, modified (validators), bytes. Of a whole file also sha256, address."""


@dataclass(frozen=True)
class Expected:
    """What a file must be: of one of these hashes and of this size; empty and 0 where that is not known."""

    sha256: tuple[str, ...] = ()
    bytes: int = 0

    def problem(self, sha256: str, size: int) -> str:
        """What is wrong with a file of this hash and size, in words; empty if nothing."""
        if self.bytes and size != self.bytes:
            return f"it has {size:,} bytes, expected {self.bytes:,}"
        if self.sha256 and sha256 not in self.sha256:
            return f"sha256 is {sha256}, expected {' or '.join(self.sha256)}"
        return ""


class Kept:
    """What is kept of one address."""

    def __init__(self, directory: Path, address: str) -> None:
        self.address = address
        self.part, self.file = directory / "part", directory / "file"
        self._part_state, self._file_state = directory / "part.json", directory / "file.json"
        self._is_whole: bool | None = None

    def part_size(self) -> int:
        """Bytes that have come so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    def part_state(self) -> State:
        return _read(self._part_state) if self.part.exists() else {}

    def begin(self, state: State) -> None:
        """Note of which version a new part will be, before its first byte."""
        self.drop_part()
        write_json(self._part_state, state)

    def drop_part(self) -> None:
        """Forget what has come so far."""
        self.part.unlink(missing_ok=True)
        self._part_state.unlink(missing_ok=True)

    def finish(self, sha256: str) -> None:
        """The part is the whole file, and right."""
        state = {**self.part_state(), "address": self.address, "sha256": sha256, "bytes": self.part_size()}
        sync(self.part)
        self.drop_file()  # its description comes last: a file without one is not used
        self.part.replace(self.file)
        write_json(self._file_state, state)
        self._part_state.unlink(missing_ok=True)
        self._is_whole = True

    def whole(self) -> State:
        """The state of the whole file, if there is one and it still has its hash; empty otherwise."""
        state = _read(self._file_state) if self.file.exists() else {}
        if state and self._is_whole is None:
            self._is_whole = sha256_file(self.file) == state.get("sha256")
        return state if self._is_whole else {}

    def drop_file(self) -> None:
        """Forget the whole file."""
        self._file_state.unlink(missing_ok=True)
        self.file.unlink(missing_ok=True)
        self._is_whole = None


def _read(path: Path) -> State:
    try:
        state = read_json(path)
    except BertlineError:  # gone, or cut short when the power went: then nothing is known of the bytes beside it
        return {}
    return state if isinstance(state, dict) else {}


@contextmanager
def keep(directory: Path, address: str) -> Iterator[Kept]:
    """What is kept of an address below `directory`, for this process alone; another one that wants it waits."""
    folder = directory / hashlib.sha256(address.encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{address}: another process is fetching it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield Kept(folder, address)


def link(origin: Path, path: Path) -> None:
    """Give a kept file a second name, or copy it where the two lie on different file systems."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(origin, path)
    except OSError:
        copy(origin, path)


def copy(origin: Path, path: Path) -> None:
    """Copy a file; the copy is whole or absent."""
    with atomic_file(path) as temporary:
        shutil.copyfile(origin, temporary)
