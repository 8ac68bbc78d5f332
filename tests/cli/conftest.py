"""A small checkout to type commands in, and models that answer."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind
from bertline.base.params import write_params
from bertline.cli import app
from checkout import ROOT, preset
from cli.typed import Type
from toy_tasks import toy_task, write_finetuned, write_pretrained


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with dvc.yaml, the presets and the quickstart's params.yaml; the current directory."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "pipelines" / "presets", folder / "pipelines" / "presets")
    shutil.copy(ROOT / "dvc.yaml", folder)
    shutil.copy(ROOT / "requirements.lock", folder)
    write_params(folder / "params.yaml", preset("quickstart"), "for tests")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def type_in(checkout: Path) -> Type:
    """Type a command, in the checkout."""

    def run(*arguments: str, stdin: str | bytes = "") -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return run


@pytest.fixture
def model_of(checkout: Path) -> Callable[[Kind], str]:
    """Put an untrained model of a kind where `predict` looks for it, and give the name of its task."""

    def make(kind: Kind) -> str:
        info, _ = toy_task(kind)
        artifacts = Artifacts(checkout)
        if not artifacts.pretrained.exists():
            write_pretrained(artifacts.pretrained)
        write_finetuned(artifacts.finetuned(info.name), info, artifacts.pretrained)
        return info.name

    return make
