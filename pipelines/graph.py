"""DVC's graph of stages, read into a plan (plan.py), and what DVC says has changed.

    bertline plan                     the plan, one stage a line, in the order of execution, and what a run would do
    bertline plan finetune@docs_qa    what leads to one stage (or group of stages: finetune)
    bertline plan --mermaid           the same as a Mermaid diagram
    bertline plan --check             fails where dvc.lock is not what code and params.yaml would give; needs no data

`bertline plan` starts this module (`python -m pipelines.graph`). Graph and changes come from `dvc.repo.Repo().index`,
which is no public interface of DVC: this is the only file that touches it, and tests compare what it gives with
`dvc dag` and with what `dvc repro` then does.
"""

import argparse
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc.config_schema import RelPath
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo
from ruamel.yaml import YAML

from bertline.base.errors import BertlineError, one_line, reason
from bertline.base.messages import say
from pipelines.leftovers import broken_off, leftovers, refuse_leftovers
from pipelines.locks import what_to_do
from pipelines.plan import Changes, Plan, check_lock, in_order

_LONGEST = 4000  # characters of what DVC says: the lock, section or line that it names may be far into it
_NO_SECTION = re.compile(r"'stages\.([\w-]+)\.foreach' in '.*': (?:Could not find '|expected list/dictionary, got )")
_FOREACH = re.compile(r"\$\{ *(\w+) *\}")


def read_plan(root: Path) -> Plan:
    """The plan of the checkout at `root`, in the order of dvc.yaml wherever the graph leaves a choice.

    Raises:
        BertlineError: `root` is no DVC repository, or DVC cannot read its dvc.yaml or params.yaml.
    """
    with _opened(root) as repo:
        return _plan(repo)


def read_plan_and_changes(
    root: Path, targets: Iterable[str] = (), *, of_what_is_here: bool = False
) -> tuple[Plan, Changes]:
    """The plan that leads to `targets`, and what has changed in its stages. Hashes what DVC has not hashed yet.

    Args:
        root: the checkout.
        targets: stages, or groups of them; none: all.
        of_what_is_here: data that is not in the checkout, as in a fresh clone, is no change; instead of a stage's
            input that is not there, what dvc.lock says of it is compared with the stage that makes it.

    Raises:
        BertlineError: as `read_plan`, or a target is no stage.
    """
    with _opened(root) as repo:
        plan = _plan(repo).up_to(targets)
        stages = {_addressing(stage): stage for stage in repo.index.stages}
        with repo.lock:  # waits for a `dvc repro` that commits; those that run a stage do not hold it
            absent = _absent(stages.values()) if of_what_is_here else {}
            found = {name: tuple(_changes(stages[name], absent)) for name in plan.names}
    return plan, {name: changes for name, changes in found.items() if changes}


@contextmanager
def _opened(root: Path) -> Iterator[Repo]:
    """DVC's view of a checkout; what it finds wrong comes out as one line."""
    try:
        with Repo(str(root), _wait_for_lock=True) as repo:
            yield repo
    except NotDvcRepoError:
        fix = "Run in a checkout of the project (git clone), or `dvc init`"
        raise BertlineError("not a DVC repository", where=str(root.resolve()), fix=fix) from None
    except DvcException as error:
        problem = reason(error, _LONGEST)
        section = _missing_section(root, problem)
        if section:
            fix = f"Write `{section}: {{}}` there, or its entries"
            raise BertlineError(f"no section {section!r}", where=str(root / "params.yaml"), fix=fix) from None
        fix = what_to_do(problem)
        where = str(root / ("dvc.lock" if "dvc.lock'" in problem else ".dvc" if fix else "dvc.yaml"))
        raise BertlineError(problem, where=where, fix=fix or "Correct it; `dvc dag` checks it") from None


def _missing_section(root: Path, problem: str) -> str | None:
    """The section of params.yaml that a stage has an entry a task of, where it is not there or has nothing in it.

    DVC does not name one that has nothing in it, only the stage that goes through it.
    """
    stage = _NO_SECTION.search(problem)
    if stage is None:
        return None
    stages = YAML(typ="safe", pure=True).load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    section = _FOREACH.fullmatch(str(stages.get(stage[1], {}).get("foreach")))
    return section[1] if section else None


def _plan(repo: Repo) -> Plan:
    graph = repo.index.graph  # networkx.DiGraph of stages; an edge points at what a stage depends on
    stages = [_addressing(stage) for stage in repo.index.stages]
    return in_order(
        stages, {_addressing(stage): {_addressing(above) for above in graph.successors(stage)} for stage in graph}
    )


def find_leftovers(root: Path) -> list[str]:
    """What tasks that params.yaml no longer has have left in the checkout, as `leftovers` says.

    Raises:
        BertlineError: as `read_plan`.
    """
    with _opened(root) as repo:
        made = {Path(out.fs_path) for out in repo.index.outs}
        read = {Path(dep.fs_path) for stage in repo.index.stages for dep in stage.deps}
        return leftovers(root, made, read, repo.dvcignore)


