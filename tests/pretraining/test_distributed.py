"""One run in two processes: the same curve and weights as in one, one writer, one signal for all."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertline.base.config import Pretrain, SecondPhase
from pretraining.interrupted_run import CONFIG, open_run

PROGRAM = Path(__file__).with_name("distributed_run.py")
EXACT = replace(CONFIG, precision="fp32", dropout=0.0, budget=12, log_every=1, evaluate_every=6)


_STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _leave_no_process() -> Iterator[None]:
    yield
    while _STARTED:
        with suppress(ProcessLookupError):
            os.killpg(_STARTED.pop().pid, signal.SIGKILL)


def start(stores: Path, run: Path, options: dict[str, Any], processes: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    arguments: Sequence[str] = [*command, str(PROGRAM), str(stores), str(run), json.dumps(options)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROGRAM.parents[1])}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    started = subprocess.Popen(arguments, text=True, env=environment, start_new_session=True, **output)
    _STARTED.append(started)
    return started


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def result(run: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return made


def alone(stores: Path, run: Path, config: Pretrain) -> dict[str, Any]:
    with open_run(stores, run, config) as trainer:
        trainer.train()
        save_file(trainer.model.state_dict(), run / "weights-0.safetensors")
        history = trainer.history
        return {"curve": history.curve, "validation": history.validation_curve, "metrics": trainer.metrics()}


def close(one: Any, other: Any) -> bool:
    """Equal to a millionth; figures are logged with six decimals, the last of which may round either way."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == other if one is None or isinstance(one, str) else one == pytest.approx(other, rel=1e-6, abs=1.1e-6)


def apart(one: Tensor, other: Tensor) -> float:
    """The distance of two tensors as a share of the first, or of a step where it has gone less far than one.

    Single entries near 0 may differ by more than that.
    """
    return float((one - other).double().norm() / one.double().norm().clamp(min=EXACT.learning_rate))


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"clip": 1000.0},  # clipped, gradients of half their size would give the same weights
    "micro-batches, ramp, second phase": {
        "accumulation": 2,
        "ramp_from": 4,
        "ramp_share": 0.25,
        "second_phase": {"share": 0.25, "sequence_length": 32, "batch_size": 4},
        "average_share": 0.5,
        "average_every": 2,
    },
    "mlm alone, lamb": {"objective": "mlm", "optimizer": "lamb"},
    "muon": {"optimizer": "muon"},
}


@pytest.mark.parametrize(
    "variant", [name if name == "plain" else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
)
def test_two_processes_give_the_curve_and_the_weights_of_one(stores: Path, tmp_path: Path, variant: str) -> None:
    options = VARIANTS[variant]
    finish(start(stores, tmp_path / "two", options))
    phase = SecondPhase(**options.get("second_phase", {}))
    one = alone(stores, tmp_path / "one", replace(EXACT, **{**options, "second_phase": phase}))
    two = result(tmp_path / "two")
    assert close(one, two)
    assert not close(one, {**two, "curve": two["curve"][::-1]})  # the comparison can fail
    weights = load_file(tmp_path / "one" / "weights-0.safetensors")
    first, second = (load_file(tmp_path / "two" / f"weights-{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert weights.keys() == first.keys()
    for name, mine in weights.items():
        # The vectors began at nought and are still small: rounding tells more in them.
        assert apart(mine, first[name]) < (1e-6 if mine.ndim > 1 else 1e-5), name


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_with_a_checkpoint_to_go_on_from(stores: Path, tmp_path: Path) -> None:
    first, said = _stopped(stores, tmp_path)
    assert said.count("run again to go on from there") == 1 and f"stopped at step {first:,}" in said, said
    second, said = _stopped(stores, tmp_path)
    assert f"going on from step {first:,}" in said and f"stopped at step {second:,}" in said, said
    assert second > first


def _stopped(stores: Path, run: Path) -> tuple[int, str]:
    """Go on with a run without end, and signal one of its processes after a checkpoint: its last step, what it said."""
    before = set(run.glob("step-*"))
    (run / "pid-1").unlink(missing_ok=True)
    endless = start(stores, run, {"budget": 100_000, "evaluate_every": 100_000})
    limit = time.monotonic() + 180
    while not (run / "pid-1").exists() or not set(run.glob("step-*")) - before:
        assert time.monotonic() < limit and endless.poll() is None
        time.sleep(0.05)
    os.kill(int((run / "pid-1").read_text()), signal.SIGTERM)
    said, _ = endless.communicate(timeout=120)
    assert endless.returncode != 0
    return max(int(path.name.removeprefix("step-")) for path in run.glob("step-*")), said


@pytest.mark.slow
@pytest.mark.parametrize(("at", "processes"), [(0, 2), (6, 2), (12, 2), (6, 3)])
def test_a_signal_to_one_process_in_an_evaluation_stops_all_and_loses_nothing(
    stores: Path, tmp_path: Path, at: int, processes: int
) -> None:
    options = {"batch_size": 4 * processes}
    finish(start(stores, tmp_path / "undisturbed", options, processes))
    struck = start(stores, tmp_path / "struck", {**options, "strike_at": at}, processes)
    said, _ = struck.communicate(timeout=120)
    assert struck.returncode != 0 and f"stopped at step {at}" in said, said
    finish(start(stores, tmp_path / "struck", options, processes))
    assert result(tmp_path / "struck") == result(tmp_path / "undisturbed")
    # To the bit: three numbers, unlike two, have a sum that depends on their order.
    whole, resumed = (load_file(tmp_path / run / "weights-0.safetensors") for run in ("undisturbed", "struck"))
    assert not [name for name in whole if not torch.equal(whole[name], resumed[name])]


@pytest.mark.slow
def test_a_second_run_on_the_same_directory_is_refused(stores: Path, tmp_path: Path) -> None:
    with open_run(stores, tmp_path):
        said, _ = (second := start(stores, tmp_path, {})).communicate(timeout=120)
    assert second.returncode != 0 and f"already running: process {os.getpid()}" in said
