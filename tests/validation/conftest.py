"""Fixtures of the gates: clean artefacts of every gate, made once and copied for each test."""

import shutil
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from gate_data import ROWS, make_documents, make_pretraining, make_task, make_tokens


@pytest.fixture(scope="session")
def clean_artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Gate -> a checkout with the artefacts it looks at, all sound."""
    checkouts = {gate: tmp_path_factory.mktemp(gate) for gate in ("corpus", "tokens", "pretrain", "task")}
    make_documents(Artifacts(checkouts["corpus"]))
    make_tokens(Artifacts(checkouts["tokens"]))
    make_pretraining(Artifacts(checkouts["pretrain"]))
    for kind in ROWS:
        make_task(Artifacts(checkouts["task"]), kind)
    return checkouts


@pytest.fixture
def copy_of(clean_artifacts: dict[str, Path], tmp_path: Path):
    """A function: gate -> a copy of its clean artefacts, to be changed."""

    def copy(gate: str) -> Artifacts:
        shutil.copytree(clean_artifacts[gate], tmp_path / gate)
        return Artifacts(tmp_path / gate)

    return copy
