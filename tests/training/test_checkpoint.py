"""Checkpoints: whole or not used."""

import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from bertline.base.errors import BertlineError
from bertline.training import checkpoint
from bertline.training.checkpoint import (
    load_latest,
    optimizer_tensors,
    prune,
    remove_all,
    remove_unfinished,
    restore_optimizer,
    save,
)

TENSORS = {"weights": {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1e-40, float("-inf")])}}


def steps(directory: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in directory.glob("step-*"))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: what a full disk looks like to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refuse(line: str) -> None:
    raise AssertionError(line)


def test_what_is_saved_is_loaded_to_the_last_bit(tmp_path: Path) -> None:
    assert load_latest(tmp_path, refuse) is None
    save(tmp_path, 7, TENSORS, {"seconds": 0.1 + 0.2, "curve": [{"loss": 1e-17}]})
    found = load_latest(tmp_path, refuse)
    assert found is not None and found.step == 7 and found.state == {"seconds": 0.1 + 0.2, "curve": [{"loss": 1e-17}]}
    assert all(torch.equal(found.tensors["weights"][name], value) for name, value in TENSORS["weights"].items())


def test_the_state_keeps_the_order_of_its_keys(tmp_path: Path) -> None:
    rows = [{"step": 3, "loss": 2.5, "accuracy": 0.5}]
    save(tmp_path, 7, TENSORS, {"curve": rows})
    found = load_latest(tmp_path, refuse)
    assert found is not None and json.dumps(found.state["curve"]) == json.dumps(rows)


def test_the_last_two_are_kept_and_saving_again_replaces(tmp_path: Path) -> None:
    for step in (5, 10, 15, 15, 100_000_000):
        save(tmp_path, step, TENSORS, {"step": step})
    assert steps(tmp_path) == [15, 100_000_000]


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_harmed_checkpoint_is_named_and_the_one_before_used(tmp_path: Path, name: str, harm: str) -> None:
    save(tmp_path, 1, TENSORS, {"at": 1})
    file = save(tmp_path, 2, TENSORS, {"at": 2}) / name
    content = bytearray(file.read_bytes())
    if harm == "remove":
        file.unlink()
    elif harm == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        content[-3] ^= 1
        file.write_bytes(content)
    said: list[str] = []
    found = load_latest(tmp_path, said.append)
    assert found is not None and found.state == {"at": 1}
    assert len(said) == 1 and "step-00000002" in said[0]


def test_of_those_up_to_a_step_the_last_is_loaded(tmp_path: Path) -> None:
    for step in (4, 8):
        save(tmp_path, step, TENSORS, {})
    found = [load_latest(tmp_path, refuse, before=step) for step in (9, 8, 7, 3)]
    assert [each and each.step for each in found] == [8, 8, 4, None]


def test_when_none_is_whole_there_is_none(tmp_path: Path) -> None:
    (save(tmp_path, 1, TENSORS, {}) / "state.json").write_text("{}", encoding="utf-8")
    said: list[str] = []
    assert load_latest(tmp_path, said.append) is None and len(said) == 1


def test_a_torn_one_never_pushes_out_a_good_one(tmp_path: Path) -> None:
    save(tmp_path, 1, TENSORS, {"at": 1})
    (save(tmp_path, 9, TENSORS, {}) / "state.json").unlink()
    save(tmp_path, 2, TENSORS, {"at": 2})
    assert steps(tmp_path) == [1, 2]


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 1, TENSORS, {"at": 1})
    large = {"weights": {"a": torch.zeros(100_000)}}
    with largest_file(50_000), pytest.raises(BertlineError, match=r"step-00000002: the checkpoint cannot be written"):
        save(tmp_path, 2, large, {})
    found = load_latest(tmp_path, refuse)
    assert found is not None and found.state == {"at": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


@pytest.mark.parametrize("write", ["save_file", "write_text", "sha256_file", "write_json"])
def test_a_failure_at_any_write_leaves_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    save(tmp_path, 1, TENSORS, {"at": 1})

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, write, fail)
    with pytest.raises(BertlineError, match="No space left on device"):
        save(tmp_path, 2, TENSORS, {})
    monkeypatch.undo()
    assert steps(tmp_path) == [1] and load_latest(tmp_path, refuse) is not None


