"""benchmarks/gpu_glue.py, which goes on where a part ended: on the smoke preset's tokens and tasks, on a CPU."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_glue
from bertline.base.artifacts import Artifacts
from bertline.base.config import Finetune, Pretrain, SecondPhase
from bertline.evaluation.metrics import score
from checkout import PRESETS, ROOT
from toy_tasks import SHORT, write_pretrained, write_toy_task

Run = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture
def root(smoke_run: Run, tmp_path: Path) -> Path:
    """A directory with what stages before pre-training made."""
    data = tmp_path / "root" / "data"
    data.mkdir(parents=True)
    for name in ("tokens", "vocab", "tasks"):
        (data / name).symlink_to(smoke_run[0] / "data" / name)
    return data.parent


def part(root: Path, seconds: float, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """One part, in a process that finds bertline and nothing else of this checkout."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_glue.py"), "--root", str(root), "--out", str(root)]
    command += ["--preset", str(PRESETS["smoke"]), "--seconds", str(seconds), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def summary(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "gpu_glue.json").read_text(encoding="utf-8"))
    return found


def options_of(tmp_path: Path, preset: str, *arguments: str) -> tuple[Pretrain, dict[str, Finetune]]:
    """What the script trains with, by its command line."""
    given = gpu_glue.read_options(["--out", str(tmp_path), "--preset", str(PRESETS[preset]), *arguments])
    return gpu_glue.recipe(given)[1:]


def test_every_preset_is_a_recipe_with_its_parts_and_what_it_leaves_out(tmp_path: Path) -> None:
    for preset in PRESETS:
        options_of(tmp_path, preset)
    pretrain, finetune = options_of(tmp_path, "glue-cpu")
    assert pretrain.second_phase == SecondPhase(share=0.15, sequence_length=128, batch_size=32)
    assert finetune["cola"].tune.learning_rates == [0.0005, 0.001, 0.0015, 0.003]
    assert options_of(tmp_path, "quickstart")[0] == Pretrain(optimizer="muon", learning_rate=0.003, budget=4000)


def test_numbers_are_numbers_however_they_are_written(tmp_path: Path) -> None:
    pretrain, _ = options_of(
        tmp_path, "glue-h200", "--set", "pretrain.learning_rate=3e-4", "pretrain.schedule=cosine", "pretrain.packed=no"
    )
    assert (pretrain.learning_rate, pretrain.schedule, pretrain.packed) == (0.0003, "cosine", False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "pretrain.learning_rates=1"], "learning_rates"),
        (["--set", "learning_rate"], "SECTION.OPTION=VALUE"),
        (["--set", "pretrain.dropout=2"], "dropout"),
        (["--set", "finetune.epochs=0"], "epochs"),
        (["--tasks", "cola", "sts-b"], "sts-b"),
    ],
)
def test_a_slip_of_the_command_line_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_glue.py", "--out", str(tmp_path), *arguments])
    with pytest.raises(SystemExit, match=said) as ended:
        gpu_glue.main()
    assert str(ended.value.code).startswith("gpu_glue: error: ")


def stopped_at(call: int) -> Any:
    """The function `score`, during a call of which a SIGTERM ends the process."""
    calls = count(1)

    def stopping(*given: Any) -> dict[str, float]:
        if next(calls) == call:
            raise SystemExit(143)
        return score(*given)

    return stopping


def test_scores_are_those_of_the_recipe_and_outlast_a_part_that_ends_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts, run, config = Artifacts(tmp_path), tmp_path / "run", replace(SHORT, seeds=2)
    write_toy_task(artifacts.task("toy"), "classification")
    write_pretrained(run / gpu_glue.MODEL)
    options = gpu_glue.read_options(["--root", str(tmp_path), "--out", str(tmp_path)])

    def listed(config: Finetune) -> dict[str, Any]:
        gpu_glue.write_summary(options, {"pretrain": {}, "finetune": {}}, {"toy": config}, run)
        found: dict[str, Any] = summary(tmp_path)["tasks"]
        return found

    gpu_glue.finetune_task(artifacts, run, tmp_path, "toy", config)
    whole = listed(config)
    assert all(whole["toy"]["spread"][start]["seeds"] == 2 for start in gpu_glue.STARTS)
    assert listed(replace(config, learning_rate=1e-3)) == {}, "scores that other options gave"

    monkeypatch.setattr(gpu_glue, "score", stopped_at(2))
    more = replace(config, seeds=3)
    with pytest.raises(SystemExit):
        gpu_glue.finetune_task(artifacts, run, tmp_path, "toy", more)
    assert listed(more) == whole

    monkeypatch.setattr(gpu_glue, "score", score)
    gpu_glue.finetune_task(artifacts, run, tmp_path, "toy", more)
    grown = listed(more)["toy"]
    for start in gpu_glue.STARTS:
        assert grown[start].keys() == {"0", "1", "2"}
        assert grown[start] | whole["toy"][start] == grown[start], "with the seconds that they took"


