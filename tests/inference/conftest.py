"""Model directories as stage finetune writes them, with weights that give different texts different answers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.config import Kind
from bertline.finetuning.data import prepare_data
from bertline.finetuning.save import save_finetuned
from bertline.inference.heads import build_model
from bertline.tokens.tokenizer import load_tokenizer
from toy_tasks import RECIPE, SHAPE, randomize, toy_task


@pytest.fixture(scope="session")
def model_directory(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Path]:
    """The directory of an untrained model of a kind; made once."""
    made: dict[Kind, Path] = {}

    def make(kind: Kind) -> Path:
        if kind not in made:
            info, rows = toy_task(kind)
            model = build_model(info, SHAPE)
            randomize(model, seed=3)
            config = replace(RECIPE, max_length=24, stride=6)
            data = prepare_data(info, rows["train"], rows["validation"], load_tokenizer(pretrained), config)
            made[kind] = tmp_path_factory.mktemp("models") / kind
            save_finetuned(made[kind], model, data, data.settings, tokenizer_source=pretrained)
        return made[kind]

    return make
