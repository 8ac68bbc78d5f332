"""Stage register: from a finished pipeline to a logged run and registered models."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_directory, write_json
from bertline.base.params import read_yaml
from bertline.registry.store import open_store
from bertline.stages.register import run
from registry.pipeline_state import make_checkout, some_params, write_scores

PARAMS = some_params("topic")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    torch.set_num_threads(1)
    return make_checkout(tmp_path_factory.mktemp("template"), PARAMS)


@pytest.fixture
def artifacts(template: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(template.root, tmp_path / "checkout")
    return Artifacts(tmp_path / "checkout")


def test_models_are_registered_and_a_second_run_writes_the_same_bytes(
    artifacts: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = run(PARAMS, artifacts)
    first, printed = artifacts.registered.read_bytes(), capsys.readouterr().out
    assert json.loads(first) == metrics
    assert list(metrics["models"]) == ["bertline-topic", "bertline-encoder"]
    topic = metrics["models"]["bertline-topic"]
    assert topic["content_sha256"] == sha256_directory(artifacts.finetuned("topic"))
    assert (topic["scores"]["accuracy"], topic["majority"], topic["passes_floor"]) == (0.8, 0.5, True)
    assert metrics["models"]["bertline-encoder"]["scores"]["gain_over_unigram"] == 2.0
    assert "bertline-topic: version 1 (new), champion: accuracy 0.8000" in printed

    run(PARAMS, artifacts)
    assert artifacts.registered.read_bytes() == first
    assert "bertline-topic: version 1 (same content as before), champion" in capsys.readouterr().out
    with open_store(artifacts, "bertline") as store:
        assert len(store.client.search_model_versions("")) == 2
        parents = [
            run for run in store.client.search_runs([store.experiment_id]) if "mlflow.parentRunId" not in run.data.tags
        ]
        assert [run.info.status for run in parents] == ["FINISHED"] * 2
        kept = artifacts.root / "mlruns" / parents[-1].info.run_id / "artifacts"
        verdict = json.loads((kept / "verdicts" / "bertline-topic" / "verdict.json").read_text())
        assert verdict["promote"]
        assert (kept / "model_cards" / "bertline-topic.md").is_file()


def test_every_file_of_the_pipeline_that_is_opened_is_among_the_deps(artifacts: Artifacts) -> None:
    """As far as Python opens it: the weights, which safetensors opens, are a dep as a folder."""
    write_json(artifacts.raw / "manifest.json", {"sources": []})
    opened: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:  # a hook stays: it must not keep what others open
        if event == "open" and watching:
            opened.append(str(arguments[0]))

    watching = True
    sys.addaudithook(note)
    run(PARAMS, artifacts)
    watching = False
    data = {Path(path) for path in opened if Path(path).is_relative_to(artifacts.data) and Path(path).is_file()}
    read = {path.relative_to(artifacts.root) for path in data if not path.is_relative_to(artifacts.runs)}
    stage = read_yaml(artifacts.root / "dvc.yaml")["stages"]["register"]
    known = [Path(entry) for entry in (*stage["deps"], *stage["outs"])]
    assert Path("data/raw/manifest.json") in read
    assert not [path for path in read if not any(path.is_relative_to(entry) for entry in known)]


def test_a_model_below_the_floor_is_registered_and_marked(artifacts: Artifacts) -> None:
    write_scores(artifacts, "topic", primary=0.55)
    metrics = run(PARAMS, artifacts)
    assert not metrics["models"]["bertline-topic"]["passes_floor"]
    assert (metrics["registered"], metrics["passed_the_floor"]) == (2, 1)


def test_a_missing_model_ends_the_run_and_writes_nothing(artifacts: Artifacts) -> None:
    (artifacts.finetuned("topic") / "task.json").unlink()
    with pytest.raises(BertlineError, match=r"topic/task\.json: file not found"):
        run(PARAMS, artifacts)
    assert not artifacts.registered.exists()
    with open_store(artifacts, "bertline") as store:
        statuses = {run.info.run_name: run.info.status for run in store.client.search_runs([store.experiment_id])}
    assert statuses["pipeline"] == "FAILED"
    assert "RUNNING" not in statuses.values()
