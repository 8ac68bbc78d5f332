"""A small checkout to type commands in, and models that answer."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind
from bertline.base.params import parse_params, read_yaml, write_params
from bertline.cli import app
from bertline.inference.heads import build_model
from bertline.inference.settings import InferenceSettings
from bertline.model.bert import initialize
from bertline.model.hf import save_model
from bertline.tokens.tokenizer import copy_tokenizer
from checkout import ROOT
from cli.typed import Type
from toy_tasks import SHAPE, toy_task, write_pretrained


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with dvc.yaml, the presets and the quickstart's params.yaml; the current directory."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "pipelines" / "presets", folder / "pipelines" / "presets")
    shutil.copy(ROOT / "dvc.yaml", folder)
    shutil.copy(ROOT / "requirements.lock", folder)
    params = parse_params(read_yaml(folder / "pipelines" / "presets" / "quickstart.yaml"), "quickstart")
    write_params(folder / "params.yaml", params, "for tests")
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
            artifacts.pretrained.mkdir(parents=True)
            write_pretrained(artifacts.pretrained)
        directory = artifacts.finetuned(info.name)
        directory.mkdir(parents=True)
        model = build_model(info, replace(SHAPE))
        initialize(model, seed=3)
        save_model(model, directory, labels=info.labels)
        copy_tokenizer(artifacts.pretrained, directory)
        info.write(directory)
        InferenceSettings(max_length=32, stride=8).write(directory)
        return info.name

    return make
