"""Checkpoints that are whole or are not used: safetensors and JSON, with a manifest of hashes written last.

    save(directory, step=200, tensors={"weights": {...}, "optimizer": {...}}, state={...})
    remove_unfinished(directory)                    # in the process that goes on: what a kill has left
    found = load_latest(directory, warn=print)      # None when there is none
    found.step, found.tensors["weights"], found.state
    prune(directory, found.step)                    # damaged ones go, of which `warn` was told

A checkpoint is a folder `step-00000200` with `<name>.safetensors` for each group of tensors, `state.json`, and
`manifest.json`, which has the sha256 of the others. It is made under another name, flushed to disk, and renamed, and
only then are old ones removed: a process or machine that dies at any instant leaves the checkpoints before it as they
were. One that was torn or altered all the same is recognised by its hashes, named, and passed over for the one before.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertline.base.errors import BertlineError
from bertline.base.files import atomic_directory, read_json, sha256_file, write_json, write_text

KEPT = 2
_STATE, _MANIFEST = "state.json", "manifest.json"
_NAME = re.compile(r"step-(\d{8,})")
_UNFINISHED = re.compile(r"\..+\.\w+\.(tmp|old)")  # as base.files names what is not in its place yet, or no more


@dataclass(frozen=True)
class Checkpoint:
    """What was saved at a step: groups of tensors by name (on the CPU), and plain values."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def save(directory: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> Path:
    """Write the checkpoint of a step and remove all but the last KEPT; return its folder.

    Raises:
        BertlineError: the disk is full or refuses; what was saved before is still there.
    """
    path = directory / f"step-{step:08d}"
    try:
        with atomic_directory(path) as temporary:
            for name, group in tensors.items():
                save_file({key: value.detach().contiguous() for key, value in group.items()}, _file(temporary, name))
            # Keys in their order: rows that a run writes after it was interrupted are the same bytes as without.
            write_text(temporary / _STATE, json.dumps(state, ensure_ascii=False, allow_nan=False) + "\n")
            hashes = {file.name: sha256_file(file) for file in sorted(temporary.iterdir())}
            write_json(temporary / _MANIFEST, {"step": step, "sha256": hashes})
    except (OSError, SafetensorError) as error:
        what = f"the checkpoint cannot be written ({getattr(error, 'strerror', None) or error})"
        fix = "Free some space and run again: it goes on from the last good checkpoint"
        raise BertlineError(what, where=str(path), fix=fix) from error
    prune(directory, step)
    return path


def load_latest(directory: Path, warn: Callable[[str], None], before: int | None = None) -> Checkpoint | None:
    """Read the last checkpoint that is whole; say, through `warn`, which ones were passed over and why.

    With `before`, those of later steps are not looked at.
    """
    for step, path in sorted(_found(directory), reverse=True):
        if before is not None and step > before:
            continue
        try:
            return _read(path, step)
        except BertlineError as error:
            warn(f"{error.where}: {error.what}; going back to the checkpoint before it")
    return None


def remove_all(directory: Path) -> None:
    """Remove every checkpoint, and what interrupted writes left behind."""
    remove_unfinished(directory)
    for _, path in _found(directory):
        shutil.rmtree(path)


def remove_unfinished(directory: Path) -> None:
    """Clear up after writes that were killed. Only for the one process that writes here.

    A checkpoint that an overwrite had set aside, and had nothing yet to put in its place, is put back.
    """
    for path in directory.glob(".*"):
        if not _UNFINISHED.fullmatch(path.name):
            continue
        if not path.is_dir():
            path.unlink()
            continue
        if path.suffix == ".old":
            for _, aside in _found(path):
                if not (directory / aside.name).exists():
                    aside.replace(directory / aside.name)
        shutil.rmtree(path)


def prune(directory: Path, step: int) -> None:
    """Remove all but the last KEPT checkpoints up to `step`, the one just written or gone on from.

    What claims to be later is damaged, and was passed over: left in place, it would count among those kept one day.
    """
    found = sorted(_found(directory))
    kept = [path for at, path in found if at <= step][-KEPT:]
    for _, path in found:
        if path not in kept:
            shutil.rmtree(path)


def optimizer_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer by name of parameter and of quantity: "exp_avg/bert.token_embeddings.weight"."""
    return {
        f"{key}/{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def restore_optimizer(model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back, to the bit, what `optimizer_tensors` gave. The parameters and their order decide nothing, names do.

    Raises:
        BertlineError: a tensor belongs to no parameter that the optimizer steps.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    packed = optimizer.state_dict()
    index: dict[str, int] = {}
    for group, numbers in zip(optimizer.param_groups, packed["param_groups"], strict=True):
        index |= {
            names[parameter]: number for parameter, number in zip(group["params"], numbers["params"], strict=True)
        }
    state: dict[int, dict[str, Tensor]] = {}
    for full_name, value in tensors.items():
        key, _, name = full_name.partition("/")
        if name not in index:
            fix = "Remove the checkpoints of this run and start it anew"
            raise BertlineError(f"the optimizer has no parameter {name!r}", where="the checkpoint", fix=fix)
        # LAMB counts its steps on the CPU. AdamW's fused kernel wants the count on the device: torch moves it there.
        state.setdefault(index[name], {})[key] = value.clone().cpu() if key == "step" else value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": packed["param_groups"]})


def _found(directory: Path) -> list[tuple[int, Path]]:
    named = ((_NAME.fullmatch(path.name), path) for path in directory.glob("step-*"))
    return [(int(match[1]), path) for match, path in named if match]


def _file(path: Path, name: str) -> Path:
    return path / f"{name}.safetensors"


def _read(path: Path, step: int) -> Checkpoint:
    """Read and verify one checkpoint.

    Raises:
        BertlineError: it is torn or altered.
    """
    manifest = read_json(path / _MANIFEST)
    try:
        recorded, expected = int(manifest["step"]), dict(manifest["sha256"])
    except (TypeError, KeyError, ValueError):
        raise BertlineError("is no manifest", where=str(path / _MANIFEST), fix="Remove it") from None
    if recorded != step:
        what = f"is the manifest of step {recorded}"
        raise BertlineError(what, where=str(path / _MANIFEST), fix="Remove the checkpoint")
    for name in sorted(expected):
        file = path / name
        if not file.is_file() or sha256_file(file) != expected[name]:
            what = "has another content than was written" if file.is_file() else "is missing"
            raise BertlineError(what, where=str(file), fix="Remove the checkpoint")
    groups = sorted(name.removesuffix(".safetensors") for name in expected if name.endswith(".safetensors"))
    tensors = {name: load_file(_file(path, name)) for name in groups}
    return Checkpoint(step, tensors, json.loads((path / _STATE).read_text(encoding="utf-8")))
