"""The kept runs of a task."""

from pathlib import Path

from bertline.finetuning.material import Material
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
