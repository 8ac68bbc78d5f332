"""Stage task@T as DVC runs it: `python -m bertline.stages.task T`."""

import shutil
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


def test_rows_of_a_dataset_on_the_hub_are_taken_from_its_mirror_once(
    checkout: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrored = tmp_path / "mirror" / "huggingface.co" / "datasets" / "someone" / "something" / "resolve" / "main"
    mirrored.mkdir(parents=True)
    shutil.copyfile(checkout.data / "sources" / "a.csv", mirrored / "rows.csv")
    monkeypatch.setenv("BERTLINE_MIRROR", str(tmp_path / "mirror"))
    address = "hf://datasets/someone/something@main/rows.csv"
    kept = checkout.downloads / "datasets" / "someone" / "something@main" / "rows.csv"
    params = Params(tasks={"mine": Task(data=TaskData(builder="files", train=address))})
    left = kept / "something" / "rows.csv"  # as earlier versions left it
    left.parent.mkdir(parents=True)
    left.write_text("text,label\n", encoding="utf-8")
    before = run(params, checkout, "mine")
    assert kept.read_bytes() == (mirrored / "rows.csv").read_bytes()
    monkeypatch.setenv("BERTLINE_MIRROR", "")
    assert run(params, checkout, "mine") == before
    assert [path.name for path in checkout.downloads.rglob("*") if path.is_file()] == ["rows.csv"]


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


GOOD = "text,label\nfine,yes\npoor,no\n"
ASKED = '{"id": "q%d", "question": "Who sang?", "context": "It was Ada.", "answers": [{"text": "Ada", "start": %d}]}\n'
WRONG = {
    "missing column": (
        {"a.csv": "text,stars\nfine,5\n"},
        "a.csv, line 2: no column 'label'. Name yours in tasks.mine.data.columns, as `label: …`;"
        " the file has: text, stars.",
    ),
    "unknown label": (
        {"a.csv": GOOD, "b.csv": "text,label\nfine,yes\nso,perhaps\n"},
        "b.csv, line 3: unknown label 'perhaps'. Use one that occurs in the training rows: no, yes.",
    ),
    "answer not at its offset": (
        {"a.jsonl": ASKED % (1, 7) + ASKED % (2, 0)},
        "a.jsonl, line 2: answer 'Ada' is not at offset 0 ('It ' is). Set start to 7.",
    ),
    "empty text": ({"a.csv": GOOD + "  ,yes\n"}, "a.csv, line 4: text is empty. Fill it in, or remove the row."),
    "one class": (
        {"a.csv": GOOD.replace("no", "yes"), "b.csv": GOOD.replace("no", "yes")},
        "a.csv, line 2: all 2 training rows have the one label 'yes', this one first. Add rows with another label:"
        " there is nothing to learn from these.",
    ),
    "duplicate ids": (
        {"a.csv": "id,text,label\n7,fine,yes\n8,so,no\n7,poor,no\n"},
        "a.csv, line 4: id '7' occurs twice (first: data/sources/a.csv, line 2). Give every row an id of its own,"
        " or leave the column out.",
    ),
    "quote that never closes": (
        {"a.csv": GOOD + '"so,yes\nand,no\n'},
        "a.csv, line 4: a quote opens here and never closes."
        ' Close the quote; write quotes inside a quoted text twice ("").',
    ),
}
"""What is wrong -> the user's files, train and test, and the line that names file, row and fix."""


@pytest.mark.parametrize(("files", "line"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_users_file_is_one_line_with_file_row_and_fix(
    files: dict[str, str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts = Artifacts(tmp_path)
    (artifacts.data / "sources").mkdir(parents=True)
    for name, text in files.items():
        (artifacts.data / "sources" / name).write_text(text, encoding="utf-8")
    paths = [f"data/sources/{name}" for name in files]
    data = TaskData(train=paths[0], validation=paths[-1], test=paths[-1])
    task = Task("span" if "a.jsonl" in files else "classification", data)
    write_params(artifacts.params, Params(tasks={"mine": task}), "One task.")
    assert execute("task", run, tmp_path, "mine") == 1
    said = capsys.readouterr()
    assert said.err == f"task@mine: error: data/sources/{line}\n"
    assert not said.out
    assert not artifacts.task("mine").exists()