def test_tasks_without_rows_are_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_toy_task(Artifacts(tmp_path).task("cola"), "classification")
    monkeypatch.setattr(gpu_glue, "run_of", lambda *_: tmp_path / "run")
    monkeypatch.setattr(gpu_glue, "in_parts", lambda *_: [])
    command = ["--root", str(tmp_path), "--out", str(tmp_path), "--tasks", "cola", "rte", "wnli"]
    assert gpu_glue.work(gpu_glue.read_options(command), 0.0) == 0
    assert f"left out, without rows in {tmp_path / 'data' / 'tasks'}: rte, wnli" in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_part_leaves_undone_the_next_one_does_and_the_one_after_has_nothing_to_do(root: Path) -> None:
    first = part(root, 0.1)
    assert first.returncode == 0, first.stderr
    assert summary(root)["pretrain"] is None and summary(root)["tasks"] == {}

    second = part(root, 300)
    assert second.returncode == 0, second.stderr
    found = summary(root)
    assert found["pretrain"]["metrics"]["steps"] == 100
    assert found["tasks"].keys() == {"docs_topic", "docs_qa"}
    for task in found["tasks"].values():
        assert all(task[start].keys() == {"0"} for start in ("pretrained", "from_random"))
        assert task["spread"]["pretrained"]["median"] == task["pretrained"]["0"][task["metric"]]
    assert "docs_topic" in second.stdout and "median" in second.stdout

    runs = {path: path.stat().st_mtime_ns for path in (root / "data" / "runs" / "finetune").rglob("history.json")}
    assert len(runs) == 4
    topic = [json.loads(path.read_text(encoding="utf-8")) for path in runs if "docs_topic" in path.parts]
    assert [len(history["losses"]) for history in topic] == [2, 2], "64 rows in batches of 32: its own one epoch"
    seconds = {task: scores["pretrained"]["0"]["seconds"] for task, scores in found["tasks"].items()}
    assert part(root, 300).returncode == 0
    again = summary(root)["tasks"]
    assert seconds == {task: scores["pretrained"]["0"]["seconds"] for task, scores in again.items()}
    assert runs == {path: path.stat().st_mtime_ns for path in runs}

    assert part(root, 300, "--set", "pretrain.budget=60", "--tasks", "docs_topic").returncode == 0
    other = summary(root)
    assert other["pretrain"]["metrics"]["steps"] == 60, "another recipe begins anew"
    assert other["tasks"].keys() == {"docs_topic"}, "what an earlier encoder scored is no part of it"


def test_the_time_of_a_part_begins_with_its_process_however_long_torch_takes_to_be_read() -> None:
    code = "import time; time.sleep(2); from benchmarks.gpu_glue import since_start; print(since_start())"
    begun = time.monotonic()
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 2 <= float(told) <= time.monotonic() - begun + 0.1


def test_a_process_that_the_system_ended_fails_the_part(capfd: pytest.CaptureFixture[str]) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert gpu_glue.wait({"cola": killed}, time.monotonic() + 60) == [-9]
    assert "cola was ended by SIGKILL" in capfd.readouterr().err


@pytest.mark.slow
def test_an_encoder_that_learned_next_to_nothing_ends_the_script(root: Path, tmp_path: Path) -> None:
    strict = tmp_path / "strict.yaml"
    text = PRESETS["smoke"].read_text(encoding="utf-8")
    strict.write_text(text.replace("min_gain_over_unigram: -10.0", "min_gain_over_unigram: 5.0"), encoding="utf-8")
    ended = part(root, 300, "--preset", str(strict), "--set", "pretrain.budget=5")
    assert ended.returncode == 1
    assert "pre-training has learned next to nothing" in ended.stderr
    assert not list(root.rglob("model"))
