"""`bertline promote` and `rollback` find the model by its task."""

from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.registry.store import open_store
from cli.typed import Type


def test_promote_and_rollback_by_task(checkout: Path, type_in: Type) -> None:
    with open_store(Artifacts(checkout), "bertline") as store:
        store.client.create_registered_model("bertline-docs_topic")
        for _ in range(2):
            store.client.create_model_version("bertline-docs_topic", "file:///nowhere")
    first = type_in("promote", "docs_topic", "--version", "1")
    assert (first.exit_code, first.output) == (0, "bertline-docs_topic: version 1 is champion; there was none\n")
    assert type_in("promote", "bertline-docs_topic", "--version", "2").exit_code == 0
    back = type_in("rollback", "docs_topic")
    assert back.output == "bertline-docs_topic: version 1 is champion, instead of 2\n"


def test_the_pre_trained_model_is_called_encoder(checkout: Path, type_in: Type) -> None:
    with open_store(Artifacts(checkout), "bertline") as store:
        store.client.create_registered_model("bertline-encoder")
        store.client.create_model_version("bertline-encoder", "file:///nowhere")
    assert type_in("promote", "encoder", "--version", "1").output.startswith("bertline-encoder: version 1 is champion")


def test_promote_and_rollback_ask_for_no_experiment_and_make_none(checkout: Path, type_in: Type) -> None:
    """Models outlive the experiment of their runs; bringing one back must not wait for another."""
    with open_store(Artifacts(checkout), "bertline") as store:
        store.client.create_registered_model("bertline-docs_topic")
        for _ in range(2):
            store.client.create_model_version("bertline-docs_topic", "file:///nowhere")
        store.client.delete_experiment(store.experiment_id)
    for version in ("1", "2"):
        assert type_in("promote", "docs_topic", "--version", version).exit_code == 0
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("experiment: bertline", "experiment: another"))
    assert "experiment: another" in params.read_text()
    assert type_in("rollback", "docs_topic").output == "bertline-docs_topic: version 1 is champion, instead of 2\n"
    with open_store(Artifacts(checkout), "to look") as store:
        assert store.client.get_experiment_by_name("another") is None


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_store_that_is_not_there_is_said_and_not_made(
    command: str, type_in: Type, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(checkout.iterdir())
    for address in ("", "sqlite:///mistyped/folder/mlflow.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        wrong = type_in(command, "docs_topic")
        assert wrong.exit_code == 1
        assert "mlflow.db: no such store. `dvc repro` makes it; MLFLOW_TRACKING_URI names another." in wrong.stderr
        assert sorted(checkout.iterdir()) == before


def test_an_unknown_model_is_one_line(type_in: Type, checkout: Path) -> None:
    with open_store(Artifacts(checkout), "bertline"):
        pass
    wrong = type_in("rollback", "docs_topik")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("error: MLflow store sqlite:///")
    assert "no model named 'docs_topik'. Run the pipeline: `dvc repro`." in wrong.stderr
