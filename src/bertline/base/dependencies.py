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
from bertline.base.files import sha256_file, visible
from bertline.base.params import flat, read_yaml

State = Mapping[str, Any]
"""Option, or path of a file -> its value, or what tells one content of it from another."""


def dependencies(root: Path, params: Params, stage: str, task: str = "") -> State:
    """The options and files of a stage as they are now; empty where `root` has no dvc.yaml with that stage."""
    file = root / "dvc.yaml"
    definition = read_yaml(file).get("stages", {}).get(stage, {}) if file.is_file() else {}
    definition = definition.get("do", definition)
    item = str(params.transfer.get(task, ""))
    keys, deps = ([for_task(each, task, item) for each in definition.get(kind, ())] for kind in ("params", "deps"))
    sections = tuple(f"{key}." for key in keys)
    options = flat(dataclasses.asdict(params))
    found = {key: value for key, value in options.items() if f"{key}.".startswith(sections)}
    return found | {path.as_posix(): _content(root / path) for dep in deps for path in _files(root, Path(dep))}


def for_task(template: str, task: str, item: str = "") -> str:
    """A path or key of dvc.yaml, as it is for a task; `item` is that which transfer@TASK starts from."""
    return template.replace("${key}", task).replace("${item}", item)


def changed(before: State, now: State) -> list[str]:
    """What is not as it was, or was not there, or is not there any more."""
    return sorted(key for key in {*before, *now} if before.get(key) != now.get(key))


def _files(root: Path, dep: Path) -> Iterator[Path]:
    """A file, or those of a folder, relative to `root`; not what .dvcignore leaves out."""
    if (root / dep).is_file():
        yield dep
    for path in visible(root / dep):
        inside = path.relative_to(root)
        if not {"__pycache__", "data_docs"}.intersection(inside.parts) and path.is_file():
            yield inside


def _content(path: Path) -> Any:
    """Of code the hash, which is the same after `git checkout` and back; of data, which may be large, size and time."""
    if path.suffix == ".py":
        return sha256_file(path)
    about = path.stat()
    return about.st_size, about.st_mtime_ns
