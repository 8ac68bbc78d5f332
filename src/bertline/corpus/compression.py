"""Compressed files as streams of bytes: .gz, .bz2, .xz and .zst, by the end of the name.

with open_compressed(path, ".zst") as stream: ...

A file that is damaged or cut short raises what `is_damage` tells; nothing is decompressed before it is read.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import IO, Any, cast

import zstandard

_BLOCK = 4096  # bytes; those of a zstd bomb grow 32,768 times
_WINDOW = 2**31  # bytes; what `zstd --long=31` needs


class _Zstandard(io.RawIOBase):
    """The frames of a .zst file, one after another; unlike the library's reader it tells a file that was cut short."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: Any = None
        self._ahead = b""  # compressed bytes that were read, not used
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            compressed = self._ahead or self._raw.read(_BLOCK)
            if not compressed:
                if self._frame is not None:
                    raise EOFError("compressed file ended before the end of a frame was reached")
                return 0
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
            self._ready = memoryview(self._frame.decompress(compressed))
            self._ahead = b""
            if self._frame.eof:
                self._ahead, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _open_zstandard(path: Path, _mode: str) -> IO[bytes]:
    return cast(IO[bytes], io.BufferedReader(_Zstandard(path.open("rb")), buffer_size=1 << 16))


_OPENERS: Mapping[str, Callable[[Path, str], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstandard,
}
COMPRESSED = tuple(_OPENERS)


def ending(path: PurePath) -> str:
    """The last suffix of a name in small letters, as those of COMPRESSED are; "" where there is none."""
    return path.suffix.lower()


def is_damage(error: Exception) -> bool:
    """Whether an exception says that compressed bytes make no sense; what bz2 and gzip raise is an OSError."""
    known = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
    return isinstance(error, known) or (isinstance(error, OSError) and error.errno is None)


def open_compressed(path: Path, suffix: str = "") -> IO[bytes]:
    """Open a file for reading, decompressed as `suffix` says (by default its own); any other is read as it is."""
    opener = _OPENERS.get(suffix or ending(path))
    return cast(IO[bytes], opener(path, "rb") if opener else path.open("rb"))