def test_removing_takes_checkpoints_and_leftovers_and_nothing_else(tmp_path: Path) -> None:
    save(tmp_path, 1, TENSORS, {})
    (tmp_path / ".step-00000002.abc_12.tmp").mkdir()
    (tmp_path / ".curve.jsonl.abc_12.tmp").touch()
    (tmp_path / "log.jsonl").touch()
    (tmp_path / ".gitignore").touch()
    (tmp_path / "step-by-step").mkdir()
    remove_all(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitignore", "log.jsonl", "step-by-step"]


def test_an_optimizer_goes_on_as_if_nothing_had_happened() -> None:
    def build() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
        for parameter in model.parameters():
            torch.nn.init.constant_(parameter, 0.3)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)

    def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        model(torch.randn(3, 4, generator=generator)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    model, optimizer = build()
    step(model, optimizer, 0)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    saved = {name: value.clone() for name, value in optimizer_tensors(model, optimizer).items()}
    assert sorted({name.split("/")[0] for name in saved}) == ["exp_avg", "exp_avg_sq", "step"]
    step(model, optimizer, 1)

    other, its_optimizer = build()
    other.load_state_dict(weights)
    restore_optimizer(other, its_optimizer, saved)
    step(other, its_optimizer, 1)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))

    with pytest.raises(BertlineError, match="no parameter"):
        restore_optimizer(other, its_optimizer, {"exp_avg/nothing": torch.zeros(1)})


def test_all_is_flushed_before_the_checkpoint_gets_its_name_and_the_name_before_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, happened = tmp_path / "runs" / "run", list[tuple[str, Path]]()
    flush, rename, remove = os.fsync, Path.replace, shutil.rmtree

    def fsync(descriptor: int) -> None:
        happened.append(("flush", Path(f"/proc/self/fd/{descriptor}").readlink()))
        flush(descriptor)

    def replace(path: Path, target: Path) -> Path:
        happened.append(("rename", target))
        return rename(path, target)

    def rmtree(path: Path, **options: Any) -> None:
        happened.append(("remove", path))
        remove(path, **options)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    for step in (1, 2, 3):
        save(run, step, TENSORS, {})
    # A directory that was made for it is an entry of the one above, which must be flushed too.
    assert happened.index(("flush", tmp_path)) < happened.index(("flush", run.parent)) < happened.index(("flush", run))

    last = happened[happened.index(("rename", run / "step-00000002")) + 1 :]
    named = last.index(("rename", run / "step-00000003"))
    flushed = [path for what, path in last[:named] if what == "flush"]
    (folder,) = {path for path in flushed if path.parent == run}
    assert {path.name for path in flushed if path.parent == folder} >= {
        file.name for file in (run / "step-00000003").iterdir()
    }
    manifest = last.index(("rename", folder / "manifest.json"))
    assert ("flush", folder) in last[manifest:named]  # its entries, once the last is there
    durable, removed = last.index(("flush", run), named), last.index(("remove", run / "step-00000001"))
    assert named < durable < removed


def test_what_an_overwrite_had_set_aside_when_it_was_killed_is_put_back(tmp_path: Path) -> None:
    save(tmp_path, 1, TENSORS, {"at": 1})
    path = save(tmp_path, 2, TENSORS, {"at": 2})
    aside = tmp_path / ".step-00000002.abc_12.old"
    aside.mkdir()
    path.rename(aside / path.name)
    remove_unfinished(tmp_path)
    found = load_latest(tmp_path, refuse)
    assert found is not None and found.state == {"at": 2}
    assert steps(tmp_path) == [1, 2] and not list(tmp_path.glob(".*"))


def test_what_an_overwrite_had_replaced_when_it_was_killed_is_removed(tmp_path: Path) -> None:
    old = save(tmp_path / "old", 2, TENSORS, {"at": "old"})
    save(tmp_path, 2, TENSORS, {"at": "new"})
    aside = tmp_path / ".step-00000002.abc_12.old"
    aside.mkdir()
    old.rename(aside / old.name)
    remove_unfinished(tmp_path)
    found = load_latest(tmp_path, refuse)
    assert found is not None and found.state == {"at": "new"} and not list(tmp_path.glob(".*"))


def test_one_that_was_passed_over_does_not_count_among_those_kept(tmp_path: Path) -> None:
    save(tmp_path, 8, TENSORS, {})
    (save(tmp_path, 9, TENSORS, {}) / "weights.safetensors").write_bytes(b"")
    found = load_latest(tmp_path, lambda _: None)
    assert found is not None and found.step == 8
    prune(tmp_path, found.step)
    assert steps(tmp_path) == [8]
    save(tmp_path, 12, TENSORS, {})
    assert steps(tmp_path) == [8, 12]


def test_a_checkpoint_under_the_name_of_another_step_is_not_used(tmp_path: Path) -> None:
    save(tmp_path, 1, TENSORS, {"at": 1})
    save(tmp_path, 2, TENSORS, {}).rename(tmp_path / "step-00000003")
    said: list[str] = []
    found = load_latest(tmp_path, said.append)
    assert found is not None and found.step == 1
    assert "step-00000003" in said[0] and "step 2" in said[0]
