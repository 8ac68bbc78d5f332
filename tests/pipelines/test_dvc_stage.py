"""A stage runs through DVC as a process group: its lines arrive at once, its outcome has a name, it can be stopped."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import process_groups
from pipelines.dvc_stage import Outcome, StageFailed, StageRunner
from station import processes_of, wait_for

Repo = Callable[[dict[str, Any]], Path]
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('started', 'w'); time.sleep(600)"


def ignore(line: str) -> None:
    """A log that nobody reads."""


def in_background(runner: StageRunner, stage: str) -> tuple[threading.Thread, list[BaseException]]:
    """Run a stage in a thread, as a Prefect task does; what it raised is in the list afterwards."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            runner.run(stage, ignore)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def test_dvc_decides_whether_a_stage_runs_and_the_outcome_says_what_it_did(repo: Repo) -> None:
    folder = repo({"a": {"cmd": "echo working && cp in a", "deps": ["in"], "outs": ["a"]}})
    (folder / "in").write_text("1\n")
    runner, lines = StageRunner(folder), list[str]()
    assert runner.run("a", lines.append) is Outcome.RAN
    assert "working" in lines
    lines.clear()
    assert runner.run("a", lines.append) is Outcome.UNCHANGED
    assert lines == ["Stage 'a' didn't change, skipping"]
    (folder / "a").unlink()
    (folder / "dvc.lock").unlink()
    assert runner.run("a", ignore) is Outcome.RESTORED
    assert (folder / "a").read_text() == "1\n"
    assert runner.run("a", ignore, force=True) is Outcome.RAN


def test_only_the_named_stage_runs(repo: Repo) -> None:
    folder = repo({"a": {"cmd": "echo > a", "outs": ["a"]}, "b": {"cmd": "echo > b", "deps": ["a"], "outs": ["b"]}})
    with pytest.raises(StageFailed, match=r"b: failed to reproduce 'b'.*/a'"):
        StageRunner(folder).run("b", ignore)
    assert not (folder / "a").exists()


def test_the_hints_of_dvc_for_a_prompt_stay_out_of_the_log(repo: Repo) -> None:
    lines: list[str] = []
    StageRunner(repo({"a": {"cmd": "echo > a", "outs": ["a"]}})).run("a", lines.append)
    assert not [line for line in lines if "dvc push" in line or "git" in line or not line]


def test_lines_arrive_while_the_stage_runs(repo: Repo) -> None:
    folder = repo({"a": {"cmd": "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; echo > a", "outs": ["a"]}})
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if line == "one":  # the stage waits for this: a log that came at the end would wait for ever
            (folder / "go").touch()

    assert StageRunner(folder, grace=0.1).run("a", log) is Outcome.RAN
    assert lines.index("one") < lines.index("two")


