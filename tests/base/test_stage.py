"""What every stage's command line promises: one line for a fault, a non-zero exit, a traceback only with --debug."""

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import read_json
from bertline.base.stage import execute, summarize

FULL_GPU = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139.80 GiB of which 1.50 GiB is "
    "free. Including non-PyTorch memory, this process has 138.29 GiB memory in use. Of the allocated memory 130.00 GiB "
    "is allocated by PyTorch, and 7.00 GiB is reserved by PyTorch but unallocated."
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("tasks: {topics: {kind: pair, data: {builder: docs_pair}}}\n")
    return tmp_path


def fine(params: Params, artifacts: Artifacts) -> dict[str, Any]:
    return {"documents": 12345, "loss": 0.123456, "by_kind": {"a": 1}}


def raising(error: BaseException) -> Any:
    def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
        raise error

    return run


def test_success_says_the_figures_and_keeps_the_time(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute("documents", fine, root) == 0
    assert capsys.readouterr().out.startswith("documents: documents 12,345, loss 0.1235 (")
    kept = read_json(root / "data" / "runs" / "stages" / "documents.json")
    assert kept["stage"] == "documents"
    assert 0 <= kept["seconds"] < 60, "not since the machine was started"
    assert kept["peak_bytes"] > 1e6


@pytest.mark.parametrize(
    ("error", "told", "status"),
    [
        (BertlineError("no rows", where="a.csv", fix="Add rows"), "documents: error: a.csv: no rows. Add rows.", 1),
        (OSError(errno.ENOSPC, "No space left on device", "data/x"), "data/x: No space left on device. Free some", 1),
        (PermissionError(errno.EACCES, "Permission denied", "data/x"), "data/x: Permission denied. Check the path", 1),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "data/x"), "data/x: No space left on device. Free some", 1),
        (OSError("1000 requested and 0 written"), "disk: No space left on device. Free some space and run again.", 1),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk: No space left on device. Free", 1),
        (ValueError("postgresql://me:geheim@host refused"), "internal error, ValueError: postgresql://me:***@host", 1),
        (ZeroDivisionError("division\nby zero"), "internal error, ZeroDivisionError: division by zero. Run", 1),
        (torch.OutOfMemoryError(FULL_GPU), "error: CUDA out of memory. Tried to allocate 2.00 GiB. Make batches", 1),
        (KeyboardInterrupt(), "interrupted", 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fault_is_one_line(
    error: BaseException, told: str, status: int, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute("documents", raising(error), root) == status
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.err.count("\n") == 1
    assert not list((root / "data").rglob("*.json"))


@pytest.mark.parametrize("file", ["params.yaml", "src/bertline/base/words.py"])
def test_results_of_what_was_edited_while_they_were_made_are_no_results(
    file: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DVC would note them as those of the edited options or code: it hashes dependencies when a stage has ended."""
    (root / "dvc.yaml").write_text("stages: {documents: {deps: [src], params: [documents]}}\n")

    def edited_meanwhile(params: Params, artifacts: Artifacts) -> dict[str, Any]:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("documents: {min_sentences: 7}\n")
        return {}

    assert execute("documents", edited_meanwhile, root) == 1
    told = capsys.readouterr().err
    name = "documents.min_sentences" if file == "params.yaml" else file
    assert f"documents: error: {name}: changed while the stage ran" in told
    assert "`dvc commit -f documents`" in told
    assert execute("documents", fine, root) == 0, "edited before it began, all is well"


def test_a_stage_that_still_runs_is_not_begun_beside_itself(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed dvc leaves its stage running, which replaced what the next `dvc repro` had made."""

    def begun_again(params: Params, artifacts: Artifacts) -> dict[str, Any]:
        assert execute("documents", raising(AssertionError("ran")), root) == 1
        assert f"documents is already running: process {os.getpid()} on" in capsys.readouterr().err
        assert execute("vocab", fine, root) == 0, "another stage may"
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert execute("documents", fine, root) == 0, "so may the processes of one run, which torchrun starts"
        return {}

    assert execute("documents", begun_again, root) == 0


class Full(io.StringIO):
    """A log on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_figures_that_find_no_room_on_the_disk_are_a_fault_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", Full())
    assert execute("documents", fine, root) == 1
    told = "documents: error: disk: No space left on device. Free some space and run again.\n"
    assert capsys.readouterr().err == told


def test_debug_shows_the_traceback(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute("documents", raising(ZeroDivisionError()), root, debug=True) == 1
    assert "Traceback" in capsys.readouterr().err


def test_sigterm_s_exit_status_passes_through(root: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        execute("pretrain", raising(SystemExit(143)), root)
    assert caught.value.code == 143


def test_an_unknown_task_lists_the_known_ones(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(params: Params, artifacts: Artifacts, task: str) -> dict[str, Any]:
        return {}

    assert execute("finetune", run, root, "topic") == 1
    assert "no task named 'topic'. Choose one of: topics." in capsys.readouterr().err
    assert execute("finetune", run, root, "") == 1
    assert "no task named ''. Choose one of: topics." in capsys.readouterr().err
    assert execute("finetune", run, root, "topics") == 0


def test_a_bad_params_file_stops_before_any_work(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "params.yaml").write_text("pretrain: {modle: tiny}\n")
    assert execute("documents", raising(AssertionError("ran")), root) == 1
    assert "key pretrain.modle: unknown option. Did you mean 'model'" in capsys.readouterr().err


def test_the_summary_leaves_out_what_does_not_fit_a_line() -> None:
    assert summarize({"a": 1, "b": [1], "c": {"d": 2}, "e": True, "f": "x"}) == "a 1, e True, f x"
