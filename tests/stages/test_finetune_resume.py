"""Whatever kills stage finetune, finished seeds are not trained again, and the results are the same bytes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_directory
from bertline.finetuning import runs
from bertline.finetuning.runs import Runs
from bertline.stages import finetune
from stages.interrupted_finetuning import PARAMS
from toy_tasks import write_pretrained, write_toy_task

TESTS = Path(__file__).parents[1]
OUTS = ("models/finetuned/toy_pair", "predictions/toy_pair", "reports/finetune/toy_pair")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the runs that were trained in this process."""
    titles: list[str] = []
    real: Callable = runs.finetune
    monkeypatch.setattr(runs, "finetune", lambda *a, title, **b: titles.append(title) or real(*a, title="", **b))
    return titles


def checkout(root: Path) -> Artifacts:
    artifacts = Artifacts(root)
    write_pretrained(artifacts.pretrained)
    write_toy_task(artifacts.task("toy_pair"), "pair")
    return artifacts


def outs(artifacts: Artifacts) -> list[str]:
    return [sha256_directory(artifacts.data / part) for part in OUTS]


@pytest.mark.parametrize("after", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_killed_between_seeds_goes_on_with_the_next_one(after: int, tmp_path: Path, trained: list[str]) -> None:
    killed, whole = checkout(tmp_path / "killed"), checkout(tmp_path / "whole")
    command = [sys.executable, "-m", "stages.interrupted_finetuning", str(killed.root), "toy_pair", str(after)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -9, ended.stderr
    assert not killed.finetuned("toy_pair").exists()

    finetune.run(PARAMS, killed, "toy_pair")
    resumed = trained.copy()
    trained.clear()
    finetune.run(PARAMS, whole, "toy_pair")
    assert len(trained) == 6  # two starts, three seeds
    assert resumed == trained[after:]
    assert outs(killed) == outs(whole)
    assert not list((killed.runs / "finetune").glob("*/*"))


def test_a_stage_that_has_succeeded_trains_anew_when_it_is_asked_again(tmp_path: Path, trained: list[str]) -> None:
    artifacts = checkout(tmp_path)
    finetune.run(PARAMS, artifacts, "toy_pair")
    finetune.run(PARAMS, artifacts, "toy_pair")
    assert len(trained) == 12


def interrupt_at_the_end(artifacts: Artifacts) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(finetune, "_write", stop)
        finetune.run(PARAMS, artifacts, "toy_pair")


def test_a_stage_killed_while_it_removes_its_runs_begins_anew(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, whole = checkout(tmp_path / "killed"), checkout(tmp_path / "whole")
    remove = shutil.rmtree

    def killed_half_way(path: Path, **options: object) -> None:
        for first in list(Path(path).rglob("model.safetensors"))[:1]:
            first.unlink()
            raise KeyboardInterrupt
        remove(path, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed_half_way)
        finetune.run(PARAMS, killed, "toy_pair")
    trained.clear()
    finetune.run(PARAMS, killed, "toy_pair")
    finetune.run(PARAMS, whole, "toy_pair")
    assert outs(killed) == outs(whole)
    assert len(trained) == 12


@pytest.mark.parametrize("changed", ["recipe", "rows", "encoder"])
def test_a_run_of_other_inputs_is_not_gone_on_from(changed: str, tmp_path: Path, trained: list[str]) -> None:
    artifacts = checkout(tmp_path)
    interrupt_at_the_end(artifacts)
    trained.clear()
    params = PARAMS
    if changed == "recipe":
        params = replace(PARAMS, finetune=replace(PARAMS.finetune, dropout=0.2))
    elif changed == "rows":
        path = artifacts.task("toy_pair") / "train.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    else:
        write_pretrained(artifacts.pretrained, seed=2)
    finetune.run(params, artifacts, "toy_pair")
    assert len(trained) == 6


def test_more_seeds_are_trained_beside_those_that_are_there(tmp_path: Path, trained: list[str]) -> None:
    artifacts = checkout(tmp_path)
    interrupt_at_the_end(artifacts)
    trained.clear()
    tasks = {"toy_pair": replace(PARAMS.tasks["toy_pair"], finetune={"epochs": 1, "seeds": 4})}
    finetune.run(replace(PARAMS, tasks=tasks), artifacts, "toy_pair")
    assert trained == [f"finetune@toy_pair {start}, seed 3" for start in ("pretrained", "from_random")]


def test_two_processes_do_not_fine_tune_one_task(tmp_path: Path) -> None:
    artifacts = checkout(tmp_path)
    with (
        Runs(artifacts.runs / "finetune" / "toy_pair"),
        pytest.raises(BertlineError, match=rf"fine-tuning of toy_pair is already running: process {os.getpid()} "),
    ):
        finetune.run(PARAMS, artifacts, "toy_pair")
