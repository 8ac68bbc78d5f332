"""Work spread over worker processes, in bounded memory: results come in the order of the items, whatever their number.

    with Workers(setup=load, arguments=(directory,)) as workers:
        for result in workers.map(function, items): ...

`function` and `setup` are named at the top of a module, since other processes import them. `setup` runs once in each
process, for what is costly to make (a tokenizer). How many there are changes no result, so it is no option of
params.yaml: as many as the cores this process may use, or BERTLINE_WORKERS.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, TypeVar

from bertline.base.errors import BertlineError

VARIABLE = "BERTLINE_WORKERS"
_AHEAD = 2  # items a worker that are read, or done and not yet taken

Item = TypeVar("Item")
Result = TypeVar("Result")


def worker_count() -> int:
    """BERTLINE_WORKERS, or the cores that this process may use.

    Raises:
        BertlineError: the variable is not a whole number above 0.
    """
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return len(os.sched_getaffinity(0))
    if not asked.isdecimal() or int(asked) < 1:
        fix = "Give a whole number above 0, or unset it"
        raise BertlineError(f"not a number of workers: {asked!r}", where=f"environment variable {VARIABLE}", fix=fix)
    return int(asked)


class Workers:
    """A pool of processes; a context manager. With one worker everything runs in this process.

    Args:
        count: of processes; None: worker_count().
        setup: called in each process before its first item.
        arguments: of `setup`.
    """

    def __init__(
        self, count: int | None = None, *, setup: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
    ) -> None:
        self.count = worker_count() if count is None else count
        self._pool: ProcessPoolExecutor | None = None
        if self.count > 1:
            # Not fork: the threads of Arrow and of tokenizers would leave their locks locked in the copy.
            context = multiprocessing.get_context("forkserver")
            self._pool = ProcessPoolExecutor(
                self.count, mp_context=context, initializer=_set_up, initargs=(setup, arguments)
            )
        elif setup is not None:
            setup(*arguments)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield `function(item)` for each item, in order; items are read only a few ahead of the results taken.

        Raises:
            BertlineError: a worker was killed; or what `function` raises.
        """
        if self._pool is None:
            yield from map(function, items)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(self._pool.submit(function, item))
                if len(waiting) >= _AHEAD * self.count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            fix = f"Free some memory, or run with fewer workers ({VARIABLE}=1)"
            raise BertlineError("a worker process was killed", where="worker processes", fix=fix) from None
        finally:
            for future in waiting:
                future.cancel()


def _set_up(setup: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if setup is not None:
        setup(*arguments)


def _end_with_parent() -> None:
    """A worker waits for items for ever, its memory and its parent's output with it, if the parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is a worker"
    parent.join()
    os._exit(1)
