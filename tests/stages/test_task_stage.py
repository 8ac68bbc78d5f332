"""Stage task@T as DVC runs it: `python -m bertline.stages.task T`."""

import subprocess
import sys
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params, Task, TaskData
from bertline.base.params import write_params
from bertline.base.stage import execute
from bertline.stages.task import run
from bertline.tasks.schema import TaskInfo, read_rows


@pytest.fixture
def checkout(tmp_path: Path) -> Artifacts:
    artifacts = Artifacts(tmp_path)
    (artifacts.data / "sources").mkdir(parents=True)
    rows = "".join(f"text number {number},{'yes' if number % 3 else 'no'}\n" for number in range(100))
    (artifacts.data / "sources" / "a.csv").write_text("text,label\n" + rows, encoding="utf-8")
    task = Task(data=TaskData(builder="files", train="data/sources/a.csv"))
    write_params(artifacts.params, Params(tasks={"mine": task}), "One task.")
    return artifacts


def test_the_stage_writes_the_rows_and_says_how_many(checkout: Artifacts) -> None:
    params = Params(tasks={"mine": Task(data=TaskData(builder="files", train="data/sources/a.csv"))})
    metrics = run(params, checkout, "mine")
    info = TaskInfo.read(checkout.task("mine"))
    assert metrics["kind"] == info.kind == "classification"
    assert metrics["labels"] == 2
    for split in ("train", "validation", "test"):
        assert metrics[f"{split}_rows"] == len(read_rows(checkout.task("mine"), split)) > 0


def test_the_stage_runs_as_a_program_from_another_folder(checkout: Artifacts) -> None:
    command = [sys.executable, "-m", "bertline.stages.task", "mine", "--root", str(checkout.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("task@mine: kind classification, labels 2, train rows")


def test_a_wrong_row_is_one_line_and_leaves_nothing_behind(
    checkout: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    with (checkout.data / "sources" / "a.csv").open("a", encoding="utf-8") as out:
        out.write(" ,yes\n")
    assert execute("task", run, checkout.root, "mine") == 1
    said = capsys.readouterr()
    assert said.err == (
        "task@mine: error: data/sources/a.csv, line 102: text is empty. Fill it in, or remove the row.\n"
    )
    assert not said.out
    assert not checkout.task("mine").exists()
