"""Fixtures of the registry: copies of a checkout before register, and one whose models are registered."""

import shutil
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.stages.register import run
from registry.pipeline_state import make_checkout, some_params


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store of the user's."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def params() -> Params:
    return some_params()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Artifacts:
    """The checkout before register; copy it before you change it."""
    return make_checkout(tmp_path_factory.mktemp("template"), params)


@pytest.fixture
def artifacts(template: Artifacts, tmp_path: Path) -> Artifacts:
    shutil.copytree(template.root, tmp_path / "checkout")
    return Artifacts(tmp_path / "checkout")


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory, template: Artifacts, params: Params) -> Artifacts:
    """A checkout after register: a champion of every kind. Not to be changed."""
    root = tmp_path_factory.mktemp("registered") / "checkout"
    shutil.copytree(template.root, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        run(params, Artifacts(root))
    return Artifacts(root)
