"""What a stage depends on, by dvc.yaml, so that it can tell what was changed while it ran.

    before = dependencies(artifacts.root, params, "pretrain")
    changed(before, dependencies(artifacts.root, params_now, "pretrain"))     # ["pretrain.learning_rate"]

DVC looks at dependencies once more when a stage has ended, and notes what it finds then: what was edited meanwhile
would stand in dvc.lock, and in its cache of runs, as what gave the results that the state before it gave.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertline.base.config import Params
from bertline.base.files import sha256_file
from bertline.base.params import read_yaml

State = Mapping[str, Any]
"""Option, or path of a file -> its value, or what tells one content of it from another."""


def dependencies(root: Path, params: Params, stage: str, task: str = "") -> State:
    """The options and files of a stage as they are now; empty where `root` has no dvc.yaml with that stage."""
    file = root / "dvc.yaml"
    definition = read_yaml(file).get("stages", {}).get(stage, {}) if file.is_file() else {}
    definition = definition.get("do", definition)
    item = str(params.transfer.get(task, ""))
    keys, deps = (
        [str(each).replace("${key}", task).replace("${item}", item) for each in definition.get(kind, ())]
        for kind in ("params", "deps")
    )
    options = dataclasses.asdict(params)
    found = {name: value for key in keys for name, value in _flat(key, _at(options, key))}
    return found | {path.as_posix(): _content(root / path) for dep in deps for path in _files(root, Path(dep))}


def changed(before: State, now: State) -> list[str]:
    """What is not as it was, or was not there, or is not there any more."""
    return sorted(key for key in {*before, *now} if before.get(key) != now.get(key))


def _at(options: Any, key: str) -> Any:
    for part in key.split("."):
        options = options.get(part) if isinstance(options, Mapping) else None
    return options


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """An option, or all of a section, each under its dotted key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    else:
        yield key, value


def _files(root: Path, dep: Path) -> Iterator[Path]:
    """A file, or those of a folder, relative to `root`; not what .dvcignore leaves out."""
    if (root / dep).is_file():
        yield dep
    for path in (root / dep).rglob("*"):
        inside = path.relative_to(root)
        ignored = any(part.startswith(".") or part in ("__pycache__", "data_docs") for part in inside.parts)
        if not ignored and path.is_file():
            yield inside


def _content(path: Path) -> Any:
    """Of code the hash, which is the same after `git checkout` and back; of data, which may be large, size and time."""
    if path.suffix == ".py":
        return sha256_file(path)
    about = path.stat()
    return about.st_size, about.st_mtime_ns
