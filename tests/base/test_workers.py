"""Work spread over processes: in order, a few items ahead, and none left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertline.base.errors import BertlineError
from bertline.base.workers import Workers, worker_count

_OFFSET = 0


def offset_by(number: int) -> None:
    global _OFFSET  # noqa: PLW0603
    _OFFSET = number


def shifted(number: int) -> int:
    return number + _OFFSET


def process_of(_: int) -> int:
    return os.getpid()


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number: int) -> None:
    raise BertlineError(f"number {number}", where="here", fix="Do not")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_items_whatever_the_number_of_workers(count: int) -> None:
    with Workers(count, setup=offset_by, arguments=(100,)) as workers:
        assert list(workers.map(shifted, range(20))) == list(range(100, 120))


def test_two_workers_are_processes_of_their_own() -> None:
    with Workers(2) as workers:
        assert os.getpid() not in set(workers.map(process_of, range(8)))


def test_one_worker_is_this_process() -> None:
    with Workers(1) as workers:
        assert list(workers.map(process_of, [0])) == [os.getpid()]


def test_items_are_read_only_a_few_ahead() -> None:
    read = []

    def items() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            yield number

    with Workers(2) as workers:
        next(workers.map(shifted, items()))
        assert 2 <= len(read) <= 5, "both have something to do"


def test_a_killed_worker_is_a_plain_message_not_a_hang() -> None:
    with Workers(2) as workers, pytest.raises(BertlineError, match=r"worker process was killed.*BERTLINE_WORKERS=1"):
        list(workers.map(die, range(4)))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_they_work_for(how: signal.Signals) -> None:
    program = (
        "from base.test_workers import shifted; from bertline.base.workers import Workers\n"
        "with Workers(2) as workers:\n"
        "    list(workers.map(shifted, range(4)))\n"
        "    print('at work', flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],  # where a program given with -c looks for base.test_workers
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"at work\n"
        process.send_signal(how)
        process.wait(timeout=60)
        assert process.communicate(timeout=60) == (b"", None)  # the output is open as long as a worker has it


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_worker_raises_arrives_whole(count: int) -> None:
    with Workers(count) as workers, pytest.raises(BertlineError, match=r"^here: number 0\. Do not\.$"):
        list(workers.map(fail, range(4)))


def test_the_environment_sets_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTLINE_WORKERS", "7")
    assert worker_count() == 7
    monkeypatch.delenv("BERTLINE_WORKERS")
    assert worker_count() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert worker_count() == 1, "of a machine that has more"


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_what_is_no_number_of_workers_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BERTLINE_WORKERS", value)
    with pytest.raises(BertlineError, match="BERTLINE_WORKERS"):
        worker_count()
