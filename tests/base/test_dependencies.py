"""What a stage depends on, and what of it was changed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bertline.base.dependencies import changed, dependencies
from bertline.base.params import load_params

STAGES = """
stages:
  pretrain:
    cmd: python -m bertline.stages.pretrain
    deps: [src/bertline/model, data/tokens, data/gates/passed.json, data/initial]
    params: [pretrain]
  transfer:
    foreach: ${transfer}
    do:
      cmd: python -m bertline.stages.transfer ${key}
      deps: ["data/models/${item}", "data/tasks/${key}"]
      params: ["tasks.${key}.finetune", "transfer.${key}"]
"""
PARAMS = """
pretrain: {budget: 5, upsample: {a.txt: 2}}
tasks:
  one: {kind: pair, data: {builder: docs_pair}, finetune: {epochs: 1}}
  two: {kind: pair, data: {builder: docs_pair}, finetune: {epochs: 1}}
transfer: {two: one}
"""
FILES = (
    *("src/bertline/model/bert.py", "data/tokens/ids.npy", "data/gates/passed.json", "data/models/one/config.json"),
    *("data/models/two/config.json", "data/tasks/two/train.jsonl", "data/tasks/one/train.jsonl"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "params.yaml").write_text(PARAMS)
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    return tmp_path


def found(root: Path, edit: Callable[[Path], object], stage: str = "pretrain", task: str = "") -> list[str]:
    """What a stage finds changed after an edit."""
    before = dependencies(root, load_params(root / "params.yaml"), stage, task)
    edit(root)
    return changed(before, dependencies(root, load_params(root / "params.yaml"), stage, task))


def written(name: str, text: str = "as it is now") -> Callable[[Path], object]:
    def write(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    return write


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (written("params.yaml", PARAMS.replace("budget: 5", "budget: 6")), ["pretrain.budget"]),
        (written("params.yaml", PARAMS.replace("a.txt: 2", "a.txt: 3")), ["pretrain.upsample.a.txt"]),
        (written("src/bertline/model/bert.py"), ["src/bertline/model/bert.py"]),
        (written("src/bertline/model/new.py"), ["src/bertline/model/new.py"]),
        (written("data/tokens/ids.npy"), ["data/tokens/ids.npy"]),
        (written("data/initial/mine/config.json"), ["data/initial/mine/config.json"]),
        (lambda root: (root / "data/gates/passed.json").unlink(), ["data/gates/passed.json"]),
        (lambda root: shutil.rmtree(root / "data/tokens"), ["data/tokens/ids.npy"]),
    ],
    ids=["option", "option of an option", "code", "new code", "data", "new data", "a file is gone", "a folder is gone"],
)
def test_what_was_edited_is_named(edit: Callable[[Path], object], told: list[str], root: Path) -> None:
    assert found(root, edit) == told


@pytest.mark.parametrize(
    "edit",
    [
        written("params.yaml", PARAMS.replace("epochs: 1", "epochs: 2")),
        written("params.yaml", PARAMS.replace("budget: 5", "seed: 0, budget: 5.0") + "# a comment\n"),
        written("data/models/one/config.json"),
        written("src/bertline/model/__pycache__/bert.pyc"),
        written("data/tokens/.ids.npy.abc.tmp"),
        lambda root: os.utime(root / "src/bertline/model/bert.py", (1, 1)),  # git checkout, and back
    ],
    ids=[
        "another stage's option",
        "comments and defaults",
        "other data",
        "byte code",
        "unfinished",
        "as was",
    ],
)
def test_what_makes_no_other_result_is_not(edit: Callable[[Path], object], root: Path) -> None:
    assert found(root, edit) == []


def test_a_stage_of_a_task_depends_on_what_its_entry_names(root: Path) -> None:
    for name in ("data/models/one/config.json", "data/tasks/two/train.jsonl"):
        assert found(root, written(name, name), "transfer", "two") == [name]
    both = written("params.yaml", PARAMS.replace("epochs: 1", "epochs: 2"))
    assert found(root, both, "transfer", "two") == ["tasks.two.finetune.epochs"]
    for name in ("data/models/two/config.json", "data/tasks/one/train.jsonl"):
        assert found(root, written(name, name), "transfer", "two") == []
