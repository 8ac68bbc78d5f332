"""What the runs of a task read: rows and an encoder that belong together, or a refusal before any training."""

from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.finetuning.material import load_checkpoint, load_material
from toy_tasks import RECIPE, SHAPE, write_pretrained, write_toy_task


@pytest.mark.parametrize(("kind", "two"), [("pair", True), ("span", True), ("classification", False)])
def test_an_encoder_with_one_segment_is_refused_for_rows_of_two_texts(kind: Kind, two: bool, tmp_path: Path) -> None:
    write_toy_task(tmp_path / "task", kind)
    write_pretrained(tmp_path / "bert", shape=replace(SHAPE, segments=1))
    for load in (load_material, load_checkpoint):
        if two:
            with pytest.raises(BertlineError, match=f"bert: it has one segment embedding, and the rows of toy_{kind}"):
                load(tmp_path / "task", tmp_path / "bert", RECIPE)
        else:
            assert load(tmp_path / "task", tmp_path / "bert", RECIPE).shape.segments == 1
