"""The gates as DVC runs them: `python -m bertline.stages.gate_…`, exit status, one line, report or none."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.params import write_params
from bertline.base.stage import execute
from bertline.stages import gate_corpus, gate_pretrain, gate_task, gate_tokens
from clean_run import PARAMS
from faults import change_json, tasks

STAGES = {"gate_corpus": gate_corpus.run, "gate_tokens": gate_tokens.run, "gate_pretrain": gate_pretrain.run}


@pytest.mark.parametrize("name", STAGES)
def test_a_gate_without_its_artefacts_says_which_file_is_missing(name: str, tmp_path: Path, capsys) -> None:
    write_params(tmp_path / "params.yaml", PARAMS, "Nothing else is there.")
    assert execute(name, STAGES[name], tmp_path) == 1
    error = capsys.readouterr().err
    assert "file not found" in error and "internal error" not in error
    assert error.count("\n") == 1


def test_a_failed_gate_ends_with_one_line_and_takes_its_report_away(clean_copy: Artifacts, capsys) -> None:
    assert execute("gate_task", gate_task.run, clean_copy.root, "names") == 0
    assert capsys.readouterr().out.startswith("gate_task@names: passed ")
    assert clean_copy.gate_report("gate_task/names").exists()
    assert (clean_copy.gate("gate_task/names") / "data_docs" / "index.html").exists()
    tasks.row("test", tags=["I-TYPE"])(clean_copy, "names")
    assert execute("gate_task", gate_task.run, clean_copy.root, "names") == 1
    error = capsys.readouterr().err
    place = clean_copy.task("names")
    assert error.startswith(f"gate_task@names: error: {place}: expectation tags_are_in_order failed")
    assert error.count("\n") == 1
    assert not clean_copy.gate_report("gate_task/names").exists()


def test_a_task_of_no_known_kind_is_told(clean_copy: Artifacts, capsys) -> None:
    change_json(clean_copy.task("pairs") / "task.json", lambda info: info.update(kind="ranking"))
    assert execute("gate_task", gate_task.run, clean_copy.root, "pairs") == 1
    assert "task.json: names no known kind of task" in capsys.readouterr().err


def test_thresholds_come_from_params(clean_copy: Artifacts, capsys) -> None:
    strict = replace(PARAMS, gate_pretrain=replace(PARAMS.gate_pretrain, min_gain_over_unigram=3.0))
    write_params(clean_copy.params, strict, "Strict.")
    assert execute("gate_pretrain", gate_pretrain.run, clean_copy.root) == 1
    said = capsys.readouterr().err
    assert re.search(r"model_beats_unigrams failed: gain_over_unigram must be at least 3, found 0\.", said), said
