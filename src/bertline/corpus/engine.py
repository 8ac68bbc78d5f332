"""Where the blocks are worked on: processes of this machine, or Ray tasks on a cluster; in order and bounded.

    with engine("local") as spread:
        for result in spread(function, items): ...

Both give the same results in the same order. Ray (an extra, `pip install ray`) is imported when it is asked for; it
connects to the cluster that RAY_ADDRESS names, or starts one on this machine.
"""

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TypeVar

from bertline.base.errors import BertlineError, reason
from bertline.base.workers import Workers

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 2  # tasks a CPU that are waiting or done and not yet taken


class Spread(Protocol):
    """Maps a function over items: results in order, items read only a few ahead."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]: ...


@contextmanager
def engine(name: Literal["local", "ray"]) -> Iterator[Spread]:
    """The engine of a name.

    Raises:
        BertlineError: Ray is not installed, or its cluster cannot be reached.
    """
    if name == "local":
        with Workers() as workers:
            yield workers.map
    else:
        yield _on_ray()


def _knock(address: str) -> None:
    """Raise OSError if nobody listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _on_ray() -> Spread:
    where = "documents.engine"
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError:
        fix = "Install it (`pip install 'ray>=2.52'`), or set documents.engine: local"
        raise BertlineError("Ray is not installed", where=where, fix=fix) from None
    try:
        _knock(os.environ.get("RAY_ADDRESS", ""))
        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError) as error:
        problem = reason(error, 200)
        fix = "Check RAY_ADDRESS and `ray status`"
        raise BertlineError(f"no Ray cluster ({problem})", where=where, fix=fix) from None

    def spread(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        def call(item: Item) -> Result:  # Ray takes plain functions alone
            return function(item)

        task = ray.remote(num_cpus=1)(call)
        most = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(task.remote(item))
            if len(waiting) >= most:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())

    return spread
