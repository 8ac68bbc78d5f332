"""A small raw corpus in the form of stage download: three packages that talk about different things."""

import json
from pathlib import Path

from bertline.base.artifacts import Artifacts
from bertline.tasks.docs import RAW_FILE

PACKAGES = {"torch": "tensor gradient", "numpy": "array axis", "sqlalchemy": "session query"}


def docstring(package: str, number: int) -> str:
    topic, other = PACKAGES[package].split()
    return f"""Compute the {topic} number {number} of the {package} {other}.

The {topic} with number {number} is taken from the {other} that was given, one step after the other.
Every {other} keeps its {number} places in ``{package}.{other}``.

Parameters
----------
{topic}_{number} : {other}_like of {number} values, optional
    The first {topic} to read out of {number} possible ones. It may be left out.
limit : int
    Largest number of {other} places, {number} at most. Default is one.
copy : bool, default True
    Whether the {topic} may be changed in place by step {number}.
"""


def raw_rows(modules: int = 40) -> list[dict[str, str]]:
    rows = []
    for package in PACKAGES:
        for module in range(modules):
            for name in range(4):
                text = docstring(package, 4 * module + name)
                row = {"package": package, "module": f"{package}.m{module}", "name": f"f{name}", "kind": "function"}
                rows.append(row | {"text": text})
    return rows


def write_raw(root: Path, rows: list[dict[str, str]]) -> Artifacts:
    artifacts = Artifacts(root)
    artifacts.raw.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (artifacts.raw / RAW_FILE).write_text(lines, encoding="utf-8")
    return artifacts