def remote_address(root: Path) -> str:
    """The address of DVC's default remote, a folder's as an absolute path; empty where there is none.

    Raises:
        BertlineError: as `read_plan`.
    """
    with _opened(root) as repo:
        name = repo.config["core"].get("remote")
        return str(repo.config["remote"].get(name, {}).get("url", ""))


def share_cache(checkout: Path, worktree: Path) -> None:
    """Let a worktree of `checkout` use its DVC cache and settings, and bring back what the cache has of its outputs.

    Raises:
        BertlineError: DVC cannot read one of them.
    """
    settings = checkout / ".dvc" / "config.local"  # remotes, credentials
    if settings.is_file():
        shutil.copy2(settings, worktree / ".dvc" / "config.local")
    with _opened(checkout) as repo:
        cache = repo.cache.local_cache_dir
    # A link, not its path in the settings: DVC writes those in ASCII, which the path of a checkout need not be.
    link = worktree / ".dvc" / "cache"
    Path(cache).mkdir(parents=True, exist_ok=True)  # a fresh clone has none, and a link to nowhere cannot be filled
    inside = Path(cache).is_relative_to(checkout)  # and moves with it
    link.symlink_to(os.path.relpath(cache, link.parent) if inside else cache, target_is_directory=True)
    with _opened(worktree) as repo, repo.config.edit("local") as config:
        # Linked, not copied: a run of another learning rate must not cost the disk all tokens and models once more.
        config["cache"] |= {"dir": RelPath(link), "type": ["reflink", "hardlink", "copy"]}
    with _opened(worktree) as repo:
        repo.checkout(force=True, allow_missing=True)


def _absent(stages: Iterable[Any]) -> dict[str, Any]:
    """Path -> hash by dvc.lock of every output that DVC keeps and that is not in the checkout."""
    kept = (out for stage in stages for out in stage.outs if out.use_cache)
    return {str(out): out.hash_info for out in kept if not out.exists}


def _changes(stage: Any, absent: Mapping[str, Any]) -> Iterator[str]:
    """What DVC finds changed of a stage: `in modified`, `pretrain.seed modified`, `changed command`.

    Args:
        absent: outputs that are not looked for; a folder that holds one cannot be compared either.
    """
    try:
        status = stage.status(check_updates=True)  # {addressing: [{"changed deps": {path: what}}, "changed command"]}
    except LockError:
        yield "another run is writing its files"
        return
    if status and not any(item.hash_info for item in (*stage.deps, *stage.outs)):
        yield "not in dvc.lock yet"  # where DVC calls all modified that it reads, code too
        return
    yield from (f"{dep} modified" for dep in stage.deps if absent.get(str(dep), dep.hash_info) != dep.hash_info)
    for entry in (entry for entries in status.values() for entry in entries):
        if isinstance(entry, str):
            yield entry
            continue
        for path, what in (item for changed in entry.values() for item in changed.items()):
            if isinstance(what, Mapping):  # options of params.yaml
                yield from (f"{key} {state}" for key, state in what.items())
            elif not any(_overlap(path, other) for other in absent):
                yield f"{path} {what}"


def _overlap(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")


def _addressing(stage: Any) -> str:
    """How `dvc repro` names a stage at the root of its repository; DVC's own property is for the current directory."""
    file, name = stage.path_in_repo, getattr(stage, "name", "")  # a .dvc file is a stage without a name
    return name if file == "dvc.yaml" else f"{file}:{name}" if name else file


def main() -> int:
    """Print the plan."""
    parser = argparse.ArgumentParser(prog="bertline plan", description="Show what a run would do; runs nothing.")
    parser.add_argument("targets", nargs="*", metavar="STAGE", help="only what leads to these stages (default: all)")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    parser.add_argument("--mermaid", action="store_true", help="as a Mermaid diagram")
    parser.add_argument("--check", action="store_true", help="fail where dvc.lock is out of date; needs no data")
    arguments = parser.parse_args()
    try:
        plan, changes = read_plan_and_changes(arguments.root, arguments.targets, of_what_is_here=arguments.check)
        left = [] if arguments.mermaid and not arguments.check else find_leftovers(arguments.root)
        if arguments.check:
            refuse_leftovers(left)
            check_lock(changes)
        say(plan.mermaid(changes).rstrip() if arguments.mermaid else plan.table(changes), sys.stdout)  # … | head
    except (BertlineError, OSError) as error:
        say(f"error: {one_line(error)}")
        return 1
    if left and not arguments.mermaid:
        say(f"left of tasks that are no more, and read by stages: rm -r {shlex.join(left)}")
    for run in [] if arguments.mermaid or arguments.check else broken_off(arguments.root):
        say(f"pre-training that was broken off: {run} goes on when its parameters come back; else remove it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
