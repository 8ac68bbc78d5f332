from pathlib import Path

import pytest

from bertline.base.config import Kind
from bertline.evaluation.metrics import score
from bertline.finetuning.frozen import frozen_baseline
from bertline.finetuning.material import Material, load_material
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


def test_the_same_rows_give_the_same_answers(pretrained: Path, tmp_path: Path) -> None:
    found = material("pair", pretrained, tmp_path)
    first, second = frozen_baseline(found, RECIPE), frozen_baseline(found, RECIPE)
    assert first == second
    assert score(found.data.task, found.data.validation_rows, first[0]["test"][:40])  # predictions have the usual form
