"""What a run may use at a time, what each stage needs of it, and which GPU a stage gets.

A stage needs as many cores as the option `threads` of its section says (one where it has none), for each of its
`processes`, and a GPU for each where `device` is cuda. Within a run, stages wait for each other; GPUs are also held
against the other runs of this user on this machine, of whatever checkout, by a lock that the kernel drops when all of
its holders have ended: this process, and who keeps it for a stage.
"""

import fcntl
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from bertline.base.config import Params
from bertline.base.files import machine_lock

_POLL_SECONDS = 0.5


class Limits(BaseModel):
    """What the stages of a run may use together."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cpu: int = Field(
        default=1, ge=1, le=1024, description="CPU cores; a stage that needs more has all of them to itself"
    )
    gpu: int = Field(default=1, ge=0, le=64, description="GPUs of this machine")


ONE_BY_ONE = Limits(cpu=1, gpu=1)
"""A stage that trains uses all cores by itself: the right limits for one machine."""


@dataclass(frozen=True)
class Needs:
    """What one stage uses while it runs."""

    cpu: int = 1
    gpu: int = 0

    def within(self, limits: Limits) -> "Needs":
        """These needs, cut to what there is: a stage that wants more runs alone."""
        return Needs(min(self.cpu, limits.cpu), min(self.gpu, limits.gpu))


def needs_of(stages: Iterable[str], params: Params | None) -> Mapping[str, Needs]:
    """What each stage needs by params.yaml; one core each where there are no parameters."""
    return {stage: _needs(stage, params) if params else Needs() for stage in stages}


def _needs(stage: str, params: Params) -> Needs:
    name, _, task = stage.partition("@")
    section = params.finetune_for(task) if name in params.finetuning_stages(task) else getattr(params, name, None)
    processes = getattr(section, "processes", 1)
    if getattr(section, "device", "cpu") == "cuda":
        return Needs(cpu=1, gpu=processes)
    return Needs(cpu=getattr(section, "threads", 1) * processes)


def fits(needs: Needs, running: Iterable[Needs], limits: Limits) -> bool:
    """Whether a stage can start beside those that run."""
    used = list(running)
    cpu = sum(other.cpu for other in used) + needs.cpu
    gpu = sum(other.gpu for other in used) + needs.gpu
    return cpu <= limits.cpu and gpu <= limits.gpu


@dataclass(frozen=True)
class Gpus:
    """GPUs that are held.

    Attributes:
        devices: CUDA_VISIBLE_DEVICES for the stage.
        locks: the open files whose locks hold them: a child that inherits one holds the GPU too.
    """

    devices: str
    locks: tuple[int, ...]


@contextmanager
def hold_gpus(wanted: int, of: int, go_on: Callable[[], bool], say: Callable[[str], None]) -> Iterator[Gpus]:
    """Hold GPUs of this machine until the block ends, waiting while other runs have them.

    Args:
        wanted: how many.
        of: how many the run may use, of those that CUDA_VISIBLE_DEVICES names where it is set.
        go_on: asked while it waits; False ends the waiting.
        say: gets one line when it has to wait.

    Returns:
        As many as there are, where that is fewer.

    Raises:
        InterruptedError: `go_on` said so.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    given = [str(number) for number in range(of)] if visible is None else visible.split(",")
    names = [name.strip() for name in given if name.strip()]  # empty: CUDA takes that for no GPU at all
    waiting = False
    while True:
        with ExitStack() as held:
            tried = ((name, _hold(held, machine_lock(f"gpu-{name}"))) for name in names[:of])
            mine = dict(itertools.islice(((name, lock) for name, lock in tried if lock is not None), wanted))
            if len(mine) == min(wanted, of, len(names)):
                yield Gpus(",".join(mine), tuple(mine.values()))
                return
        if not go_on():
            raise InterruptedError
        if not waiting:
            say(f"waits for {wanted} of {of} GPUs, which other runs use")
            waiting = True
        time.sleep(_POLL_SECONDS)


def _hold(held: ExitStack, lock: Path) -> int | None:
    """Lock a file, open until `held` ends; None: somebody else has. `exclusive_lock` gives no file to pass on."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = held.enter_context(lock.open("a", encoding="utf-8"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return file.fileno()
