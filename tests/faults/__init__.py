"""Faults that artefacts may have, each with the expectation that must name it: the table of the gates' tests.

A fault damages the artefacts of a clean run (clean_run.py), as a broken disk, a careless program or a bad source
would, and hides its traces where such a program would (it reports as many rows as it wrote).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bertline.base.artifacts import Artifacts

Row = dict[str, Any]
Damage = Callable[[Artifacts], object]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: what is wrong, in words.
        gate: the stage that must find it: gate_corpus, gate_tokens, gate_task or gate_pretrain.
        expectation: what it must call it.
        damage: does it.
        task: of gate_task.
        severity: critical stops the pipeline, warning is printed.
    """

    name: str
    gate: str
    expectation: str
    damage: Damage
    task: str = ""
    severity: Literal["critical", "warning"] = "critical"


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file in place; NaN may be written, as a careless program would."""
    value = json.loads(path.read_text())
    changed = change(value)
    path.write_text(json.dumps(value if changed is None else changed))


def change_bytes(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def read_as_cp1252(text: str) -> str:
    """A text that was read in the wrong encoding."""
    return f"It’s a café: {text}".encode().decode("cp1252", "replace")
