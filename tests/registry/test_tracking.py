"""A pipeline run in MLflow: what it holds, and that it always ends."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from mlflow.entities import Run

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import write_json_rows
from bertline.registry.store import Store, open_store
from bertline.registry.tracking import pipeline_run
from registry.pipeline_state import some_params, write_scores

TOPIC = some_params("topic")


def log_pipeline(params: Params, artifacts: Artifacts) -> str:
    """Log what the stages left behind, and no models; the id of the parent run."""
    with open_store(artifacts, params.register.experiment) as store, pipeline_run(store, params, artifacts) as run:
        return run.run_id


def runs_of(store: Store) -> dict[str, Run]:
    """Every run of the experiment, by name."""
    return {run.info.run_name: run for run in store.client.search_runs([store.experiment_id])}


def test_one_parent_run_holds_a_run_a_stage(artifacts: Artifacts, params: Params) -> None:
    parent = log_pipeline(params, artifacts)
    with open_store(artifacts, "bertline") as store:
        runs = runs_of(store)
        children = [run for run in runs.values() if run.data.tags.get("mlflow.parentRunId") == parent]
        assert len(children) == len(runs) - 1 == 8 + 4 * len(params.tasks) + 1
        assert {run.info.status for run in runs.values()} == {"FINISHED"}
        pretrain = runs["pretrain"]
        assert pretrain.data.params["pretrain.sequence_length"] == "64"
        assert pretrain.data.metrics["stage/seconds"] == 12.5
        assert pretrain.data.metrics["stage/peak_bytes"] == 1000
        curve = store.client.get_metric_history(pretrain.info.run_id, "curve/mlm_loss")
        assert sorted((point.step, point.value) for point in curve) == [(20, 5.0), (40, 4.0)]
        assert runs["finetune@topic"].data.params["finetune.learning_rate"] == "0.001"
        assert runs["gate_corpus"].data.metrics["report.passed"] == 1.0
        assert store.client.get_run(parent).data.metrics["evaluate/qa/pretrained.f1"] == 0.8
        kept = {path.relative_to(artifacts.root / "mlruns" / parent).as_posix() for path in files(artifacts, parent)}
    assert {"artifacts/scoreboard/scoreboard.md", "artifacts/scoreboard/report.html"} <= set(kept)
    assert "artifacts/gates/gate_task/topic/report.json" in kept
    assert "artifacts/params.yaml" in kept


def files(artifacts: Artifacts, run_id: str) -> list[Path]:
    return [path for path in (artifacts.root / "mlruns" / run_id).rglob("*") if path.is_file()]


def test_a_run_tells_where_it_comes_from(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertline.registry.tracking.lineage_tags", lambda *_: {"git.commit": "0123456789"})
    (artifacts.root / "dvc.lock").write_text("stages: {}\n")
    parent = log_pipeline(TOPIC, artifacts)
    with open_store(artifacts, "bertline") as store:
        run = store.client.get_run(parent)
    assert run.info.run_name == "pipeline 01234567"
    assert run.data.tags["mlflow.source.git.commit"] == "0123456789", "which MLflow's UI shows"
    assert "dvc.lock" in {path.name for path in files(artifacts, parent)}


def test_a_curve_of_more_points_than_a_request_may_have_is_whole(artifacts: Artifacts) -> None:
    write_json_rows(artifacts.curve("pretrain"), [{"step": step, "mlm_loss": 1.0} for step in range(2500)])
    log_pipeline(TOPIC, artifacts)
    with open_store(artifacts, "bertline") as store:
        run = runs_of(store)["pretrain"].info.run_id
        assert len(store.client.get_metric_history(run, "curve/mlm_loss")) == 2500


def test_a_stage_stands_at_the_time_it_ran(artifacts: Artifacts) -> None:
    timing = artifacts.runs / "stages" / "pretrain.json"
    os.utime(timing, (1_700_000_000, 1_700_000_000))
    log_pipeline(TOPIC, artifacts)
    with open_store(artifacts, "bertline") as store:
        info = runs_of(store)["pretrain"].info
    assert (info.start_time, info.end_time) == (1_699_999_987_500, 1_700_000_000_000)


@pytest.mark.parametrize(
    ("fault", "status"), [(ValueError("broken"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED")]
)
def test_a_run_is_ended_when_the_work_in_it_fails(fault: BaseException, status: str, artifacts: Artifacts) -> None:
    with open_store(artifacts, "bertline") as store:
        with pytest.raises(type(fault)), pipeline_run(store, TOPIC, artifacts) as run:
            raise fault
        assert store.client.get_run(run.run_id).info.status == status


def test_sigterm_ends_the_run_and_the_process_with_143(artifacts: Artifacts) -> None:
    with open_store(artifacts, "bertline") as store:
        with pytest.raises(SystemExit) as caught, pipeline_run(store, TOPIC, artifacts) as run:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        assert caught.value.code == 143
        assert store.client.get_run(run.run_id).info.status == "KILLED"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_broken_metrics_file_leaves_no_run_open(artifacts: Artifacts) -> None:
    artifacts.metrics("pretrain").write_text("{")
    with pytest.raises(BertlineError, match="not valid JSON"):
        log_pipeline(TOPIC, artifacts)
    with open_store(artifacts, "bertline") as store:
        assert all(run.info.status != "RUNNING" for run in runs_of(store).values())


@pytest.mark.parametrize(("changed", "ends"), [(False, "FINISHED"), (True, "KILLED")])
def test_what_a_killed_process_left_open_the_next_run_completes_or_ends(
    changed: bool, ends: str, artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "the first")
    with open_store(artifacts, "bertline") as store:
        with pipeline_run(store, TOPIC, artifacts) as killed:
            note = artifacts.runs / "register.json"
            left = shutil.copy(note, tmp_path)
        child = killed.stages["pretrain"]
        for run_id in (killed.run_id, child):  # as SIGKILL leaves them
            store.client.update_run(run_id, "RUNNING")
        shutil.copy(left, note)
        monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "another")
        if changed:
            write_scores(artifacts, "topic", primary=0.7)
        assert (log_pipeline(TOPIC, artifacts) == killed.run_id) is not changed
        assert {store.client.get_run(run_id).info.status for run_id in (killed.run_id, child)} == {ends}
    assert not note.exists()


def test_a_second_process_of_the_checkout_is_refused(artifacts: Artifacts) -> None:
    refused = pytest.raises(BertlineError, match=r"registering is already running: process \d+")
    with open_store(artifacts, "bertline") as store, pipeline_run(store, TOPIC, artifacts), refused:
        log_pipeline(TOPIC, artifacts)
