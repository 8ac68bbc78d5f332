"""The plan: the stages of the DAG in an order in which they can run, and what a run would do about each.

It is read from DVC by graph.py, and knows nothing of DVC itself.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bertline.base.errors import BertlineError

Changes = Mapping[str, tuple[str, ...]]
"""Stage -> what has changed of it since dvc.lock was written, in words; a stage without changes is not in it."""

_NAMED = 3  # changes of a stage on its line


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