def test_lines_of_a_python_program_arrive_while_it_runs(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    program = (
        "import os, time; print('one'); any(os.path.exists('go') or time.sleep(0.1) for _ in range(50)) or exit(1)"
    )
    folder, lines = repo({"a": {"cmd": f'python -c "{program}"'}}), list[str]()

    def log(line: str) -> None:
        lines.append(line)
        if line == "one":
            (folder / "go").touch()

    StageRunner(folder).run("a", log)
    assert "one" in lines


def test_a_stage_sees_what_it_is_given_before_what_the_run_and_the_machine_have(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STAGE", "RUN", "MACHINE"):
        monkeypatch.setenv(name, "of the machine")
    folder = repo({"a": {"cmd": "echo $STAGE, $RUN, $MACHINE > a", "outs": ["a"]}})
    runner = StageRunner(folder, environment={"STAGE": "of the run", "RUN": "of the run"})
    runner.run("a", ignore, environment={"STAGE": "its own"})
    assert (folder / "a").read_text() == "its own, of the run, of the machine\n"


def test_a_password_in_an_address_stays_out_of_the_log_and_of_the_message(repo: Repo) -> None:
    said = "train: error: https://me:geheim@host/a: no answer. Try again."
    lines: list[str] = []
    with pytest.raises(StageFailed, match=r"^train: error: https://me:\*\*\*@host/a: no answer\. Try again\.$"):
        StageRunner(repo({"train": {"cmd": f"echo {said} >&2; exit 1"}})).run("train", lines.append)
    assert any("me:***@host" in line for line in lines)
    assert not any("geheim" in line for line in lines if "> echo" not in line)


def test_a_progress_bar_does_not_flood_the_log(repo: Repo) -> None:
    bar = r"printf '\r%s' 1/4 2/4 3/4 '4/4 done'; printf '\n  indented\n'; echo > a"
    lines: list[str] = []
    StageRunner(repo({"a": {"cmd": bar, "outs": ["a"]}})).run("a", lines.append)
    assert "1/4" in lines
    assert "4/4 done" in lines
    assert "  indented" in lines
    assert "2/4" not in lines
    assert "3/4" not in lines


def test_bytes_that_are_no_text_do_not_break_the_log(repo: Repo) -> None:
    lines: list[str] = []
    StageRunner(repo({"a": {"cmd": r"printf 'x\377y\n'; echo > a", "outs": ["a"]}})).run("a", lines.append)
    assert "x\N{REPLACEMENT CHARACTER}y" in lines


def test_a_failed_stage_gives_its_own_message_and_dvc_gives_it_where_there_is_none(repo: Repo) -> None:
    gate = "echo 'gate: error: data/x.jsonl, row 3: no label. Add one.' >&2; echo after; exit 1"
    runner = StageRunner(repo({"gate": {"cmd": gate}, "silent": {"cmd": "exit 3"}}))
    with pytest.raises(StageFailed) as raised:
        runner.run("gate", ignore)
    assert str(raised.value) == "gate: error: data/x.jsonl, row 3: no label. Add one."
    with pytest.raises(StageFailed, match=r"silent: failed to reproduce.*exited with 3"):
        runner.run("silent", ignore)
    with pytest.raises(StageFailed, match="nowhere: Stage 'nowhere' not found"):
        runner.run("nowhere", ignore)


def test_python_in_a_stage_is_this_interpreter(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    folder = repo({"a": {"cmd": "python -c 'import sys; print(sys.executable)' > a", "outs": ["a"]}})
    StageRunner(folder).run("a", ignore)
    assert (folder / "a").read_text().strip() == sys.executable


def test_two_stages_run_side_by_side(repo: Repo) -> None:
    meet = "echo > {me}; for i in $(seq 200); do [ -e {other} ] && exit 0; sleep 0.05; done; exit 1"
    stages = {
        "a": {"cmd": meet.format(me="a", other="b"), "deps": ["in"], "outs": ["a"]},
        "b": {"cmd": meet.format(me="b", other="a"), "deps": ["in"], "outs": ["b"]},
    }
    folder = repo(stages)
    (folder / "in").touch()
    runner = StageRunner(folder)
    work = [in_background(runner, stage) for stage in stages]
    for thread, raised in work:
        thread.join()
        assert not raised


def test_stopping_lets_the_stage_of_a_dvc_clean_up_and_leaves_no_process(repo: Repo, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    clean = "trap 'sleep 0.5; echo saved > checkpoint; exit 143' TERM"
    child = f"python -c 'import time; time.sleep(600)' {marker} &"
    folder = repo({"train": {"cmd": f"{clean}; {child} echo > started; wait", "outs": ["model"]}})
    runner = StageRunner(folder)
    thread, raised = in_background(runner, "train")
    wait_for((folder / "started").exists, 20, "the stage runs")
    wait_for(lambda: processes_of(marker), 20, "its child runs")
    runner.stop_all()
    assert (folder / "checkpoint").read_text() == "saved\n"
    thread.join()
    assert [str(error) for error in raised] == ["train: stopped"]
    assert processes_of(marker) == []
    assert processes_of(folder) == []


def test_a_stage_that_ignores_sigterm_is_killed_when_patience_ends(repo: Repo) -> None:
    folder = repo({"train": {"cmd": f'python -c "{DEAF}"'}})
    runner = StageRunner(folder, grace=0.5)
    thread, _ = in_background(runner, "train")
    wait_for((folder / "started").exists, 20, "the stage runs")
    began = time.monotonic()
    runner.stop_all()
    assert time.monotonic() - began >= 0.5
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert processes_of(folder) == []


def test_a_second_interrupt_ends_the_patience_at_once(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = repo({"train": {"cmd": f'python -c "{DEAF}"'}})
    runner = StageRunner(folder)
    thread, _ = in_background(runner, "train")
    wait_for((folder / "started").exists, 20, "the stage runs")

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(process_groups.time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.stop_all()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert processes_of(folder) == []


def test_after_a_stop_no_stage_begins(repo: Repo) -> None:
    folder = repo({"a": {"cmd": "echo > a", "outs": ["a"]}})
    runner = StageRunner(folder)
    runner.stop_all()
    with pytest.raises(StageFailed, match="stopped"):
        runner.run("a", ignore)
    assert not (folder / "a").exists()


def test_an_error_in_the_log_does_not_leave_the_stage_running(repo: Repo) -> None:
    folder = repo({"a": {"cmd": "echo line; python -c 'import time; time.sleep(600)'"}})

    def log(line: str) -> None:
        if line == "line":
            raise ValueError("the log is broken")

    with pytest.raises(ValueError, match="the log is broken"):
        StageRunner(folder).run("a", log)
    assert processes_of(folder) == []
