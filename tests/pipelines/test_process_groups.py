"""Nothing of a stage runs on after its flow, even where the flow was killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.process_groups import Watchdog, end_groups
from station import wait_for

PARENT = """
import subprocess, sys, time
from pipelines.process_groups import Watchdog, end_groups
dog = Watchdog(grace={grace})
stage = subprocess.Popen(["bash", "-c", {script!r}], start_new_session=True)
dog.watch(stage.pid)
{then}
print(stage.pid, flush=True)
time.sleep(600)
"""


def start_parent(script: str, then: str = "", grace: float = 20) -> tuple[subprocess.Popen[str], psutil.Process]:
    code = PARENT.format(grace=grace, script=script, then=then)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, psutil.Process(int(parent.stdout.readline()))


def kill(parent: subprocess.Popen[str]) -> None:
    parent.send_signal(signal.SIGKILL)
    parent.wait()


def wait_for_the_end(process: psutil.Process) -> None:
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 10, f"{process} ends")


def watchdog(of: int) -> psutil.Process:
    """The one watchdog of a process. A program that has just started has no command line yet: the kernel writes it."""

    def found() -> list[psutil.Process]:
        return [child for child in psutil.Process(of).children() if "process_groups" in " ".join(child.cmdline())]

    (only,) = wait_for(found, 10, "the watchdog runs")
    return only


def test_a_stage_whose_flow_is_killed_is_asked_to_end_and_may_save(tmp_path: Path) -> None:
    saved = tmp_path / "checkpoint"
    began = tmp_path / "began"
    script = f"trap 'sleep 0.3; touch {saved}; exit 143' TERM; touch {began}; while true; do sleep 0.1; done"
    parent, stage = start_parent(script)
    wait_for(began.exists, 10, "the stage runs")
    kill(parent)
    wait_for_the_end(stage)
    assert saved.exists()


def test_a_deaf_stage_whose_flow_is_killed_is_killed_too() -> None:
    parent, stage = start_parent("trap '' TERM; while true; do sleep 0.1; done", grace=0.5)
    kill(parent)
    wait_for_the_end(stage)


def test_a_stage_that_is_no_longer_watched_is_left_alone() -> None:
    parent, stage = start_parent("sleep 600", then="dog.forget(stage.pid)")
    dog = watchdog(parent.pid)
    kill(parent)
    wait_for_the_end(dog)
    assert stage.is_running()
    stage.kill()


def test_the_watchdog_goes_with_the_one_who_let_it_go() -> None:
    dog = Watchdog(grace=1)
    child = watchdog(os.getpid())
    dog.close()
    dog.close()
    assert not child.is_running()


def test_a_stage_runs_on_where_the_watchdog_was_ended(capfd: pytest.CaptureFixture[str]) -> None:
    dog = Watchdog(grace=1)
    child = watchdog(os.getpid())
    child.kill()
    child.wait()
    dog.watch(os.getpid())
    dog.forget(os.getpid())
    dog.close()
    assert capfd.readouterr().err == ""


def test_signals_to_the_flow_do_not_hit_the_watchdog() -> None:
    dog = Watchdog(grace=1)
    assert os.getsid(watchdog(os.getpid()).pid) != os.getsid(0)
    dog.close()


def test_a_process_is_ended_whatever_its_name(tmp_path: Path) -> None:
    """The kernel writes the name in brackets among its figures, unescaped."""
    program = tmp_path / "a) Z 1 (b"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([program, "600"], start_new_session=True) as process:
        try:
            end_groups([process.pid], 10)
            assert process.wait(timeout=10) == -signal.SIGTERM
        finally:
            process.kill()


def test_what_has_ended_is_not_waited_for_though_nobody_has_asked_how() -> None:
    with subprocess.Popen(["true"], start_new_session=True) as process:
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        began = time.monotonic()
        end_groups([process.pid], 20)
        assert time.monotonic() - began < 10
