"""Run stages through DVC, each as a process group of its own, and stop them all.

Every stage runs as `dvc --wait-for-lock repro --single-item STAGE`: DVC decides whether there is anything to do, and
several stages can run side by side. The stage's own program is a child of that dvc, and a signal to dvc alone would
leave it training; hence the groups, and a watchdog for the case that this process is killed.
"""

import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import IO

from bertline.base.errors import masked
from pipelines.locks import what_to_do
from pipelines.process_groups import Watchdog, end_groups

Log = Callable[[str], None]

_PROGRESS_SECONDS = 10.0  # between two states of a progress bar in the log


class Outcome(Enum):
    """What DVC did about a stage that did not fail, in words."""

    RAN = "ran"
    UNCHANGED = "didn't change, skipped"
    RESTORED = "same inputs as an earlier run, outputs restored"


# What DVC says to people at a prompt, after every stage; in a run of two dozen stages it would drown the rest.
_HINTS = (
    "To track the changes with git, run:",
    "\tgit add ",
    "To enable auto staging, run:",
    "\tdvc config core.autostage",
    "Use `dvc push` to send",
    "Data and pipelines are up to date.",
)
_SKIPPED = {"didn't change, skipping": Outcome.UNCHANGED, "is cached - skipping run": Outcome.RESTORED}


_RUNNERS: "weakref.WeakSet[StageRunner]" = weakref.WeakSet()


class StageFailed(Exception):
    """A stage ended with an error; the message is the stage's own line where it wrote one."""


class StageRunner:
    """Runs stages of one checkout, and knows every process group it has started.

    Args:
        root: the checkout.
        grace: seconds that a stage has to end after SIGTERM; then SIGKILL. A trainer finishes its step and writes a
            checkpoint in that time. Prefect kills a cancelled flow after 30 seconds, so this must be less.
        environment: variables that the stages see beside this process's own.
    """

    def __init__(self, root: Path, grace: float = 20.0, environment: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._grace = grace
        self._environment = dict(environment or {})
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._stopped = False
        _RUNNERS.add(self)

    @property
    def stopped(self) -> bool:
        return self._stopped

    def run(
        self,
        stage: str,
        log: Log,
        *,
        force: bool = False,
        environment: Mapping[str, str] | None = None,
        locks: Collection[int] = (),
    ) -> Outcome:
        """Bring one stage up to date; `log` gets every line that DVC and the stage write, as they write it.

        Args:
            stage: its name.
            log: gets its lines.
            force: run it even where nothing has changed.
            environment: variables that it sees beside those of this runner.
            locks: open files whose locks last until nothing of the stage runs, also where this process is killed.

        Raises:
            StageFailed: the stage or DVC failed, or `stop_all` was called.
        """
        # The interpreter's own dvc: whatever an activated shell would find might be another one.
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
        process, watchdog = self._start([*command, "--force"] if force else command, environment or {}, locks)
        seen = _Transcript(stage)
        try:
            assert process.stdout is not None
            for line in map(masked, _lines(process.stdout)):
                seen.add(line)
                if not line.startswith(_HINTS):
                    log(line)
            status = process.wait()
        finally:  # whatever happened, nothing of the stage runs on
            end_groups({process.pid}, self._grace)
            process.wait()
            with self._lock:
                self._groups.discard(process.pid)
            watchdog.forget(process.pid)
            watchdog.close()
        if status == 0:
            return seen.outcome
        if self._stopped:
            raise StageFailed(f"{stage}: stopped")
        raise StageFailed(seen.error or f"{stage}: dvc ended with status {status}")

    def stop_all(self) -> None:
        """End every stage that runs, and start no more: SIGTERM, up to `grace` seconds of patience, SIGKILL."""
        with self._lock:
            self._stopped = True
            groups = set(self._groups)
        end_groups(groups, self._grace)

    def _start(
        self, command: list[str], environment: Mapping[str, str], locks: Collection[int]
    ) -> tuple[subprocess.Popen[str], Watchdog]:
        with self._lock:
            if self._stopped:
                raise StageFailed("stopped before it began")
            # It keeps the locks, as dvc cannot: that ends before its program, which inherits no open file from it.
            watchdog = Watchdog(self._grace, locks)
            process = subprocess.Popen(
                command,
                cwd=self._root,
                env={**_stage_environment(), **self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            process.stdout.reconfigure(newline="")  # type: ignore[union-attr]  # keeps "\r", which ends a progress bar
            self._groups.add(process.pid)
            watchdog.watch(process.pid)
        return process, watchdog


def stop_everything() -> None:
    """Stop every runner of this process, all at the same time: there is one `grace` for all."""
    threads = [threading.Thread(target=runner.stop_all) for runner in list(_RUNNERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _stage_environment() -> dict[str, str]:
    """This process's environment, where `python`, as dvc.yaml calls it, is this interpreter, and writes unbuffered."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _lines(stream: IO[str]) -> Iterator[str]:
    """The lines of a stream without their ends; of a progress bar, which rewrites its line, one state in 10 s."""
    shown = -_PROGRESS_SECONDS
    for line in stream:
        text = line.rstrip()
        if not text:
            continue
        if line.endswith("\r"):
            now = time.monotonic()
            if now - shown < _PROGRESS_SECONDS:
                continue
            shown = now
        yield text


class _Transcript:
    """What the lines of a stage say about how it went."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._stage_error = self._dvc_error = ""
        self.outcome = Outcome.RAN

    def add(self, line: str) -> None:
        if line.startswith(f"{self._stage}: error: "):  # as bertline.base.stage writes it
            self._stage_error = line
        elif line.startswith("ERROR: "):
            told = line.removeprefix("ERROR: ").rstrip(":")
            fix = what_to_do(told)
            self._dvc_error = f"{self._stage}: {told}" + (f". {fix}." if fix else "")
        elif line.startswith(f"Stage '{self._stage}' "):
            self.outcome = next((what for text, what in _SKIPPED.items() if text in line), self.outcome)

    @property
    def error(self) -> str:
        return self._stage_error or self._dvc_error
