"""Stage transfer: a task from the encoder that another task has fine-tuned, beside the headline."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind, Params, Task, TaskData
from bertline.base.errors import BertlineError
from bertline.base.files import read_json, sha256_directory, sha256_file
from bertline.stages import evaluate, finetune, report, transfer
from stages.finetune_checkout import prepare_checkout
from toy_tasks import RECIPE

TASK, OTHER = "toy_pair", "toy_classification"


def params(other: Kind = "classification") -> Params:
    kinds: tuple[Kind, ...] = ("pair", other)
    tasks = {f"toy_{kind}": Task(kind, TaskData(train="x")) for kind in kinds}
    return Params(tasks=tasks, finetune=replace(RECIPE, epochs=2), transfer={TASK: f"toy_{other}"})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """A checkout in which both tasks are fine-tuned, and one of them from the other too."""
    artifacts = prepare_checkout(tmp_path_factory.mktemp("transfer"))
    for task in (TASK, OTHER):
        finetune.run(params(), artifacts, task)
    transfer.run(params(), artifacts, TASK)
    return artifacts


def answers(artifacts: Artifacts, stage: str, start: str) -> list[str]:
    """A hash of what each seed of a start answers to the test rows."""
    found = sorted((artifacts.predictions(TASK, stage) / "test").glob(f"{start}-*.jsonl"))
    return [sha256_file(path) for path in found]


def test_every_seed_of_the_headline_runs_from_the_other_tasks_encoder(done: Artifacts) -> None:
    headline, after = (read_json(done.metrics(stage, TASK)) for stage in ("finetune", "transfer"))
    assert after["after"] == OTHER
    assert list(after["transfer"]["seeds"]) == list(headline["pretrained"]["seeds"]) == ["0", "1"]
    assert after["transfer"]["train_loss"] != headline["pretrained"]["train_loss"]
    assert not set(answers(done, "transfer", "transfer")) & set(answers(done, "finetune", "pretrained"))
    curve = read_json(done.curve("transfer", TASK))
    kept = after["transfer"]["seeds"][str(after["transfer"]["kept_seed"])]
    assert curve[-1]["transfer_validation_loss"] == kept["validation_loss"]


def test_from_an_encoder_that_is_the_pretrained_one_it_answers_as_the_headline_does(
    done: Artifacts, tmp_path: Path
) -> None:
    artifacts = Artifacts(Path(shutil.copytree(done.root, tmp_path / "copy")))
    shutil.rmtree(artifacts.finetuned(OTHER))
    shutil.copytree(artifacts.pretrained, artifacts.finetuned(OTHER))
    transfer.run(params(), artifacts, TASK)
    assert answers(artifacts, "transfer", "transfer") == answers(artifacts, "finetune", "pretrained")


def test_it_stands_in_the_scoreboard_and_changes_nothing_else(done: Artifacts, tmp_path: Path) -> None:
    artifacts = Artifacts(Path(shutil.copytree(done.root, tmp_path / "copy")))
    kept = [sha256_directory(path) for path in (artifacts.finetuned(TASK), artifacts.predictions(TASK, "finetune"))]
    evaluate.run(params(), artifacts, OTHER)
    scores = evaluate.run(params(), artifacts, TASK)
    assert list(scores["seeds"]["transfer"]) == ["0", "1"]
    assert scores["kept"]["transfer"] == read_json(artifacts.metrics("transfer", TASK))["transfer"]["kept_seed"]
    assert set(scores["intervals"]) == {"pretrained", "from_random", "transfer", "features"}
    board = report.run(params(), artifacts)["tasks"]
    assert board[TASK]["transfer"] == scores["transfer"]["accuracy"]
    assert "transfer" not in board[OTHER]
    text = (artifacts.scoreboard / "scoreboard.md").read_text()
    assert "| after another task | frozen features |" in text
    assert "after another task, training" in (artifacts.scoreboard / "report.html").read_text()  # its curve
    found = [sha256_directory(path) for path in (artifacts.finetuned(TASK), artifacts.predictions(TASK, "finetune"))]
    assert found == kept


def test_a_transfer_taken_out_of_params_is_not_scored(done: Artifacts, tmp_path: Path) -> None:
    artifacts = Artifacts(Path(shutil.copytree(done.root, tmp_path / "copy")))
    scores = evaluate.run(replace(params(), transfer={}), artifacts, TASK)
    assert "transfer" not in scores
    assert artifacts.predictions(TASK, "transfer").is_dir()


def test_an_encoder_without_a_pooler_will_do(tmp_path: Path) -> None:
    artifacts = prepare_checkout(tmp_path)
    setting = params("tagging")
    finetune.run(setting, artifacts, "toy_tagging")
    assert transfer.run(setting, artifacts, TASK)["after"] == "toy_tagging"


def test_a_missing_model_is_named_with_the_way_to_it(tmp_path: Path) -> None:
    with pytest.raises(BertlineError, match=rf"no fine-tuned model of '{OTHER}'\. Make it with `dvc repro finetune@"):
        transfer.run(params(), prepare_checkout(tmp_path), TASK)


def test_a_task_without_an_entry_is_one_clear_line(done: Artifacts) -> None:
    with pytest.raises(BertlineError, match=rf"key transfer: no entry for '{OTHER}'\. Name the task .*`transfer: "):
        transfer.run(params(), done, OTHER)
