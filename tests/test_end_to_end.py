"""The main job, as a user runs it: `dvc repro` of the smoke preset in a fresh checkout, to registered models."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.files import read_json
from bertline.base.params import load_params
from checkout import commit, run_in

REST = ["evaluate@docs_qa", "report", "register"]
Smoke = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(smoke_run: Smoke, tmp_path: Path) -> Path:
    """A copy of the finished checkout, free to change."""
    assert smoke_run[1].returncode == 0, smoke_run[1].stdout + smoke_run[1].stderr
    return Path(shutil.copytree(smoke_run[0], tmp_path / "checkout", symlinks=True))


def ran(result: subprocess.CompletedProcess[str]) -> list[str]:
    """The stages a `dvc repro` ran."""
    lines = result.stdout.splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage ")]


def test_one_command_goes_from_text_to_registered_models(smoke_run: Smoke) -> None:
    checkout, result = smoke_run
    assert result.returncode == 0, result.stdout + result.stderr
    artifacts = Artifacts(checkout)
    for task in ("docs_topic", "docs_qa"):
        assert set(read_json(artifacts.metrics("evaluate", task))) >= {"pretrained", "from_random", "majority"}
        assert task in (artifacts.scoreboard / "scoreboard.md").read_text()
    assert (checkout / "mlflow.db").stat().st_size > 0
    assert "Traceback" not in result.stderr


def test_everything_written_stays_under_data_or_in_a_store_of_its_own(smoke_run: Smoke) -> None:
    checkout, _ = smoke_run
    status = run_in(checkout, "git", "status", "--porcelain").stdout.splitlines()
    assert all(line[3:].startswith(("data/reports/", "data/gates/", "dvc.lock")) for line in status), status


def test_a_second_repro_runs_no_stage(checkout: Path) -> None:
    again = run_in(checkout, "dvc", "repro")
    assert again.returncode == 0
    assert ran(again) == []
    assert "up to date" in run_in(checkout, "dvc", "status").stdout


@pytest.mark.slow
def test_another_learning_rate_of_one_task_re_runs_that_task_alone(checkout: Path) -> None:
    params = checkout / "params.yaml"
    text = params.read_text()
    before, task, after = text.partition("  docs_qa:\n")
    params.write_text(before + task + after.replace("learning_rate: 0.0005", "learning_rate: 0.0007", 1))
    assert load_params(params).finetune_for("docs_qa").learning_rate == 0.0007
    again = run_in(checkout, "dvc", "repro")
    assert ran(again) == ["finetune@docs_qa", "transfer@docs_qa", *REST], again.stdout


def test_what_the_pipeline_wrote_loads_in_transformers_without_a_warning(smoke_run: Smoke) -> None:
    checkout, _ = smoke_run
    code = """
import sys, warnings
warnings.simplefilter("error")
from pathlib import Path
from transformers import AutoModelForPreTraining, AutoModelForQuestionAnswering
from transformers import AutoModelForSequenceClassification, AutoTokenizer
models = Path("data/models")
for folder, kind in [("pretrained", AutoModelForPreTraining), ("finetuned/docs_qa", AutoModelForQuestionAnswering),
                     ("finetuned/docs_topic", AutoModelForSequenceClassification)]:
    model, info = kind.from_pretrained(models / folder, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(models / folder)
    assert not any(info.values()), info
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.model_max_length == {"finetuned/docs_topic": 32}.get(folder, 64), "as in training"
    assert tokenizer.unk_token_id not in tokenizer("Return the value of the parameter.")["input_ids"]
"""
    result = run_in(checkout, "python", "-c", code)
    assert result.returncode == 0, result.stderr
    assert "newly initialized" not in result.stderr
    assert "not used" not in result.stderr


def test_a_failed_gate_stops_the_run_and_says_why(checkout: Path) -> None:
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("min_documents: 50", "min_documents: 5000000"))
    failed = run_in(checkout, "dvc", "repro")
    assert failed.returncode != 0
    assert ran(failed) == ["gate_corpus"]
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("gate_corpus: error:")]
    assert "5000000" in line or "5,000,000" in line
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
def test_a_forced_repro_gives_the_same_hash_for_every_out(checkout: Path) -> None:
    before = (checkout / "dvc.lock").read_text()
    forced = run_in(checkout, "dvc", "repro", "--force")
    assert forced.returncode == 0, forced.stderr
    assert len(ran(forced)) == 19
    assert (checkout / "dvc.lock").read_text() == before


@pytest.mark.slow
def test_an_experiment_with_another_parameter_is_compared_by_dvc(checkout: Path) -> None:
    commit(checkout)
    experiment = run_in(checkout, "dvc", "exp", "run", "-S", "tasks.docs_qa.finetune.learning_rate=1e-3")
    assert experiment.returncode == 0, experiment.stderr
    difference = run_in(checkout, "dvc", "params", "diff").stdout
    assert "tasks.docs_qa.finetune.learning_rate" in difference
    assert run_in(checkout, "dvc", "metrics", "show").returncode == 0
    assert run_in(checkout, "dvc", "metrics", "diff").returncode == 0
    plots = run_in(checkout, "dvc", "plots", "show", "--out", "plots")
    assert plots.returncode == 0, plots.stderr
    page = (checkout / "plots" / "index.html").read_text()
    for plot in (
        "Pre-training MLM loss",
        "Pre-training NSP accuracy",
        "Pre-training learning rate",
        "fine-tuning loss",
        "test predictions",
    ):
        assert plot in page
