"""One pipeline run in MLflow: a parent run, and under it a run a stage with its parameters, metrics and curves.

All of it comes from files (records.py), after the stages have run: the tracker may be away while they train. A run is
ended by how the work ends: FINISHED, FAILED, or KILLED for SIGTERM and Ctrl-C. A run that did not finish, because the
server was killed or this process was, is gone on with by the next registration of the same results: under the same run
ids, and what the store has already is not sent twice. The next one of other results ends it.
"""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_PARENT_RUN_ID

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import exclusive_lock, read_json, sha256_file, sha256_json, write_json
from bertline.registry.lineage import FLOW_RUN, gate_reports, lineage_tags
from bertline.registry.records import StageRecord, flatten_params, read_stages
from bertline.registry.store import STORE_FAULTS, Store

# What one request of MLflow's API may carry: 1000 entities, of which 100 parameters.
_METRICS_A_BATCH = 900
_PARAMS_A_BATCH = 100
_REGISTRATION = "bertline.registration"


@dataclass(frozen=True)
class PipelineRun:
    """A pipeline run that is being logged: the parent's run id, and the run id of each stage by its title."""

    run_id: str
    stages: Mapping[str, str]
    tags: Mapping[str, str]


@contextmanager
def pipeline_run(store: Store, params: Params, artifacts: Artifacts) -> Iterator[PipelineRun]:
    """Log the stages, yield with the parent run open for more, and end it by how the block ends.

    Raises:
        BertlineError: another process of this checkout is registering, or a metrics file cannot be read.
        MlflowException: the store failed; the next call with the same results goes on with this run.
    """
    with exclusive_lock(artifacts.runs / "register.lock", "registering"):
        tags = lineage_tags(params, artifacts)
        records = read_stages(params, artifacts, until="register")
        key = _begin(store, artifacts, _fingerprint(tags, records, params, artifacts))
        found = next(iter(_runs(store.client, store.experiment_id, _REGISTRATION, key)), None)
        with _open_run(store, _run_name(tags), _source_tags(tags) | {_REGISTRATION: key}, found=found) as run:
            stages = _log_stages(store, run, records)
            _log_parent(store.client, run, params, artifacts, records)
            yield PipelineRun(run.info.run_id, stages, tags)
        _note(artifacts).unlink()


