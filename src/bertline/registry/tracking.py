"""One pipeline run in MLflow: a parent run, and under it a run a stage with its parameters, metrics and curves.

All of it comes from files (records.py), after the stages have run: the tracker may be away while they train. A run is
ended whatever happens: FINISHED, FAILED, or KILLED for SIGTERM and Ctrl-C; what SIGKILL left open, the next run ends.
"""

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_PARENT_RUN_ID

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import exclusive_lock, read_json, write_json
from bertline.registry.lineage import gate_reports, lineage_tags
from bertline.registry.records import StageRecord, flatten_params, read_stages
from bertline.registry.store import Store, open_store

# What one request of MLflow's API may carry: 1000 entities, of which 100 parameters.
_METRICS_A_BATCH = 900
_PARAMS_A_BATCH = 100


@dataclass(frozen=True)
class PipelineRun:
    """A pipeline run that is being logged: the parent's run id, and the run id of each stage by its title."""

    run_id: str
    stages: Mapping[str, str]
    tags: Mapping[str, str]


def log_pipeline(params: Params, artifacts: Artifacts) -> str:
    """Log everything the stages left behind as one parent run with a nested run a stage.

    Returns:
        The id of the parent run.

    Raises:
        BertlineError: a metrics file cannot be read, or the store cannot be reached.
    """
    with open_store(artifacts, params.register.experiment) as store, pipeline_run(store, params, artifacts) as run:
        return run.run_id


@contextmanager
def pipeline_run(store: Store, params: Params, artifacts: Artifacts) -> Iterator[PipelineRun]:
    """Log the stages, yield with the parent run open for more, and end it by how the block ends.

    Raises:
        BertlineError: another process of this checkout is registering, or a metrics file cannot be read.
    """
    with exclusive_lock(artifacts.runs / "register.lock", "registering"):
        _end_abandoned(store.client, artifacts)
        tags = lineage_tags(artifacts)
        records = read_stages(params, artifacts, until="register")
        with _open_run(store, _run_name(tags), _source_tags(tags), note=_open_run_note(artifacts)) as run_id:
            stages = {record.title: _log_stage(store, run_id, record) for record in records}
            _log_parent(store.client, run_id, params, artifacts, records)
            yield PipelineRun(run_id, stages, tags)


@contextmanager
def _open_run(
    store: Store,
    name: str,
    tags: Mapping[str, str],
    *,
    start: float | None = None,
    end: float | None = None,
    note: Path | None = None,
) -> Iterator[str]:
    """Create a run, yield its id, and end it by how the block ends.

    Args:
        store: the open store.
        name: the run's name.
        tags: the run's tags.
        start: when it began, in seconds since the epoch; None: now.
        end: when it ended; None: when the block ends.
        note: a file that names the run until it is known to have ended.
    """
    run_id = str(store.client.create_run(store.experiment_id, _milliseconds(start), dict(tags), name).info.run_id)
    if note:
        write_json(note, {"run_id": run_id, "experiment_id": store.experiment_id})
    status = "FAILED"
    try:
        with _sigterm_raises():
            yield run_id
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        store.client.set_terminated(run_id, status, _milliseconds(end))
        if note:
            note.unlink()


def _log_stage(store: Store, parent: str, record: StageRecord) -> str:
    """Log one stage as a nested run at the time it ran; return its run id."""
    start = record.ended - (record.seconds or 0) if record.ended else None
    tags = {MLFLOW_PARENT_RUN_ID: parent, "bertline.stage": record.name, "bertline.task": record.task}
    with _open_run(store, record.title, tags, start=start, end=record.ended) as run_id:
        at = _milliseconds(record.ended) or _now()
        figures = dict(record.metrics)
        if record.seconds is not None:
            figures["stage/seconds"] = record.seconds
        if record.peak_bytes is not None:
            figures["stage/peak_bytes"] = float(record.peak_bytes)
        points = [Metric(key, value, at, 0) for key, value in figures.items()]
        points += [Metric(key, value, at, step) for key, step, value in record.curves]
        _log(store.client, run_id, record.params, points)
        for path in record.files:
            store.client.log_artifact(run_id, str(path))
    return run_id


def _log_parent(
    client: MlflowClient, run_id: str, params: Params, artifacts: Artifacts, records: Sequence[StageRecord]
) -> None:
    """The whole of params.yaml, every stage's metrics under its title, scoreboard, report and the gate reports."""
    at = _now()
    points = [
        Metric(f"{record.title.replace('@', '/')}/{key}", value, at, 0)
        for record in records
        for key, value in record.metrics.items()
    ]
    _log(client, run_id, flatten_params(asdict(params)), points)
    for path in (artifacts.params, artifacts.root / "dvc.lock"):
        if path.is_file():
            client.log_artifact(run_id, str(path))
    for pattern in ("scoreboard.*", "report.html"):  # MLflow's UI shows the page
        for path in sorted(artifacts.scoreboard.glob(pattern)):
            client.log_artifact(run_id, str(path), "scoreboard")
    for path in gate_reports(artifacts):
        folder = path.parent.relative_to(artifacts.gate("")).as_posix()
        client.log_artifact(run_id, str(path), f"gates/{folder}")


def _log(client: MlflowClient, run_id: str, params: Mapping[str, str], points: Sequence[Metric]) -> None:
    """Log parameters and metrics in as few requests as the API allows: on SQLite each is a flush to disk."""
    options = [Param(key, value) for key, value in params.items()]
    while options or points:
        client.log_batch(run_id, metrics=points[:_METRICS_A_BATCH], params=options[:_PARAMS_A_BATCH])
        options, points = options[_PARAMS_A_BATCH:], points[_METRICS_A_BATCH:]


def _run_name(tags: Mapping[str, str]) -> str:
    return f"pipeline {tags.get('git.commit', '')[:8]}".strip()


def _source_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The lineage tags, and the commit once more under the name that MLflow's UI shows."""
    commit = tags.get("git.commit")
    return dict(tags) | ({MLFLOW_GIT_COMMIT: commit} if commit else {})


def _open_run_note(artifacts: Artifacts) -> Path:
    """Names the run in progress, so that the next one can end it when this process is killed."""
    return artifacts.runs / "register.json"


def _end_abandoned(client: MlflowClient, artifacts: Artifacts) -> None:
    """End what a killed process left RUNNING; the lock is ours, so nobody works on it any more."""
    note = _open_run_note(artifacts)
    if not note.is_file():
        return
    left = read_json(note)
    children = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{left['run_id']}' and attributes.status = 'RUNNING'"
    try:
        runs = client.search_runs([left["experiment_id"]], children)
        for run_id in [*(run.info.run_id for run in runs), left["run_id"]]:
            client.set_terminated(run_id, "KILLED")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # that run lies in another store
            raise
    note.unlink()


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM becomes SystemExit(143) inside the block, so that open runs are ended; the main thread alone can ask."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def _now() -> int:
    return time.time_ns() // 1_000_000
