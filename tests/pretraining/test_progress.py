"""Progress for people and for programs."""

import io
import itertools
import json
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.pretraining import progress as room
from bertline.pretraining.progress import Progress, flops_of_sequence, measure_peak

ROW = {"step": 40, "mlm_loss": 5.25, "mlm_accuracy": 0.125, "nsp_loss": 0.5, "nsp_accuracy": 0.75}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def report(log: Path, row: dict[str, float | None], *dones: float) -> None:
    with Progress(log, peak=1e12, done=0.0) as progress:
        for done in dones:
            for _ in range(10):
                progress.step(seconds=0.01, waited=0.001, tokens=4096, flops=1e9)
            progress.point(dict(row), done)


def test_the_operations_of_a_sequence_are_those_that_torch_counts() -> None:
    config = BertConfig.named("tiny", vocab_size=512)
    model = BertForPreTraining(config)
    initialize(model, 0)
    ids, positions = torch.zeros(2, 64, dtype=torch.int64), torch.zeros(2, 10, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        mlm, nsp = model(ids, ids, None, positions)
        (mlm.sum() + nsp.sum()).backward()
    assert 2 * flops_of_sequence(config, 64, 10) == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_the_peak_is_that_of_the_fastest_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PEAK_SIZE", {"cpu": 256})
    assert 1e8 < measure_peak(torch.device("cpu"), "bf16") < 1e15
    ends = itertools.accumulate((1.0, 0.02, 1.0, 0.03, 1.0, 0.04) * 8)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ends))
    assert measure_peak(torch.device("cpu"), "fp32") == pytest.approx(2 * 256**3 / 0.02)


def test_the_time_left_is_reckoned_from_what_this_sitting_has_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter((100.0, 220.0, 280.0, 285.0, 400.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with Progress(tmp_path / "log.jsonl", peak=1e12, done=0.5) as progress:  # begun at 100 s, half of it done before
        for done in (0.6, 0.75, 0.76, 1.0):
            progress.step(seconds=0.01, waited=0.001, tokens=4096, flops=1e9)
            progress.point(dict(ROW), done)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", ")[2] for line in lines] == ["8:00 left", "3:00 left", "0:00 left"]  # one came too soon


def test_each_point_is_a_line_of_the_log(tmp_path: Path) -> None:
    report(tmp_path / "log.jsonl", ROW, 0.1, 0.2)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = {
        "step": 40,
        "tokens_per_second": 409_600,
        "milliseconds_per_step": 10.0,
        "waiting_share": 0.1,
        "mfu": 0.1,
    }
    assert rows == [expected, expected]


def test_in_a_log_file_progress_is_plain_lines_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report(tmp_path / "log.jsonl", ROW, 0.1, 0.2, 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1  # ten seconds have not passed; the last is always shown
    expected = "step 40, MLM 5.250 (12.5%), NSP 0.500 (75.0%), 409,600 tokens/s, MFU 10%"
    assert lines[0].startswith("pretrain 100%: ") and expected in lines[0]
    monkeypatch.setattr(room, "_EVERY", 0.0)
    report(tmp_path / "log.jsonl", ROW | {"nsp_loss": None}, 0.1, 0.2)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2 and "NSP" not in said and "\r" not in said and "\x1b" not in said


def test_on_a_terminal_progress_is_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    report(tmp_path / "log.jsonl", ROW, 0.25)
    assert " 25%|" in terminal.getvalue() and "MLM 5.250" in terminal.getvalue()
