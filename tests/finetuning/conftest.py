"""A tiny pre-trained encoder, and toy tasks made ready for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertline.base.config import Finetune, Kind
from bertline.finetuning.data import FinetuningData, prepare_data
from bertline.tokens.tokenizer import load_tokenizer
from toy_tasks import RECIPE, toy_task, write_pretrained

SHORT = replace(RECIPE, epochs=1, dropout=0.1, precision="bf16")
Prepare = Callable[..., FinetuningData]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pretrained")
    write_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def prepare(pretrained: Path) -> Prepare:
    tokenizer = load_tokenizer(pretrained)

    def make(kind: Kind, config: Finetune = SHORT, train_rows: int = 64) -> FinetuningData:
        info, rows = toy_task(kind)
        return prepare_data(info, rows["train"][:train_rows], rows["validation"], tokenizer, config)

    return make
