"""A store that fails in the midst of a registration: nothing is lost, and the next one sends what is missing."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.registry.store import Store, open_store
from bertline.stages.register import run
from registry.pipeline_state import some_params

TOPIC = some_params("topic")
WRITES = {
    *("create_run", "update_run", "log_batch", "log_artifact", "set_terminated"),
    *("create_logged_model", "log_model_artifacts", "finalize_logged_model", "log_outputs", "set_logged_model_tags"),
    *("create_registered_model", "create_model_version", "set_model_version_tag", "set_registered_model_alias"),
    "update_registered_model",
}
"""Every call of the client's that changes the store; log_text and log_dict go by log_artifact."""


class Gone:
    """Lets so many writes through, then fails this one and all after it, as a store that was killed.

    `lost`: the write that fails reached the store; its answer did not come back.
    """

    def __init__(self, patch: pytest.MonkeyPatch, after: int | None, lost: bool = False) -> None:
        self.made: list[str] = []
        self.after, self.lost = after, lost
        for name in WRITES:
            patch.setattr(MlflowClient, name, self._guarded(name, getattr(MlflowClient, name)))

    def _guarded(self, name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.made.append(name)
            left = None if self.after is None else self.after + 1 - len(self.made)
            done = real(*arguments, **options) if left is None or left > 0 or (left == 0 and self.lost) else None
            if left is not None and left <= 0:
                raise MlflowException("API request failed: [Errno 111] Connection refused")
            return done

        return call


def everything(store: Store) -> dict[str, Any]:
    """What the store holds, without the ids and times that differ from one registration to the next."""
    client, found = store.client, store.client.search_runs([store.experiment_id])
    runs = {}
    for one in found:
        history = [client.get_metric_history(one.info.run_id, key) for key in one.data.metrics]
        points = sorted((point.key, point.step, point.value) for each in history for point in each)
        files = sorted(artifact_paths(client, one.info.run_id))
        models = len(one.outputs.model_outputs) if one.outputs else 0
        runs[one.info.run_name] = (one.info.status, dict(one.data.params), points, files, models)
    assert len(runs) == len(found), "a run was made twice"
    versions = client.search_model_versions()
    models = client.search_logged_models([store.experiment_id])
    aliases = {one.name: dict(one.aliases) for one in client.search_registered_models()}
    parent = next(one for one in found if "mlflow.parentRunId" not in one.data.tags)
    verdicts = {}
    for name in aliases:
        verdict = mlflow.artifacts.load_dict(f"{parent.info.artifact_uri}/verdicts/{name}/verdict.json")
        verdicts[name] = json.dumps(verdict, sort_keys=True)
    return {
        "runs": runs,
        "versions": sorted((one.name, one.version, one.tags["bertline.scores"]) for one in versions),
        "models": sorted((one.name, str(one.status), "mlflow.modelVersions" in one.tags) for one in models),
        "descriptions": {one.name: one.description for one in client.search_registered_models()},
        "aliases": aliases,
        "verdicts": verdicts,
    }


def artifact_paths(client: MlflowClient, run_id: str, folder: str | None = None) -> Iterator[str]:
    for one in client.list_artifacts(run_id, folder):
        yield from artifact_paths(client, run_id, one.path) if one.is_dir else [one.path]


@pytest.fixture(scope="module")
def undisturbed(template: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, Any]]:
    """The writes of a registration that nothing disturbs, and what it leaves."""
    root = tmp_path_factory.mktemp("undisturbed") / "checkout"
    shutil.copytree(template.root, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        calls = Gone(patch, None)
        run(TOPIC, Artifacts(root))
    with open_store(Artifacts(root), "bertline") as store:
        return calls.made, everything(store)


def places(made: list[str]) -> list[int]:
    """The first and the last call of each name: every kind of write, at both ends of the work."""
    first = {name: number for number, name in reversed(list(enumerate(made)))}
    last = {name: number for number, name in enumerate(made)}
    return sorted({*first.values(), *last.values()})


@pytest.mark.parametrize("lost", [False, True], ids=["the write fails", "its answer is lost"])
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 14])
def test_wherever_the_store_goes_away_the_next_registration_completes_the_same_run(
    lost: bool,
    step: int,
    template: Artifacts,
    undisturbed: tuple[list[str], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made, whole = undisturbed
    assert WRITES - set(made) <= {"update_run"}, "a write that no registration makes"
    for place in places(made)[::step]:
        root = tmp_path_factory.mktemp("cut") / "checkout"
        shutil.copytree(template.root, root)
        artifacts = Artifacts(root)
        with pytest.MonkeyPatch.context() as patch:
            gone = Gone(patch, place, lost)
            with pytest.raises(BertlineError, match="MLflow store"):
                run(TOPIC, artifacts)
        assert len(gone.made) == place + 1, "a store that is away is not asked again"
        assert not artifacts.registered.exists()
        run(TOPIC, artifacts)
        with open_store(artifacts, "bertline") as store:
            assert everything(store) == whole, f"cut at write {place}, {made[place]}"
        assert artifacts.registered.is_file()


def test_what_the_store_has_already_is_not_sent_again(
    artifacts: Artifacts, undisturbed: tuple[list[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = undisturbed
    last = len(made) - 1
    with pytest.MonkeyPatch.context() as patch:
        Gone(patch, last)
        with pytest.raises(BertlineError):
            run(TOPIC, artifacts)
    again = Gone(monkeypatch, None)
    run(TOPIC, artifacts)
    assert not {"create_run", "create_logged_model", "log_model_artifacts", "create_model_version"} & set(again.made)
    assert again.made.count("log_batch") < made.count("log_batch") / 3


def test_a_registration_under_other_settings_does_not_go_on_with_an_unfinished_run(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow refuses to change a parameter that a run has; those of section register are on the parent run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowClient, "create_registered_model", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(TOPIC, artifacts)
    run(replace(TOPIC, register=replace(TOPIC.register, promote=False)), artifacts)
    with open_store(artifacts, "bertline") as store:
        runs = store.client.search_runs([store.experiment_id], order_by=["attributes.start_time"])
        parents = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    ended = [(one.info.status, one.data.params["register.promote"]) for one in parents]
    assert ended == [("KILLED", "True"), ("FINISHED", "False")]


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
