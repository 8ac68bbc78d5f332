"""How a transfer stands: a bar in a terminal, a line now and then in a log.

with TransferProgress("part-3.txt", offset, total) as progress:
    progress.add(len(block))
"""

import sys
import time
from types import TracebackType

from tqdm import tqdm

from bertline.base.messages import say

EVERY = 10.0  # seconds between two lines in a log
_MEGABYTE = 1e6


class TransferProgress:
    """Shows how far a file has come, on standard error.

    Args:
        name: of the file.
        done: bytes that had come before.
        total: bytes of the whole file; None: not known.
    """

    def __init__(self, name: str, done: int, total: int | None) -> None:
        self._name, self._done, self._total = name, done, total
        self._started = self._printed = time.monotonic()
        self._came = 0
        self._bar = (
            tqdm(total=total, initial=done, desc=name, unit="B", unit_scale=True, leave=False, file=sys.stderr)
            if sys.stderr.isatty()
            else None
        )

    def __enter__(self) -> "TransferProgress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, count: int) -> None:
        """Count bytes that came."""
        self._came += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._printed >= EVERY:
            self._printed = now
            say(self._line(now))

    def _line(self, now: float) -> str:
        size = self._done + self._came
        whole = f" of {self._total / _MEGABYTE:,.1f}" if self._total else ""
        share = f" ({size / self._total:.0%})" if self._total else ""
        speed = self._came / _MEGABYTE / (now - self._started)
        return f"{self._name}: {size / _MEGABYTE:,.1f}{whole} MB{share}, {speed:.1f} MB/s"
