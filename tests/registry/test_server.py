"""A real `mlflow server` on PostgreSQL that proxies artifacts: pipelines that register at once, and a SIGKILL."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from bertline.base.artifacts import Artifacts
from bertline.base.params import write_params
from bertline.base.register_config import Register
from registry.mlflow_server import MlflowServer, postgres
from registry.pipeline_state import some_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as address:
        yield address


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[MlflowServer]:
    """A server, whose address is MLflow's tracking URI inside the test."""
    started = MlflowServer(database, tmp_path)
    try:
        started.start()
        before = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(started.address)
        yield started
    finally:
        started.kill()
        mlflow.set_tracking_uri(before)


def checkout(template: Artifacts, root: Path, task: str, prefix: str) -> Artifacts:
    """A copy of a checkout with one task; its models and its experiment are named by `prefix`."""
    artifacts = Artifacts(Path(shutil.copytree(template.root, root)))
    params = some_params(task)
    config = Register(prefix=prefix, experiment=prefix, min_gain_over_majority=0.1, tolerance=0.01)
    write_params(artifacts.params, type(params)(tasks=params.tasks, register=config), "Test.")
    return artifacts


def register(artifacts: Artifacts, server: MlflowServer) -> subprocess.Popen[str]:
    """Stage register as a process, on a host of its own: locks are files in BERTLINE_LOCKS, and it shares none."""
    own = artifacts.root.parent / f"tmp-{artifacts.root.name}"
    own.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "bertline.stages.register", "--root", str(artifacts.root)],
        env={**os.environ, "MLFLOW_TRACKING_URI": server.address, "BERTLINE_LOCKS": str(own)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(client: MlflowClient, prefix: str) -> dict[str, tuple[int, dict[str, str]]]:
    """Model -> how many versions it has, and its aliases; every version has a content of its own."""
    found: dict[str, tuple[int, dict[str, str]]] = {}
    for model in client.search_registered_models(f"name LIKE '{prefix}-%'"):
        versions = client.search_model_versions(f"name = '{model.name}'")
        assert len({version.tags["bertline.content.sha256"] for version in versions}) == len(versions)
        found[model.name] = (len(versions), {alias: str(number) for alias, number in model.aliases.items()})
    return found


def state(client: MlflowClient, prefix: str) -> tuple[list[Any], list[Any]]:
    """The pipeline runs of an experiment, and those of the stages."""
    experiment = client.get_experiment_by_name(prefix)
    assert experiment is not None
    assert experiment.artifact_location.startswith("mlflow-artifacts:")
    runs = client.search_runs([experiment.experiment_id])
    parents = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    return parents, [one for one in runs if "mlflow.parentRunId" in one.data.tags]


def test_four_pipelines_that_register_at_once_lose_nothing(
    template: Artifacts, server: MlflowServer, tmp_path: Path
) -> None:
    """Two of them have the same model of a task, and all the same encoder; as four hosts they share no lock."""
    tasks = {"one": "topic", "two": "topic", "three": "pairs", "four": "qa"}
    places = [checkout(template, tmp_path / name, task, "four") for name, task in tasks.items()]
    running = [register(place, server) for place in places]
    ended = [process.communicate(timeout=400) for process in running]
    assert [process.returncode for process in running] == [0] * 4, ended
    client = MlflowClient(server.address)
    parents, children = state(client, "four")
    assert len(parents) == 4
    assert len(children) == 4 * 13
    assert {one.info.status for one in [*parents, *children]} == {"FINISHED"}
    for parent in parents:
        verdicts = [one.path for one in client.list_artifacts(parent.info.run_id, "verdicts")]
        assert len(verdicts) == 2
        curves = [one for one in children if one.data.tags["mlflow.parentRunId"] == parent.info.run_id]
        (pretrain,) = [one for one in curves if one.info.run_name == "pretrain"]
        assert len(client.get_metric_history(pretrain.info.run_id, "curve/mlm_loss")) == 2
    one_each = (1, {"challenger": "1", "champion": "1"})
    first = contents(client, "four")
    assert first == dict.fromkeys(("four-topic", "four-pairs", "four-qa", "four-encoder"), one_each)
    for name in first:
        loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
        assert len(loaded.predict(loaded.input_example)) == 1


def test_a_server_that_is_killed_in_the_midst_gets_later_what_it_lacks(
    template: Artifacts, server: MlflowServer, tmp_path: Path
) -> None:
    place = checkout(template, tmp_path / "killed", "topic", "killed")
    client = MlflowClient(server.address)
    process = register(place, server)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:  # some stages are logged, not all
        if client.get_experiment_by_name("killed") and len(state(client, "killed")[1]) >= 4:
            break
    server.kill()
    began = time.monotonic()
    output, error = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert error.count("\n") == 1
    assert f"register: error: MLflow store {server.address}: the server does not answer" in error
    assert time.monotonic() - began < 60
    assert not place.registered.exists()

    process = register(place, server)  # still away: said at once
    began = time.monotonic()
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error.count("\n")) == (1, 1)
    assert "Connection refused" in error
    assert "MLFLOW_TRACKING_URI" in error
    assert time.monotonic() - began < 30

    server.start()
    before = state(client, "killed")
    done = register(place, server)
    assert done.communicate(timeout=200) and done.returncode == 0
    parents, children = state(client, "killed")
    assert [one.info.run_id for one in parents] == [one.info.run_id for one in before[0]]
    assert {one.info.run_id for one in before[1]} <= {one.info.run_id for one in children}
    names = [one.info.run_name for one in children]
    assert len(names) == len(set(names)) == 13
    assert {one.info.status for one in [*parents, *children]} == {"FINISHED"}
    assert json.loads(place.registered.read_text())["registered"] == 2
    one_each = (1, {"challenger": "1", "champion": "1"})
    assert contents(client, "killed") == dict.fromkeys(("killed-topic", "killed-encoder"), one_each)
