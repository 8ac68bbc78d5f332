"""Sittings of a small pre-training run, in processes that a test kills: at an instant, or at a file operation.

    with KillServer(stores, log) as server:
        server.sit(run)                                       # undisturbed, from wherever `run` stands
        server.sit(run, after=("step", 5), seconds=0.004)     # SIGKILL 4 ms after that mark
        server.sit(run, operation=17)                         # SIGKILL before its 17th file operation

The server is a process of its own that has imported everything and trained once; each sitting is a fork of it, which
costs milliseconds where a new process would import torch for seconds.
"""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from bertline.pretraining import trainer as room
from bertline.pretraining.trainer import Trainer
from pretraining.interrupted_run import CONFIG, open_run

Mark = tuple[str, int]  # what has just happened, and at which step: training, step, saved
_CHANGING = {"os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}  # audit events, beside open
_HERE = "./"  # before the names that shutil.rmtree removes relative to an open directory
_PATIENCE = 300.0  # seconds until a sitting counts as hung, and is killed


@dataclass(frozen=True)
class Sitting:
    """How a sitting ended.

    Attributes:
        status: 0, or minus the number of the signal that killed it.
        marks: what happened, with the seconds since training began.
        operations: the file operations in the run's directory, if they were asked for.
        error: "BertlineError: …", if one ended it; empty otherwise.
        result: the figures of a finished run.
    """

    status: int
    marks: list[tuple[float, Mark]]
    operations: list[str]
    error: str
    result: dict[str, Any] | None

    @property
    def finished(self) -> bool:
        return self.status == 0 and not self.error

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL

    @property
    def step(self) -> int:
        """The last step that was computed, or the one it went on from."""
        return max((step for _, (_, step) in self.marks), default=0)


class KillServer:
    """The client's end: starts the server, asks it for sittings."""

    def __init__(self, stores: Path, log: Path) -> None:
        self._stores, self._log = stores, log

    def __enter__(self) -> "KillServer":
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(self._stores)],
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.communicate(timeout=60)

    def sit(self, run: Path, **command: Any) -> Sitting:
        """Train in `run` until the end, or until killed.

        Args:
            run: the run's directory.
            options: of the run, where they differ from CONFIG.
            after: a mark; SIGKILL comes `seconds` after it. ["training"] stands for the one at any step.
            seconds: see `after`.
            operation: SIGKILL before the file operation of this number in the run's directory; -1 only lists them.
            largest_file: bytes that a file may grow to.
            skipped_step: a step in which the optimizer does nothing.
        """
        command["run"] = str(run)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text(encoding="utf-8")
        values = json.loads(answer)
        values["marks"] = [(at, (what, step)) for at, what, step in values["marks"]]
        return Sitting(**values)


def _serve(stores: Path) -> None:
    room.measure_peak = lambda *_: 1e12
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints, prints to the log
    with TemporaryDirectory() as scratch, open_run(stores, Path(scratch), CONFIG) as trainer:
        trainer.train()
    for line in sys.stdin:
        answers.write(json.dumps(_fork(stores, defaultdict(lambda: None, json.loads(line)))) + "\n")
        answers.flush()


def _fork(stores: Path, command: dict[str, Any]) -> dict[str, Any]:
    """Run one sitting in a fork, kill it when its time has come, and say how it ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            _sit(stores, command, writer)
        except BaseException as error:
            _tell(writer, "error", f"{type(error).__name__}: {error}")
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    told = _watch(child, reader, command["after"], command["seconds"] or 0.0)
    _, status = os.waitpid(child, 0)
    marks = [(at, *value) for at, what, value in told if what == "mark"]
    began = marks[0][0] if marks else 0.0
    last = {what: value for _, what, value in told}
    return {
        "status": os.waitstatus_to_exitcode(status),
        "marks": [(at - began, what, step) for at, what, step in marks],
        "operations": [value for _, what, value in told if what == "operation"],
        "error": last.get("error", ""),
        "result": last.get("result"),
    }


def _watch(child: int, reader: int, after: list[Any] | None, seconds: float) -> list[tuple[float, str, Any]]:
    """Read what a sitting tells until it has ended, and kill it `seconds` after the mark `after`."""
    told: list[tuple[float, str, Any]] = []
    rest, deadline = b"", time.monotonic() + _PATIENCE
    while True:
        if not select.select([reader], [], [], max(deadline - time.monotonic(), 0.0))[0]:
            os.kill(child, signal.SIGKILL)  # what it had told before is still read
        received = os.read(reader, 1 << 16)
        if not received:
            os.close(reader)
            return told
        *lines, rest = (rest + received).split(b"\n")
        told += [tuple(json.loads(line)) for line in lines]
        if after and any(what == "mark" and value[: len(after)] == after for _, what, value in told):
            deadline, after = time.monotonic() + seconds, None


def _sit(stores: Path, command: dict[str, Any], writer: int) -> None:
    run = Path(command["run"])
    if command["largest_file"] is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the log is a file too
        resource.setrlimit(resource.RLIMIT_FSIZE, (command["largest_file"],) * 2)
    if command["operation"] is not None:
        _strike_at_operation(run, command["operation"], writer)

    class Watched(Trainer):
        def train_step(self, *arguments: Any) -> list[float]:
            step = self.history.step + 1
            if step == command["skipped_step"]:
                self.optimizer.step = lambda: None
            sums: list[float] = super().train_step(*arguments)
            vars(self.optimizer).pop("step", None)
            _tell(writer, "mark", ("step", step))
            return sums

        def save_checkpoint(self) -> None:
            super().save_checkpoint()
            _tell(writer, "mark", ("saved", self.history.step))

    with open_run(stores, run, replace(CONFIG, **command["options"] or {}), Watched) as trainer:
        _tell(writer, "mark", ("training", trainer.history.step))
        trainer.train()
        history = trainer.history
        figures = {"metrics": trainer.metrics(), "curve": history.curve, "validation": history.validation_curve}
    _tell(writer, "result", figures)


def _tell(writer: int, what: str, value: Any) -> None:
    os.write(writer, json.dumps([time.monotonic(), what, value]).encode() + b"\n")


def _changed_file(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The file that an audit event is about to change; None if it changes none."""
    if (event not in _CHANGING and event != "open") or isinstance(arguments[0], int):
        return None
    name = os.fsdecode(arguments[0])
    if event == "open":
        written_natively = name.endswith(".safetensors") and ".tmp/" in name
        return name if arguments[2] & (os.O_WRONLY | os.O_RDWR) or written_natively else None
    return name if arguments[-1] < 0 else _HERE + name


def _strike_at_operation(run: Path, number: int, writer: int) -> None:
    """Count what this process does to files of the run, by Python's audit events, and die before one of them.

    Reads are left out, as they change nothing; but for those of what native code has just written without an event,
    which hash it.
    """
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        name = _changed_file(event, arguments)
        if name is None or not name.startswith((str(run), _HERE)):
            return
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        _tell(writer, "operation", f"{event} {name.removeprefix(str(run))}")

    sys.addaudithook(hook)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
