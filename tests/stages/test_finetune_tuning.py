"""What stands beside the headline: options tuned for the task, and another checkpoint under the same protocol."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Finetune, Params, Task, TaskData
from bertline.base.errors import BertlineError
from bertline.base.files import read_json, sha256_directory
from bertline.base.tune_config import Tune
from bertline.finetuning import runs
from bertline.stages import evaluate, finetune, report
from stages.finetune_checkout import prepare_checkout
from toy_tasks import RECIPE, SHAPE, VOCAB, write_pretrained

ONE_EPOCH = replace(RECIPE, epochs=1)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return prepare_checkout(tmp_path)


def params(recipe: Finetune) -> Params:
    return Params(tasks={"toy_classification": Task("classification", TaskData(train="x"))}, finetune=recipe)


def trained(monkeypatch: pytest.MonkeyPatch) -> list[Finetune]:
    """The recipes of the runs that are trained from now on."""
    recipes: list[Finetune] = []
    real = runs.finetune
    monkeypatch.setattr(runs, "finetune", lambda *a, **b: recipes.append(a[2]) or real(*a, **b))
    return recipes


def test_a_learning_rate_is_chosen_on_validation_rows_and_run_with_all_seeds(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = trained(monkeypatch)
    rates = [1e-5, RECIPE.learning_rate, 1e-2]
    setting = params(replace(ONE_EPOCH, learning_rate=RECIPE.learning_rate, tune=Tune(learning_rates=rates)))
    metrics = finetune.run(setting, artifacts, "toy_classification")
    trials = metrics["tuned"]["trials"]
    assert [trial["learning_rate"] for trial in trials] == rates
    best = max(trials, key=lambda trial: trial["score"])["learning_rate"]
    assert best != 1e-5
    assert metrics["tuned"]["recipe"]["learning_rate"] == best
    assert list(metrics["tuned"]["seeds"]) == ["0", "1"]
    # The headline's own runs serve as trials and seeds: nothing is trained twice.
    wanted = {(0, rate) for rate in rates} | {(1, best), (1, RECIPE.learning_rate)}
    assert len(recipes) == len(wanted) + 2  # and two from random weights
    # It stands in the scoreboard beside the headline, whose model is the one that is kept.
    evaluated = evaluate.run(setting, artifacts, "toy_classification")
    assert set(evaluated["seeds"]["tuned"]) == {"0", "1"}
    board = report.run(setting, artifacts)["tasks"]["toy_classification"]
    assert board["tuned"] == evaluated["tuned"]["accuracy"]
    header = next(line for line in (artifacts.scoreboard / "scoreboard.md").read_text().splitlines() if "tuned" in line)
    assert "| tuned | frozen features | TF-IDF | majority |" in header


def test_the_labels_of_the_test_rows_choose_no_learning_rate(artifacts: Artifacts) -> None:
    setting = params(replace(ONE_EPOCH, tune=Tune(learning_rates=[1e-4, 1e-2])))
    first = finetune.run(setting, artifacts, "toy_classification")
    path = artifacts.task("toy_classification") / "test.jsonl"
    for colour in ("red", "green", "white"):
        path.write_text(path.read_text().replace(f'"label": "{colour}"', '"label": "blue"'))
    assert finetune.run(setting, artifacts, "toy_classification") == first


def test_optuna_searches_the_same_way_each_time(artifacts: Artifacts) -> None:
    setting = params(replace(RECIPE, epochs=2, seeds=1, tune=Tune(optuna_trials=3)))
    first = finetune.run(setting, artifacts, "toy_classification")["tuned"]
    kept = sha256_directory(artifacts.predictions("toy_classification"))
    assert len(first["trials"]) == 3
    assert all(set(trial) == {"learning_rate", "epochs", "batch_size", "dropout", "score"} for trial in first["trials"])
    best = max(first["trials"], key=lambda trial: trial["score"])
    assert first["recipe"] == {name: best[name] for name in first["recipe"]}
    assert len({trial["learning_rate"] for trial in first["trials"]}) == 3
    assert finetune.run(setting, artifacts, "toy_classification")["tuned"] == first
    assert sha256_directory(artifacts.predictions("toy_classification")) == kept


def test_without_optuna_the_way_to_it_is_said(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = trained(monkeypatch)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BertlineError, match=r"Optuna is not installed\. Install it with `pip install optuna`"):
        finetune.run(params(replace(ONE_EPOCH, tune=Tune(optuna_trials=1))), artifacts, "toy_classification")
    assert not recipes  # before anything is trained


def test_optuna_is_not_imported_unless_it_is_asked_for() -> None:
    code = "import sys, bertline.stages.finetune; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_another_checkpoint_runs_under_the_same_protocol_with_its_own_tokenizer(artifacts: Artifacts) -> None:
    other = artifacts.data / "baselines" / "other"
    vocab = [*VOCAB[:5], *reversed(VOCAB[5:])]
    write_pretrained(other, seed=5, shape=replace(SHAPE, layers=1), vocab=vocab)
    (other / "tokenizer.json").unlink()  # as older checkpoints are
    setting = params(replace(RECIPE, baseline_checkpoint="data/baselines/other"))
    metrics = finetune.run(setting, artifacts, "toy_classification")
    assert list(metrics["checkpoint"]["seeds"]) == ["0", "1"]
    assert metrics["checkpoint"]["train_loss"] != metrics["pretrained"]["train_loss"]
    evaluated = evaluate.run(setting, artifacts, "toy_classification")
    assert evaluated["checkpoint"]["accuracy"] > 0.9
    curve = read_json(artifacts.curve("finetune", "toy_classification"))
    assert curve[-1]["checkpoint_validation_loss"] > 0


@pytest.mark.parametrize("lacking", [{"max_positions": 16}, {"layers": 1}])
def test_a_checkpoint_that_is_too_small_for_the_recipe_is_refused_before_anything_is_trained(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch, lacking: dict[str, int]
) -> None:
    recipes = trained(monkeypatch)
    write_pretrained(artifacts.data / "baselines" / "small", shape=replace(SHAPE, **lacking))
    setting = params(replace(ONE_EPOCH, frozen_layers=2, baseline_checkpoint="data/baselines/small"))
    with pytest.raises(BertlineError, match=r"the encoder has (16 positions|1 layers)") as refused:
        finetune.run(setting, artifacts, "toy_classification")
    assert not recipes and "data/baselines/small" in str(refused.value)
