"""Toy tasks made ready for the tiny pre-trained encoder."""

from pathlib import Path

import pytest

from bertline.base.config import Finetune, Kind
from bertline.finetuning.data import FinetuningData, prepare_data
from bertline.tokens.tokenizer import load_tokenizer
from toy_tasks import SHORT, Prepare, toy_task


@pytest.fixture(scope="session")
def prepare(pretrained: Path) -> Prepare:
    tokenizer = load_tokenizer(pretrained)

    def make(kind: Kind, config: Finetune = SHORT, train_rows: int = 64) -> FinetuningData:
        info, rows = toy_task(kind)
        return prepare_data(info, rows["train"][:train_rows], rows["validation"], tokenizer, config)

    return make
