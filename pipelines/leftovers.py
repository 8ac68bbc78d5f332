"""What tasks that params.yaml no longer has have left behind, and runs of pre-training that were broken off.

    find_leftovers(Path())       # of graph.py, which asks DVC: ["data/tasks/rte", "data/reports/evaluate/rte", …]

DVC forgets a stage that is no more, and leaves its outputs where they are. A stage that reads the folder around them
(data/tasks, data/reports) depends on them all the same, and gives a dvc.lock that no other machine can make.
"""

import fcntl
import shlex
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bertline.base.errors import BertlineError

OWN_FILES = ("data/sources", "data/initial", "data/baselines")
"""Folders that stages read and people fill."""


def leftovers(root: Path, made: Collection[Path], read: Collection[Path], dvcignore: Any) -> list[str]:
    """What lies in folders that stages read and no stage makes; relative to `root`, a folder as a whole.

    Args:
        root: the checkout.
        made, read: what its stages make, and what they read; absolute.
        dvcignore: DVC's, which knows what it looks past.
    """

    def ignored(path: Path) -> bool:
        return bool(dvcignore.is_ignored_dir(str(path)) if path.is_dir() else dvcignore.is_ignored_file(str(path)))

    root = root.resolve()
    own = {root / folder for folder in OWN_FILES}
    folders = [path for path in read if path.is_relative_to(root / "data") and path not in own and path not in made]
    known = {*made, *read}  # with no task left, nothing is made in folders that stages read: they stay all the same
    found = {entry for folder in folders if folder.is_dir() for entry in _unmade(folder, known, ignored)}
    return sorted(entry.relative_to(root).as_posix() for entry in found)


def _unmade(folder: Path, known: Collection[Path], ignored: Callable[[Path], bool]) -> Iterator[Path]:
    """The entries of a folder that are nothing a stage makes or reads, and in which there is nothing such."""
    for entry in folder.iterdir():
        if entry in known or ignored(entry):
            continue
        if any(path.is_relative_to(entry) for path in known):
            yield from _unmade(entry, known, ignored)
        elif entry.is_file() or any(not ignored(file) for file in entry.rglob("*") if file.is_file()):
            yield entry


def broken_off(root: Path) -> list[str]:
    """The folders of pre-training runs that have checkpoints and go on no more, relative to `root`, with their sizes.

    Runs are kept apart by their parameters: one that was broken off goes on when these come back, and else stays.
    """
    left = []
    for run in sorted({step.parent for step in (root / "data" / "runs" / "pretrain").glob("*/step-*")}):
        with suppress(OSError):  # it goes on, or is removed, while it is looked at; or nothing may be written there
            with (run / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # whoever trains holds it
            size = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
            left.append(f"{run.relative_to(root).as_posix()} ({size / 2**20:,.0f} MiB)")
    return left


def remove_leftovers(root: Path, left: Sequence[str]) -> None:
    """Remove what was found in a checkout; what DVC kept of it stays in the cache."""
    for path in map(root.joinpath, left):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def refuse_leftovers(left: Sequence[str]) -> None:
    """Refuse to call a dvc.lock right that tells of what no stage makes.

    Raises:
        BertlineError: there is something; names it.
    """
    if left:
        fix = f"They are of tasks that params.yaml no longer has: `rm -r {shlex.join(left)}`, then `dvc repro`"
        raise BertlineError(f"depends on {', '.join(left)}, which no stage makes", where="dvc.lock", fix=fix)
