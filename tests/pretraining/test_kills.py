"""SIGKILL at random instants, at every file operation of a checkpoint, power cuts, full disks: nothing is lost.

After each, the run goes on, and all that it ends with (every tensor of its last checkpoint, its state, curve.jsonl,
its metrics and the files it leaves) must equal, bit for bit, what an undisturbed run ends with.
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bertline.training import checkpoint
from pretraining.interrupted_run import CONFIG
from pretraining.kill_server import KillServer, Sitting

SHORT = {"budget": 8, "checkpoint_every": 2, "evaluate_every": 4}  # options of a run that is killed a hundred times
RANDOM_KILLS, KILLS_IN_A_ROW = 20, 5
Outcome = dict[str, Any]


@pytest.fixture(scope="module")
def server(stores: Path) -> Iterator[KillServer]:
    with KillServer(stores, stores / "server.log") as server:
        yield server


def refuse(line: str) -> None:
    raise AssertionError(f"no checkpoint should be passed over, but: {line}")


def outcome(run: Path, ended: Sitting) -> Outcome:
    """All that a finished run is judged by; equal only if it is equal to the last bit."""
    assert ended.finished, ended
    found = checkpoint.load_latest(run, refuse)
    assert found is not None
    tensors = {
        f"{group}/{name}": (value.dtype, value.shape, value.reshape(-1).view(torch.uint8).numpy().tobytes())
        for group, values in found.tensors.items()
        for name, value in values.items()
    }
    return {
        "tensors": tensors,
        "state": {key: value for key, value in found.state.items() if key != "seconds"},
        "curve": (run / "curve.jsonl").read_bytes(),
        "result": ended.result,
        "files": sorted(path.name for path in run.iterdir() if not path.name.startswith("step-")),
    }


def last_step(run: Path) -> int:
    return max((int(path.name.removeprefix("step-")) for path in run.glob("step-*")), default=0)


@pytest.fixture(scope="module")
def halfway(server: KillServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run killed at step 5, with checkpoints of steps 2 and 4. To be copied."""
    run = tmp_path_factory.mktemp("halfway") / "run"
    assert server.sit(run, options=SHORT, after=["step", 5]).killed
    assert {path.name for path in run.glob("step-*")} == {"step-00000002", "step-00000004"}
    return run


