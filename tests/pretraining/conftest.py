"""The two token stores that the trainers of interrupted_run train and are measured on."""

from pathlib import Path

import pytest

from pretraining.tiny_corpus import topic_store


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    topic_store(folder / "train", documents=60, seed=0)
    topic_store(folder / "validation", documents=16, seed=1)
    return folder
