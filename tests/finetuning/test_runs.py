"""The kept runs of a task."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bertline.base.files import sha256_directory
from bertline.finetuning.material import Encoded, Material
from bertline.finetuning.runs import Runs
from toy_tasks import SHAPE, SHORT, Prepare


def test_a_run_that_kept_no_model_is_made_again_where_one_is_wanted(
    prepare: Prepare, pretrained: Path, tmp_path: Path
) -> None:
    """As a trial of a search is, whose options become those of the headline after a kill."""
    material = Material(pretrained, SHAPE, prepare("classification", train_rows=16), {}, "")
    with Runs(tmp_path / "task") as runs:
        trial = runs.train(material, SHORT, encoder=None)
        assert not trial.model.exists()
        assert runs.train(material, SHORT, encoder=None, keep_model=True).model.is_dir()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["history.json", "test.jsonl", "model/model.safetensors", "model/config.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 9), _flip], ids=["gone", "cut", "bit"])
def test_a_kept_run_that_was_damaged_is_made_again(
    file: str,
    damage: Callable[[Path], None],
    prepare: Prepare,
    pretrained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As checkpoints are: of a bit that fell over, nothing else would ever tell."""
    data = prepare("classification", train_rows=16)
    test = {"test": Encoded(data.validation_rows, data.validation)}
    material = Material(pretrained, SHAPE, data, test, "")
    with Runs(tmp_path / "task") as runs:
        made = runs.train(material, SHORT, encoder=None, keep_model=True).directory
        before = sha256_directory(made)
        damage(made / file)
        assert runs.train(material, SHORT, encoder=None, keep_model=True).directory == made
        assert f"{made}: is not as it was written; this run is made again" in capsys.readouterr().err
        assert sha256_directory(made) == before
        runs.train(material, SHORT, encoder=None, keep_model=True)
        assert "made again" not in capsys.readouterr().err
