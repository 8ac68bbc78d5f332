"""The baseline of a frozen encoder: what its vectors tell of a task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertline.base.config import Kind
from bertline.evaluation.linear import fit_linear
from bertline.evaluation.metrics import score
from bertline.finetuning import frozen
from bertline.finetuning.frozen import frozen_baseline
from bertline.finetuning.material import Material, load_material
from toy_tasks import RECIPE, toy_task, write_toy_task


def material(kind: Kind, pretrained: Path, folder: Path) -> Material:
    write_toy_task(folder, kind)
    return load_material(folder, pretrained, RECIPE)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_vectors_of_the_frozen_encoder_say_which_word_is_there(
    kind: Kind, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = material(kind, pretrained, tmp_path)
    predictions, chosen = frozen_baseline(found, RECIPE)
    task, rows = toy_task(kind)
    assert set(predictions) == {"test"}
    assert score(task, rows["test"], predictions["test"])[task.metric] > 0.8
    each = {}
    for pooling in ("cls", "mean"):
        monkeypatch.setattr(frozen, "POOLINGS", (pooling,))
        each[pooling] = frozen_baseline(found, RECIPE)[1]["validation"]
    assert each[chosen["pooling"]] == chosen["validation"] == max(each.values())


def test_vectors_are_as_long_as_counted_words_so_that_the_same_strengths_serve_both(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[float] = []

    def watched(task: Any, train: Any, *arguments: Any) -> Any:
        lengths.append(float(np.mean(np.sum(train**2, axis=1))))
        return fit_linear(task, train, *arguments)

    monkeypatch.setattr(frozen, "fit_linear", watched)
    frozen_baseline(material("classification", pretrained, tmp_path), RECIPE)
    assert lengths == pytest.approx([1.0, 1.0], rel=0.01)  # TF-IDF's rows have a length of 1


@pytest.mark.parametrize("kind", ["tagging", "span"])
def test_tags_and_spans_have_no_such_baseline(kind: Kind, pretrained: Path, tmp_path: Path) -> None:
    assert frozen_baseline(material(kind, pretrained, tmp_path), RECIPE) == ({}, {})


def test_the_same_rows_give_the_same_answers(pretrained: Path, tmp_path: Path) -> None:
    found = material("pair", pretrained, tmp_path)
    first, second = frozen_baseline(found, RECIPE), frozen_baseline(found, RECIPE)
    assert first == second
    assert score(found.data.task, found.data.validation_rows, first[0]["test"][:40])  # predictions have the usual form