@contextmanager
def _open_run(
    store: Store,
    name: str,
    tags: Mapping[str, str],
    *,
    found: Run | None,
    start: float | None = None,
    end: float | None = None,
) -> Iterator[Run]:
    """Create a run or open one again, yield it, and end it by how the block ends.

    Args:
        store: the open store.
        name: the run's name.
        tags: the run's tags.
        found: the run, where it was begun before.
        start: when it began, in seconds since the epoch; None: now.
        end: when it ended; None: when the block ends.

    A store that fails is not asked to end the run, for it would keep its client waiting; the run stays RUNNING there.
    """
    client = store.client
    if found:
        client.update_run(found.info.run_id, "RUNNING")
        client.log_batch(found.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    run = found or client.create_run(store.experiment_id, _milliseconds(start), dict(tags), name)
    status = "FAILED"
    try:
        with _sigterm_raises():
            yield run
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    except STORE_FAULTS:
        status = ""
        raise
    finally:
        if status:
            client.set_terminated(run.info.run_id, status, _milliseconds(end))


def _log_stages(store: Store, parent: Run, records: Sequence[StageRecord]) -> dict[str, str]:
    """Log every stage that is not logged yet as a nested run; return the run ids by title."""
    children = _runs(store.client, parent.info.experiment_id, MLFLOW_PARENT_RUN_ID, parent.info.run_id)
    begun = {run.info.run_name: run for run in children}
    return {record.title: _log_stage(store, parent, record, begun.get(record.title)) for record in records}


def _log_stage(store: Store, parent: Run, record: StageRecord, found: Run | None) -> str:
    """Log one stage at the time it ran, unless that is done; return its run id.

    What is sent twice, because an answer was lost, is the same to MLflow: the same key, step, time and value.
    """
    if found and found.info.status == "FINISHED":
        return str(found.info.run_id)
    start = record.ended - (record.seconds or 0) if record.ended else None
    tags = {MLFLOW_PARENT_RUN_ID: parent.info.run_id, "bertline.stage": record.name, "bertline.task": record.task}
    with _open_run(store, record.title, tags, found=found, start=start, end=record.ended) as run:
        at = _milliseconds(record.ended) or parent.info.start_time
        figures = dict(record.metrics)
        if record.seconds is not None:
            figures["stage/seconds"] = record.seconds
        if record.peak_bytes is not None:
            figures["stage/peak_bytes"] = float(record.peak_bytes)
        points = [Metric(key, value, at, 0) for key, value in figures.items()]
        points += [Metric(key, value, at, step) for key, step, value in record.curves]
        _log(store.client, run.info.run_id, record.params, points)
        for path in record.files:
            store.client.log_artifact(run.info.run_id, str(path))
    return str(run.info.run_id)


def _log_parent(
    client: MlflowClient, run: Run, params: Params, artifacts: Artifacts, records: Sequence[StageRecord]
) -> None:
    """The whole of params.yaml, every stage's metrics under its title, scoreboard, report and the gate reports."""
    at, run_id = run.info.start_time, run.info.run_id
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
    for path in gate_reports(params, artifacts):
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


def _note(artifacts: Artifacts) -> Path:
    """Names the registration in progress until it has finished."""
    return artifacts.runs / "register.json"


def _begin(store: Store, artifacts: Artifacts, results: str) -> str:
    """The key of a registration: that of an unfinished one of the same results, else a new one.

    It is noted before its run is created, which carries it as a tag: so a run whose creation was never confirmed is
    found too. The lock is ours, so nobody works on what an unfinished registration of other results left; it is ended.
    """
    note = _note(artifacts)
    left = read_json(note) if note.is_file() else {}
    if left.get("results") == results:
        return str(left["registration"])
    if left:
        _end_abandoned(store.client, left)
    key = uuid4().hex
    write_json(note, {"registration": key, "results": results, "experiment_id": store.experiment_id})
    return key


def _fingerprint(tags: Mapping[str, str], records: Sequence[StageRecord], params: Params, artifacts: Artifacts) -> str:
    """One hash of all that a run holds and of where it comes from; who asked for it does not count.

    All of `params` is in it, for all of it is logged, and MLflow refuses to change a parameter that a run has.
    """
    origin = {key: value for key, value in tags.items() if key != FLOW_RUN}
    logged = [
        asdict(record)
        | {"files": {path.relative_to(artifacts.root).as_posix(): sha256_file(path) for path in record.files}}
        for record in records
    ]
    return sha256_json([origin, logged, flatten_params(asdict(params))])


def _runs(client: MlflowClient, experiment_id: str, tag: str, value: str) -> list[Run]:
    """All runs with a tag, those that began last first."""
    found = client.search_runs([experiment_id], f"tags.`{tag}` = '{value}'")
    runs = list(found)
    while found.token:
        found = client.search_runs([experiment_id], f"tags.`{tag}` = '{value}'", page_token=found.token)
        runs += found
    return runs


def _end_abandoned(client: MlflowClient, left: Mapping[str, str]) -> None:
    """End the runs of an unfinished registration: KILLED where they are RUNNING."""
    experiment_id = left["experiment_id"]
    try:
        parents = _runs(client, experiment_id, _REGISTRATION, left.get("registration", ""))
        for parent in parents:
            for run in [*_runs(client, experiment_id, MLFLOW_PARENT_RUN_ID, parent.info.run_id), parent]:
                if run.info.status == "RUNNING":
                    client.set_terminated(run.info.run_id, "KILLED")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # those runs lie in another store
            raise


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
