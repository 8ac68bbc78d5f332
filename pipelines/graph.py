"""DVC's graph of stages as an immutable, printable plan.

    python -m pipelines.graph              the plan, one stage a line, in the order of execution
    python -m pipelines.graph --mermaid    the same as a Mermaid diagram

The graph comes from `dvc.repo.Repo().index.graph`, which is no public interface of DVC: this is the only file that
touches it, and a test compares what it gives with `dvc dag`.
"""

import argparse
import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.repo import Repo

from bertline.base.errors import BertlineError


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

    def mermaid(self) -> str:
        """The plan as a Mermaid flowchart; edges that others imply are left out, so that the picture stays readable."""
        place = {name: f"s{number}" for number, name in enumerate(self.names)}
        stages = [f'  {place[name]}["{name}"]' for name in self.names]
        edges = [f"  {place[above]} --> {place[below]}" for above, below in self._direct_edges()]
        return "\n".join(["flowchart LR", *stages, *edges]) + "\n"

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
    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph  # networkx.DiGraph of stages; an edge points at what a stage depends on
            stages = [_addressing(stage) for stage in repo.index.stages]
            upstreams = {
                _addressing(stage): {_addressing(above) for above in graph.successors(stage)} for stage in graph
            }
    except NotDvcRepoError:
        fix = "Run in a checkout of the project (git clone), or `dvc init`"
        raise BertlineError("not a DVC repository", where=str(root.resolve()), fix=fix) from None
    except DvcException as error:
        problem = " ".join(str(error).split()).rstrip(".")
        raise BertlineError(problem, where=str(root / "dvc.yaml"), fix="Correct it; `dvc dag` checks it") from None
    return in_order(stages, upstreams)


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


def main() -> int:
    """Print the plan."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.graph", description="Print the DAG of dvc.yaml.")
    parser.add_argument("targets", nargs="*", metavar="STAGE", help="only what leads to these stages (default: all)")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    parser.add_argument("--mermaid", action="store_true", help="as a Mermaid diagram")
    arguments = parser.parse_args()
    try:
        plan = read_plan(arguments.root).up_to(arguments.targets)
    except BertlineError as error:
        print(f"plan: error: {error}", file=sys.stderr)
        return 1
    print(plan.mermaid() if arguments.mermaid else plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
