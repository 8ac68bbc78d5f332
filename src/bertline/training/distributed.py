"""One run in several processes, as torchrun starts them, or in one.

    launch(8, "bertline.stages.pretrain")   # what `torchrun --standalone --nproc-per-node 8 -m …` does
    with join("cpu") as world:              # of this process alone, unless torchrun says otherwise
        world.rank, world.size, world.main
        total = world.sum(tensor)           # over all processes

Processes find each other through what torchrun puts into the environment (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR,
MASTER_PORT; https://docs.pytorch.org/docs/stable/elastic/run.html): NCCL joins GPUs, Gloo CPUs.
"""

import ctypes
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bertline.base.errors import BertlineError
from bertline.training.device import find_device

_PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
_SHUTDOWN_SECONDS = 600  # for a step and a checkpoint of gigabytes after a signal; torch would kill after 30


@dataclass(frozen=True)
class World:
    """The processes of a run, and which of them this is.

    Attributes:
        rank: its number among all.
        size: how many there are.
        local_rank: its number on this host, which is the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this is the one process that writes files and speaks."""
        return self.rank == 0

    @contextmanager
    def one_voice(self) -> Iterator[None]:
        """Leave it to the main process to say how it went; what only another one knows (any other error) is raised.

        Raises:
            BertlineError: in the main process, that another one has gone.
        """
        try:
            yield
        except BertlineError:
            if self.main:
                raise
            raise SystemExit(1) from None
        except RuntimeError as error:
            if not _peer_has_gone(error):
                raise
            raise self._alone() from None
        if not self.main:
            raise SystemExit(0)

    def _alone(self) -> BaseException:
        """How a process ends whose peer has gone: the main one says so, which the others leave to it."""
        if not self.main:
            return SystemExit(1)
        fix = "Look for its own message, or for one of the system's; then run again: it goes on from its checkpoint"
        return BertlineError("another process of the run has ended", where=f"process 0 of {self.size}", fix=fix)

    def part(self) -> None:
        """Leave the group together: one whose peer had gone could hang when its interpreter ended (PyTorch 2.13).

        Raises:
            SystemExit, BertlineError: one has gone already.
        """
        gc.collect()  # what still speaks through the group
        try:
            dist.barrier()
        except RuntimeError as error:
            raise (self._alone() if _peer_has_gone(error) else error) from None

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes; in one process, the tensor itself."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def maximum(self, tensor: Tensor) -> Tensor:
        """The largest of each value over all processes."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return tensor

    def share(self, value: Any, device: torch.device) -> Any:
        """Give every process a JSON value of the main one."""
        if self.size == 1:
            return value
        content = json.dumps(value).encode() if self.main else b""
        length = torch.tensor([len(content)], device=device)
        dist.broadcast(length, src=0)
        if self.main:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(device)
        else:
            sent = torch.empty(int(length), dtype=torch.uint8, device=device)
        dist.broadcast(sent, src=0)
        return json.loads(bytes(sent.cpu().numpy()))

    def share_tensors(self, tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
        """Give every process the main one's tensors, on `device`; what the others pass is not looked at."""
        if self.size == 1:
            return dict(tensors)
        kinds = {name: (list(value.shape), str(value.dtype)) for name, value in tensors.items()}
        made = {}
        for name, (shape, kind) in self.share(kinds, device).items():
            empty = torch.empty(shape, dtype=getattr(torch, kind.removeprefix("torch.")), device=device)
            value = tensors[name].to(device) if self.main else empty
            dist.broadcast(value, src=0)
            made[name] = value
        return made


def _peer_has_gone(error: RuntimeError) -> bool:
    """Whether that is what NCCL (with a class of its own) or Gloo (in words) says."""
    said = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")
    return isinstance(error, dist.DistError) or any(words in str(error) for words in said)


@contextmanager
def join(device: str) -> Iterator[World]:
    """Join the processes that torchrun started together with this one; leave them at the end.

    Raises:
        BertlineError: this process's GPU is not there.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    _end_with_parent()
    world = World(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    if device == "cuda":
        check_gpus(world.local_rank + 1)
        torch.cuda.set_device(world.local_rank)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield world
        world.part()
    except SystemExit as ended:
        if ended.code != 1:  # all end alike: done, or stopped by a signal; a failure may be of this one alone
            world.part()
        raise
    finally:
        dist.destroy_process_group()


def _end_with_parent() -> None:
    """Have Linux kill this process when the launcher dies: a run that nobody waits for must not go on holding its lock.

    SIGKILL, since the signal is sent once for each thread of the launcher, and the second SIGTERM would kill as well.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def check_gpus(processes: int) -> None:
    """Refuse more processes on this machine than it has GPUs: each needs one of its own.

    Raises:
        BertlineError: there are fewer, or none.
    """
    find_device("cuda")
    count = torch.cuda.device_count()
    if processes > count:
        fix = f"Set it to {count} or less"
        raise BertlineError(f"{processes} processes for {count} GPUs", where="pretrain.processes", fix=fix)


def launch(processes: int, module: str, *arguments: str) -> None:
    """Run `python -m module arguments…` in some processes on this machine, one run; wait for them.

    A signal that would end this process ends them, each in its own way, before it.

    Raises:
        SystemExit: a signal came (143 or 130), or one of them failed (its exit status) and has said why.
        BertlineError: one of them was killed, and could not say so.
    """
    from torch.distributed.elastic.multiprocessing import SignalException  # noqa: PLC0415 - slow to import
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SHUTDOWN_SECONDS))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes speak for themselves
    config = LaunchConfig(
        run_id="bertline",  # torch warns where there is none
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except SignalException as stopped:
        raise SystemExit(128 + stopped.sigval) from None
    except ChildFailedError as failed:
        number, failure = failed.get_first_failure()
        if failure.exitcode >= 0:
            raise SystemExit(failure.exitcode) from None
        what = f"process {number} was ended by {signal.Signals(-failure.exitcode).name}"
        fix = "If nobody did it, memory ran out (dmesg says so): fewer processes, or more accumulation. Then run again"
        raise BertlineError(what, where=f"a run in {processes} processes", fix=fix) from None
