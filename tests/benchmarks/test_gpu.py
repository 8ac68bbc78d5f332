"""benchmarks/gpu.py, which is meant to run right the first time on a machine lent for minutes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import Case, Report, circumstances, laid_out, random_batch, speeds
from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.pretraining.progress import flops_of_sequence
from checkout import ROOT


def run(out: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The script, in a process that finds bertline and nothing else of this checkout."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--out", str(out), "--tiny", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_part_runs_and_nothing_is_wrong(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert found["wrong"] == []
    bad = {name: row for name, row in found["parts"].items() if row.keys() & {"skipped", "error"}}
    assert not bad
    assert found["parts"]["training"]["exit_codes"] == [0, 143, 0]
    assert done.stdout.splitlines()[-1] == "nothing wrong"


@pytest.mark.slow
def test_parts_without_time_are_skipped_and_said_so(tmp_path):
    done = run(tmp_path, "--seconds", "0.1", "--only", "machine", "exact *")
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["parts"]
    assert len(parts) == 8 and all("skipped" in row for row in parts.values())
    assert "s left" in done.stdout


def test_some_parts_made_anew_leave_the_others_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    whole = Report(path, 60, [])
    whole.part("machine", 10, lambda: {"bf16_flops": 1e12})
    whole.part("exact fp32", 10, lambda: {"wrong": True})
    whole.part("exact bf16", 10, lambda: {"wrong": True})
    some = Report(path, 60, ["* fp32"])
    some.part("machine", 10, lambda: {"bf16_flops": 2e12})
    some.part("exact fp32", 10, lambda: {"wrong": False})
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["parts"]["machine"] == {"bf16_flops": 1e12}
    assert found["wrong"] == some.wrong == ["exact bf16"]


def test_mfu_counts_no_prediction_that_is_not_needed() -> None:
    case, config = Case("tiny", 64, 48), BertConfig.named("tiny", vocab_size=1024)
    batch = random_batch(seed=0, rows=48, length=64, vocabulary=1024)
    few = replace(batch, weights=batch.weights * 0)
    lengths = batch.padding.sum(1).tolist()
    alone = sum(flops_of_sequence(config, length, 0) for length in lengths) * 1e3
    assert speeds(case, config, [few], 1.0)["flops_per_second"] == pytest.approx(alone)
    assert speeds(case, config, [batch], 1.0)["flops_per_second"] > alone


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_gives_what_padding_gives_in_the_last_layer_too() -> None:
    """The forward pass alone: on a CPU it has no other."""
    config = BertConfig(vocab_size=1024, hidden_size=128, layers=2, heads=2, intermediate_size=256, max_positions=64)
    model = BertForPreTraining(config)
    initialize(model, seed=0)
    batch = random_batch(seed=0, rows=8, length=64, vocabulary=1024)
    flex = laid_out(batch, "flex", torch.device("cpu")).to(torch.device("cpu"))
    with torch.no_grad(), circumstances(Case("tiny", 64, 8, "flex", "all")):
        model.requires_grad_(False)
        found = model(flex.ids, flex.segments, flex.mask, flex.positions)
    for one, other in zip(found, model(batch.ids, batch.segments, batch.mask, batch.positions), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
