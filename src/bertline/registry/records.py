"""What every stage left behind on disk, in the terms of an experiment tracker: parameters, metrics, curves, files.

dvc.yaml says which section of params.yaml a stage takes and which metrics, plots and gate reports it writes; the
files themselves say the rest. Nothing here was sent while a stage ran, so nothing is lost when the tracker was away.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.dependencies import for_task
from bertline.base.files import read_json
from bertline.base.params import read_yaml

Point = tuple[str, int, float]
"""A value of a curve: key, step, value."""

_KEY = re.compile(r"[^\w\-./ ]")


@dataclass(frozen=True)
class StageRecord:
    """One stage of a pipeline run.

    Attributes:
        title: as DVC names it: pretrain, finetune@docs_topic.
        name: the stage without its task.
        task: the task, or empty.
        params: dotted key of params.yaml -> value, of the options the stage depends on.
        metrics: flattened key -> value of its metrics and gate report.
        curves: every point of its curves.
        files: its metrics, plots and gate report.
        seconds: how long it took when it last ran; None where that is unknown.
        peak_bytes: its peak memory then; None where that is unknown.
        ended: when it last ended, in seconds since the epoch; None where that is unknown.
    """

    title: str
    name: str
    task: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Sequence[Point]
    files: Sequence[Path]
    seconds: float | None
    peak_bytes: int | None
    ended: float | None


def read_stages(params: Params, artifacts: Artifacts, *, until: str) -> list[StageRecord]:
    """The records of all stages in the order of dvc.yaml, up to the stage named `until`, which is left out.

    Raises:
        BertlineError: dvc.yaml or a metrics file cannot be read.
    """
    records = []
    for name, definition in read_yaml(artifacts.root / "dvc.yaml").get("stages", {}).items():
        if name == until:
            break
        for task in _tasks_of(definition, params):
            records.append(_read_stage(name, task, definition.get("do", definition), params, artifacts))
    return records


def _tasks_of(definition: Mapping[str, Any], params: Params) -> Sequence[str]:
    """The tasks that a stage runs for, the keys of the section that its `foreach` names; "" where it runs once."""
    section = re.fullmatch(r"\$\{(\w+)\}", definition.get("foreach", ""))
    return [*getattr(params, section[1])] if section else [""]


def _read_stage(
    name: str, task: str, definition: Mapping[str, Any], params: Params, artifacts: Artifacts
) -> StageRecord:
    title = f"{name}@{task}" if task else name
    files = [path for path in _reported(definition, task, artifacts) if path.is_file()]
    metrics: dict[str, float] = {}
    curves: list[Point] = []
    for path in files:
        value = read_json(path) if path.suffix == ".json" else None
        if isinstance(value, Mapping):
            prefix = "" if path.stem == "metrics" else path.stem
            metrics.update(flatten_numbers(value, prefix))
        elif isinstance(value, list):
            curves.extend(_points(value, path.stem))
    timing = artifacts.timing(title)
    ran = read_json(timing) if timing.is_file() else {}
    return StageRecord(
        title=title,
        name=name,
        task=task,
        params=_params_of(task, definition, params),
        metrics=metrics,
        curves=curves,
        files=files,
        seconds=ran.get("seconds"),
        peak_bytes=ran.get("peak_bytes"),
        ended=timing.stat().st_mtime if ran else None,
    )


def _reported(definition: Mapping[str, Any], task: str, artifacts: Artifacts) -> Iterator[Path]:
    """Paths of what a stage reports: metrics, plots, and outs that are single JSON files (curves, gate reports)."""
    for kind in ("metrics", "plots", "outs"):
        for entry in definition.get(kind, []):
            path = for_task(next(iter(entry)) if isinstance(entry, Mapping) else entry, task)
            if kind != "outs" or path.endswith(".json"):
                yield artifacts.root / path


def _params_of(task: str, definition: Mapping[str, Any], params: Params) -> dict[str, str]:
    values = dataclasses.asdict(params)
    if task:  # what holds for this task, overrides applied
        values["finetune"] = dataclasses.asdict(params.finetune_for(task))
    found: dict[str, str] = {}
    for entry in definition.get("params", []):
        if isinstance(entry, str):
            key = for_task(entry, task)
            value: Any = values
            for part in key.split("."):
                value = value[part]
            found.update(flatten_params(value, key))
    return found


def flatten_params(value: Any, key: str = "") -> dict[str, str]:
    """Options as dotted keys and texts: {"a": [{"b": 1}]} -> {"a.0.b": "1"}."""
    if isinstance(value, Mapping):
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, list):
        items = [(str(place), item) for place, item in enumerate(value)]
    else:
        return {_KEY.sub("_", key): str(value)}
    flat: dict[str, str] = {}
    for name, item in items:
        flat.update(flatten_params(item, f"{key}.{name}" if key else name))
    return flat


def flatten_numbers(value: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of nested metrics under dotted keys; true and false are 1 and 0, texts and lists are left out."""
    flat: dict[str, float] = {}
    for name, item in value.items():
        key = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(item, Mapping):
            flat.update(flatten_numbers(item, key))
        elif isinstance(item, int | float):
            flat[_KEY.sub("_", key)] = float(item)
    return flat


def _points(rows: Sequence[Any], curve: str) -> Iterator[Point]:
    """The numbers of a curve's rows, by `step`: pretrain/curve.json gives curve/mlm_loss and so on."""
    for row in rows:
        if not isinstance(row, Mapping) or "step" not in row:
            continue
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float):
                yield f"{curve}/{_KEY.sub('_', str(name))}", int(row["step"]), float(value)