@pytest.fixture(scope="module")
def undisturbed(server: KillServer, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    run = tmp_path_factory.mktemp("undisturbed")
    return outcome(run, server.sit(run, options=SHORT))


@pytest.mark.slow
def test_twenty_kills_at_random_instants_leave_no_trace(server: KillServer, tmp_path: Path) -> None:
    whole = server.sit(tmp_path / "undisturbed")
    wanted = outcome(tmp_path / "undisturbed", whole)
    instants, landed = random.Random(3), []
    for number in range(3 * RANDOM_KILLS):
        run = tmp_path / f"run-{number}"
        # Uniform over the time of the undisturbed run, and found again by the mark before it: machines change pace.
        for instant in sorted(instants.uniform(0, whole.marks[-1][0]) for _ in range(KILLS_IN_A_ROW)):
            at, mark = max(before for before in whole.marks if before[0] <= instant)
            after = ["training"] if mark[1] <= last_step(run) else list(mark)
            ended = server.sit(run, after=after, seconds=instant - at)
            assert ended.killed or ended.finished, ended.error
            if not ended.killed:
                break
            landed.append(max(ended.step, last_step(run)))
            if len(landed) == RANDOM_KILLS:
                break
        assert outcome(run, server.sit(run)) == wanted
        shutil.rmtree(run)
        if len(landed) == RANDOM_KILLS:
            break
    assert len(landed) == RANDOM_KILLS
    assert len(set(landed)) >= 8 and min(landed) < CONFIG.budget / 3 and max(landed) > CONFIG.budget * 2 / 3, landed


def kill_at_each(server: KillServer, halfway: Path, run: Path, wanted: Outcome, numbers: range) -> None:
    for number in numbers:
        shutil.copytree(halfway, run)
        killed = server.sit(run, options=SHORT, operation=number)
        assert killed.killed and len(killed.operations) == number - 1
        assert outcome(run, server.sit(run, options=SHORT)) == wanted, (
            f"killed before the one after {killed.operations}"
        )
        shutil.rmtree(run)


def operations_of(server: KillServer, halfway: Path, run: Path) -> tuple[list[str], int]:
    """What the rest of the run does to its files, and how much of it until the next checkpoint is in its place."""
    shutil.copytree(halfway, run)
    operations = server.sit(run, options=SHORT, operation=-1).operations
    shutil.rmtree(run)
    return operations, operations.index("os.rmdir /step-00000002") + 1


def test_a_kill_at_every_fourth_file_operation_of_a_checkpoint_leaves_no_trace(
    server: KillServer, halfway: Path, undisturbed: Outcome, tmp_path: Path
) -> None:
    operations, checkpointed = operations_of(server, halfway, tmp_path / "run")
    seen = "\n".join(operations[:checkpointed])
    for written in ("weights.safetensors", "optimizer.safetensors", ".state.json", ".manifest.json"):
        assert f".tmp/{written}" in seen
    for done in ("open /curve.jsonl", "os.rename /.curve.jsonl", "os.rename /.step-00000006", "os.remove ./weights."):
        assert done in seen
    kill_at_each(server, halfway, tmp_path / "run", undisturbed, range(1, checkpointed + 2, 4))


@pytest.mark.slow
def test_a_kill_at_each_file_operation_until_the_end_leaves_no_trace(
    server: KillServer, halfway: Path, undisturbed: Outcome, tmp_path: Path
) -> None:
    operations, _ = operations_of(server, halfway, tmp_path / "run")
    kill_at_each(server, halfway, tmp_path / "run", undisturbed, range(1, len(operations) + 1))


@pytest.fixture(scope="module")
def checkpointed(server: KillServer, halfway: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run killed at step 7, with checkpoints of steps 4 and 6. To be copied."""
    run = tmp_path_factory.mktemp("checkpointed") / "run"
    shutil.copytree(halfway, run)
    assert server.sit(run, options=SHORT, after=["step", 7]).killed
    assert last_step(run) == 6
    return run


@pytest.mark.parametrize(("place", "share"), [("mid-write", 0.5), *(("in place", share) for share in (0.0, 0.5, 0.99))])
@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
def test_a_file_of_a_checkpoint_torn_at_any_size_leaves_no_trace(
    server: KillServer, checkpointed: Path, undisturbed: Outcome, tmp_path: Path, name: str, place: str, share: float
) -> None:
    """In mid-write, as a kill inside a write leaves it; in place, as a disk that lies about having flushed does."""
    run = tmp_path / "run"
    shutil.copytree(checkpointed, run)
    folder = run / "step-00000006"
    if place == "mid-write":
        folder = folder.rename(run / ".step-00000006.k1ll_ed0.tmp")
    size = (folder / name).stat().st_size
    with (folder / name).open("r+b") as file:
        file.truncate(int(size * share))
    ended = server.sit(run, options=SHORT)
    assert ended.marks[0][1] == ("training", 4)
    assert outcome(run, ended) == undisturbed


def test_a_disk_that_fills_up_stops_the_run_and_costs_no_checkpoint(
    server: KillServer, halfway: Path, undisturbed: Outcome, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(halfway, run)
    largest = (run / "step-00000004" / "weights.safetensors").stat().st_size
    ended = server.sit(run, options=SHORT, largest_file=largest // 2)
    assert ended.step == 6
    assert (
        ended.error.startswith("BertlineError: ") and "step-00000006: the checkpoint cannot be written" in ended.error
    )
    assert "Free some space and run again: it goes on from the last good checkpoint" in ended.error
    found = checkpoint.load_latest(run, refuse)
    assert found is not None and found.step == 4
    assert {path.name for path in run.glob("*step-*")} == {"step-00000002", "step-00000004"}
    assert outcome(run, server.sit(run, options=SHORT)) == undisturbed


def test_a_disk_that_is_full_for_the_curve_stops_the_run_and_costs_no_checkpoint(
    server: KillServer, halfway: Path, undisturbed: Outcome, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(halfway, run)
    ended = server.sit(run, options=SHORT, largest_file=(run / "curve.jsonl").stat().st_size + 10)
    assert ended.step == 6 and "File too large" in ended.error
    found = checkpoint.load_latest(run, refuse)
    assert found is not None and found.step == 4
    assert outcome(run, server.sit(run, options=SHORT)) == undisturbed


@pytest.mark.parametrize("group", ["weights", "optimizer"])
def test_the_comparison_fails_for_one_flipped_bit(
    server: KillServer, halfway: Path, undisturbed: Outcome, tmp_path: Path, group: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(halfway, run)
    found = checkpoint.load_latest(run, refuse)
    assert found is not None
    # Not exp_avg, nor the lowest bit: what a mean keeps of it may be rounded away before the end, on some processors.
    name = "mlm_bias" if group == "weights" else "exp_avg_sq/mlm_bias"
    found.tensors[group][name].view(torch.int32)[3] ^= 1 << 10
    checkpoint.save(run, found.step, found.tensors, found.state)
    assert outcome(run, server.sit(run, options=SHORT)) != undisturbed


def test_the_comparison_fails_for_one_skipped_step(server: KillServer, undisturbed: Outcome, tmp_path: Path) -> None:
    assert outcome(tmp_path / "same", server.sit(tmp_path / "same", options=SHORT)) == undisturbed
    assert outcome(tmp_path / "run", server.sit(tmp_path / "run", options=SHORT, skipped_step=5)) != undisturbed
