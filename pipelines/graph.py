"""DVC's graph of stages as an immutable, printable plan, and what DVC says has changed.

    bertline plan                     the plan, one stage a line, in the order of execution, and what a run would do
    bertline plan finetune@docs_qa    what leads to one stage (or group of stages: finetune)
    bertline plan --mermaid           the same as a Mermaid diagram
    bertline plan --check             fails where dvc.lock is not what code and params.yaml would give; needs no data

`bertline plan` starts this module (`python -m pipelines.graph`). Graph and changes come from `dvc.repo.Repo().index`,
which is no public interface of DVC: this is the only file that touches it, and tests compare what it gives with
`dvc dag` and with what `dvc repro` then does.
"""

import argparse
import difflib
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.config_schema import RelPath
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo
from ruamel.yaml import YAML

from bertline.base.errors import BertlineError, one_line, reason
from bertline.base.messages import say
from pipelines.leftovers import leftovers, refuse_leftovers
from pipelines.locks import what_to_do

Changes = Mapping[str, tuple[str, ...]]
"""Stage -> what has changed of it since dvc.lock was written, in words; a stage without changes is not in it."""

_NAMED = 3  # changes of a stage on its line
_LONGEST = 4000  # characters of what DVC says: the lock, section or line that it names may be far into it
_NO_SECTION = re.compile(r"'stages\.([\w-]+)\.foreach' in '.*': (?:Could not find '|expected list/dictionary, got )")
_FOREACH = re.compile(r"\$\{ *(\w+) *\}")


@dataclass(frozen=True)
class Node:
    """One stage: its DVC addressing (`vocab`, `finetune@docs_topic`) and the stages it reads from, in plan order."""

    name: str
    upstreams: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Stages in an order in which they can run: every one after its upstreams."""

    nodes: tuple[Node, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes)

    @property
    def edges(self) -> frozenset[tuple[str, str]]:
        """(upstream, stage) pairs."""
        return frozenset((upstream, node.name) for node in self.nodes for upstream in node.upstreams)

    def up_to(self, targets: Iterable[str]) -> "Plan":
        """The part of the plan that leads to `targets`: stages, or groups of them (`finetune`); no target: all of it.

        Raises:
            BertlineError: a target is no stage of the plan.
        """
        wanted = {name for target in targets for name in self._stages_of(target)}
        if not wanted:
            return self
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.upstreams)
        return Plan(tuple(node for node in self.nodes if node.name in wanted))

    def _stages_of(self, target: str) -> list[str]:
        found = [name for name in self.names if target in (name, name.partition("@")[0])]
        if not found:
            close = difflib.get_close_matches(target, self.names, n=1)
            fix = f"Did you mean {close[0]!r}" if close else f"Choose from: {', '.join(self.names)}"
            raise BertlineError(f"no stage named {target!r}", where="dvc.yaml", fix=fix)
        return found

    def __str__(self) -> str:
        width = max((len(name) for name in self.names), default=0)
        lines = (f"{node.name:{width}}  <- {', '.join(node.upstreams)}" for node in self.nodes)
        return "\n".join(line.removesuffix("<- ").rstrip() for line in lines)

    def up_to_date(self, changes: Changes) -> frozenset[str]:
        """The stages that need not even be looked at: unchanged, and so is all that they read from."""
        settled: set[str] = set()
        for node in self.nodes:
            if node.name not in changes and settled.issuperset(node.upstreams):
                settled.add(node.name)
        return frozenset(settled)

    def forecast(self, changes: Changes) -> dict[str, str]:
        """What a run would do about each stage, in words.

        A stage below one that runs may turn out to have nothing to do: whether its inputs change is known then.
        """
        settled = self.up_to_date(changes)
        words = {}
        for node in self.nodes:
            found = changes.get(node.name, ())
            above = [name for name in node.upstreams if name not in settled]
            if found:
                more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
                words[node.name] = f"to run: {', '.join(found[:_NAMED])}{more}"
            else:
                words[node.name] = f"after {', '.join(above)}" if above else "up to date"
        return words

    def table(self, changes: Changes) -> str:
        """The plan with its forecast, one stage a line."""
        forecast = self.forecast(changes)
        width = max((len(name) for name in self.names), default=0)
        return "\n".join(f"{name:{width}}  {forecast[name]}" for name in self.names)

    def mermaid(self, changes: Changes | None = None) -> str:
        """The plan as a Mermaid flowchart; edges that others imply are left out, so that the picture stays readable.

        With `changes`, the stages that are up to date are drawn with a dashed border.
        """
        place = {name: f"s{number}" for number, name in enumerate(self.names)}
        stages = [f'  {place[name]}["{name}"]' for name in self.names]
        edges = [f"  {place[above]} --> {place[below]}" for above, below in self._direct_edges()]
        settled = [place[name] for name in self.names if changes is not None and name in self.up_to_date(changes)]
        style = ["  classDef settled stroke-dasharray: 4", f"  class {','.join(settled)} settled"] if settled else []
        return "\n".join(["flowchart LR", *stages, *edges, *style]) + "\n"

    def _direct_edges(self) -> list[tuple[str, str]]:
        """The edges of the transitive reduction, in plan order."""
        ancestors: dict[str, set[str]] = {}
        edges: list[tuple[str, str]] = []
        for node in self.nodes:
            implied = set().union(*(ancestors[above] for above in node.upstreams))
            ancestors[node.name] = implied | set(node.upstreams)
            edges += [(above, node.name) for above in node.upstreams if above not in implied]
        return edges


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
        where = str(root / (".dvc" if fix else "dvc.yaml"))
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
    link.symlink_to(cache, target_is_directory=True)
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
        stage: the stage.
        absent: outputs that are not looked for; a folder that holds one cannot be compared either.
    """
    for dep in stage.deps:
        if absent.get(str(dep), dep.hash_info) != dep.hash_info:
            yield f"{dep} modified"
    try:
        status = stage.status(check_updates=True)  # {addressing: [{"changed deps": {path: what}}, "changed command"]}
    except LockError:
        yield "another run is writing its files"
        return
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


def in_order(stages: list[str], upstreams: dict[str, set[str]]) -> Plan:
    """A plan of `stages` in their given order, each moved behind the stages it reads from where it must be."""
    nodes: dict[str, Node] = {}

    def place(name: str) -> None:
        if name in nodes:
            return
        for above in sorted(upstreams[name], key=stages.index):
            place(above)
        nodes[name] = Node(name, tuple(above for above in nodes if above in upstreams[name]))

    for name in stages:
        place(name)
    return Plan(tuple(nodes.values()))


def check_lock(changes: Changes) -> None:
    """Refuse a dvc.lock that is not what dvc.yaml, params.yaml and the code would give.

    Raises:
        BertlineError: stages have changed since it was written; names them.
    """
    told = [f"{name} ({', '.join(found[:_NAMED])})" for name, found in changes.items()]
    if told:
        fix = "Run `dvc repro`, and commit dvc.lock and data/"
        raise BertlineError(f"out of date: {'; '.join(told)}", where="dvc.lock", fix=fix)


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
        say(f"left of tasks that are no more, and read by stages: rm -r {' '.join(left)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
