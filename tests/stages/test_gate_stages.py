"""The gates as DVC runs them: `python -m bertline.stages.gate_…`, exit status, one line, report or none."""

from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.params import write_params
from bertline.base.stage import execute
from bertline.stages import gate_corpus, gate_pretrain, gate_task, gate_tokens
from gate_data import change_json, change_rows, make_documents, make_pretraining, make_task, make_tokens, small_params

STAGES = {"gate_corpus": gate_corpus.run, "gate_tokens": gate_tokens.run, "gate_pretrain": gate_pretrain.run}


@pytest.fixture
def checkout(tmp_path: Path) -> Artifacts:
    artifacts = Artifacts(tmp_path)
    write_params(artifacts.params, small_params(), "Small.")
    return artifacts


@pytest.mark.parametrize(
    ("name", "make"),
    [("gate_corpus", make_documents), ("gate_tokens", make_tokens), ("gate_pretrain", make_pretraining)],
)
def test_a_gate_passes_sound_artefacts_and_reports(name: str, make, checkout, capsys) -> None:
    make(checkout)
    assert execute(name, STAGES[name], checkout.root) == 0
    assert capsys.readouterr().out.startswith(f"{name}: passed ")
    assert checkout.gate_report(name).exists()
    assert (checkout.gate(name) / "data_docs" / "index.html").exists()


@pytest.mark.parametrize("name", STAGES)
def test_a_gate_without_its_artefacts_says_which_file_is_missing(name: str, checkout, capsys) -> None:
    assert execute(name, STAGES[name], checkout.root) == 1
    error = capsys.readouterr().err
    assert "file not found" in error and "internal error" not in error
    assert error.count("\n") == 1


def test_a_failed_gate_ends_with_one_line_and_status_1(checkout, capsys) -> None:
    make_task(checkout, "tagging")
    assert execute("gate_task", gate_task.run, checkout.root, "tagging") == 0
    change_rows(checkout, "tagging", "test", lambda rows: rows[0].update(tags=["I-PER"] * 6))
    assert execute("gate_task", gate_task.run, checkout.root, "tagging") == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"gate_task@tagging: error: {checkout.task('tagging')}: expectation tags_are_in_order failed"
    )
    assert error.count("\n") == 1
    assert not checkout.gate_report("gate_task/tagging").exists()


def test_a_task_of_no_known_kind_is_told(checkout, capsys) -> None:
    make_task(checkout, "pair")
    change_json(checkout.task("pair") / "task.json", lambda info: info.update(kind="ranking"))
    assert execute("gate_task", gate_task.run, checkout.root, "pair") == 1
    assert "task.json: names no known kind of task" in capsys.readouterr().err


def test_thresholds_come_from_params(checkout, capsys) -> None:
    make_pretraining(checkout)
    params = small_params()
    strict = replace(params, gate_pretrain=replace(params.gate_pretrain, min_gain_over_unigram=3.0))
    write_params(checkout.params, strict, "Strict.")
    assert execute("gate_pretrain", gate_pretrain.run, checkout.root) == 1
    assert "model_beats_unigrams failed: gain_over_unigram must be at least 3, found 2.1" in capsys.readouterr().err
