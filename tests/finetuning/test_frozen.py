from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel

from bertline.base.config import Kind
from bertline.evaluation.metrics import score
from bertline.finetuning.frozen import _vectors, frozen_baseline
from bertline.finetuning.material import Material, load_material
from bertline.inference.heads import build_model
from bertline.model.hf import load_encoder
from toy_tasks import RECIPE, write_toy_task


def material(kind: Kind, pretrained: Path, folder: Path) -> Material:
    write_toy_task(folder, kind)
    return load_material(folder, pretrained, RECIPE)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_vectors_of_the_frozen_encoder_say_which_word_is_there(kind: Kind, pretrained: Path, tmp_path: Path) -> None:
    found = material(kind, pretrained, tmp_path)
    predictions, chosen = frozen_baseline(found, RECIPE)
    task, rows = found.data.task, found.data.validation_rows
    assert set(predictions) == {"test"}
    assert len(predictions["test"]) == task.rows["test"]
    assert chosen["pooling"] in ("cls", "mean")
    assert chosen["validation"] > 0.8
    assert len(rows) == 40


@pytest.mark.parametrize("kind", ["tagging", "span"])
def test_tags_and_spans_have_no_such_baseline(kind: Kind, pretrained: Path, tmp_path: Path) -> None:
    assert frozen_baseline(material(kind, pretrained, tmp_path), RECIPE) == ({}, {})


def test_vectors_are_those_of_transformers(pretrained: Path, tmp_path: Path) -> None:
    found = material("pair", pretrained, tmp_path)
    model = build_model(found.data.task, found.shape)
    load_encoder(model, pretrained)
    vectors = _vectors(model.bert.eval(), found.data.validation)
    theirs = BertModel.from_pretrained(pretrained).eval()
    for place in range(5):
        example = found.data.validation.examples[place]
        ids = torch.tensor([example.ids.tolist()])
        segments = (torch.arange(ids.shape[1]) >= example.second).long()[None]
        with torch.inference_mode():
            hidden = theirs(ids, token_type_ids=segments).last_hidden_state[0]
        np.testing.assert_allclose(vectors["cls"][place], hidden[0], atol=1e-4)
        np.testing.assert_allclose(vectors["mean"][place], hidden.mean(dim=0), atol=1e-4)


def test_the_same_rows_give_the_same_answers(pretrained: Path, tmp_path: Path) -> None:
    found = material("pair", pretrained, tmp_path)
    first, second = frozen_baseline(found, RECIPE), frozen_baseline(found, RECIPE)
    assert first == second
    assert score(found.data.task, found.data.validation_rows, first[0]["test"][:40])  # predictions have the usual form
