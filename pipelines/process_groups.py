"""End process groups, also after the process that started them was killed.

Imported, it gives `end_groups`. Run as a program (`python -I -S process_groups.py SECONDS`), it is a watchdog: it reads
`+GROUP` and `-GROUP` lines from its standard input, and when that ends it ends the groups that are left. A flow that
dies of SIGKILL can signal nobody; its end of the pipe is closed by the kernel, whatever happens.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

_POLL_SECONDS = 0.1


class Watchdog:
    """A process that outlives this one, and ends the groups that this one has left.

    Args:
        grace: seconds between SIGTERM and SIGKILL.
        locks: open files that it keeps open, and locked, until nothing is left of the groups.
    """

    def __init__(self, grace: float, locks: Collection[int] = ()) -> None:
        # -I -S: the standard library alone, started in 20 ms. A session of its own: signals to ours must not hit it.
        command = [sys.executable, "-I", "-S", __file__, str(grace)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True, pass_fds=tuple(locks)
        )

    def watch(self, group: int) -> None:
        self._say(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._say(f"-{group}\n")

    def close(self) -> None:
        """Let it go; what it still watches, it ends first."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
            self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # somebody ended it: the stages run on, unwatched
            self._process.stdin.write(line.encode())


def end_groups(groups: Iterable[int], grace: float) -> None:
    """SIGTERM to every group, up to `grace` seconds of patience until nothing runs in them, SIGKILL."""
    left = _signal_groups(groups, signal.SIGTERM)
    deadline = time.monotonic() + grace
    try:
        while left and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            left = _alive(left)
    finally:  # also when a second Ctrl-C says that patience is at its end
        _signal_groups(left, signal.SIGKILL)


def _signal_groups(groups: Iterable[int], number: signal.Signals) -> set[int]:
    """Signal the process groups that still run, and return them."""
    alive = _alive(groups)
    for group in alive:
        try:
            os.killpg(group, number)
        except ProcessLookupError:  # it ended between the look and the signal
            continue
    return alive


def _alive(groups: Iterable[int]) -> set[int]:
    """Those of the process groups in which something runs. Zombies do not: in a container nobody may ever reap them."""
    running = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]  # see proc(5)
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if state not in ("Z", "X"):
            running.add(int(group))
    return running & set(groups)


def _watch(grace: float) -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    end_groups(groups, grace)


if __name__ == "__main__":
    _watch(float(sys.argv[1]))
