"""What the stages left behind, read from dvc.yaml, params.yaml and their files."""

import json
from dataclasses import replace

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import write_json
from bertline.registry.records import StageRecord, flatten_numbers, flatten_params, read_stages


@pytest.fixture
def records(artifacts: Artifacts, params: Params) -> dict[str, StageRecord]:
    return {record.title: record for record in read_stages(params, artifacts, until="register")}


def test_every_stage_of_the_dag_but_the_last_has_a_record(records: dict[str, StageRecord], params: Params) -> None:
    once = ["download", "documents", "gate_corpus", "vocab", "encode", "gate_tokens", "pretrain", "gate_pretrain"]
    per_task = [f"{name}@{task}" for name in ("task", "gate_task", "finetune", "evaluate") for task in params.tasks]
    assert list(records) == [*once, *per_task, "report"]


def test_a_stage_has_the_options_that_dvc_ties_to_it(records: dict[str, StageRecord]) -> None:
    assert records["vocab"].params == {"vocab.size": "8192", "vocab.lowercase": "True", "vocab.reuse": ""}
    assert records["download"].params["download.sources.0.address"] == "python-docs:"
    assert records["task@topic"].params["tasks.topic.kind"] == "classification"
    assert not any(key.startswith("finetune") for key in records["task@topic"].params)


def test_finetune_shows_what_holds_for_its_task(records: dict[str, StageRecord]) -> None:
    assert records["finetune@topic"].params["finetune.learning_rate"] == "0.001"
    assert records["finetune@pairs"].params["finetune.learning_rate"] == "0.0005"


def test_a_stage_of_some_tasks_has_records_of_these_alone(artifacts: Artifacts, params: Params) -> None:
    some = replace(params, transfer={"pairs": "topic"})
    write_json(artifacts.metrics("transfer", "pairs"), {"after": "topic", "transfer": {"kept_seed": 1}})
    records = {record.title: record for record in read_stages(some, artifacts, until="register")}
    assert [title for title in records if title.startswith("transfer")] == ["transfer@pairs"]
    assert records["transfer@pairs"].params["transfer.pairs"] == "topic"
    assert records["transfer@pairs"].params["finetune.learning_rate"] == "0.0005"
    assert records["transfer@pairs"].metrics == {"transfer.kept_seed": 1.0}


def test_metrics_curves_and_gates_come_from_the_files(records: dict[str, StageRecord]) -> None:
    assert records["pretrain"].metrics["validation.nsp_accuracy"] == 0.75
    assert ("curve/mlm_loss", 40, 4.0) in records["pretrain"].curves
    assert records["evaluate@qa"].metrics["pretrained.f1"] == 0.8
    assert records["gate_corpus"].metrics == {"report.passed": 1.0, "report.expectations": 3.0}
    assert [path.name for path in records["evaluate@qa"].files] == ["metrics.json", "confusion.csv", "analysis.json"]
    assert records["evaluate@topic"].metrics["analysis.calibration.expected_calibration_error"] == 0.125


def test_time_and_memory_are_known_where_the_stage_ran(records: dict[str, StageRecord]) -> None:
    assert (records["pretrain"].seconds, records["pretrain"].peak_bytes) == (12.5, 1000)
    assert records["pretrain"].ended is not None
    assert records["vocab"].seconds is None


def test_a_broken_metrics_file_is_named(artifacts: Artifacts, params: Params) -> None:
    artifacts.metrics("pretrain").write_text("{")
    with pytest.raises(BertlineError, match=r"reports/pretrain/metrics\.json: not valid JSON"):
        read_stages(params, artifacts, until="register")


def test_options_and_numbers_become_flat_and_trackable() -> None:
    assert flatten_params({"a": [{"b": 1}], "c$": ""}) == {"a.0.b": "1", "c_": ""}
    numbers = {"a": {"b": 1, "c": True, "d": "text", "e": [1]}, "wörd (x)": 0.5}
    assert flatten_numbers(numbers) == {"a.b": 1.0, "a.c": 1.0, "wörd _x_": 0.5}


def test_stages_without_files_are_records_too(artifacts: Artifacts, params: Params) -> None:
    write_json(artifacts.metrics("vocab"), {"size": 64})
    records = {record.title: record for record in read_stages(params, artifacts, until="register")}
    assert records["vocab"].metrics == {"size": 64.0}
    assert records["download"].metrics == {}


def test_of_a_list_the_rows_that_have_a_step_are_a_curve(artifacts: Artifacts, params: Params) -> None:
    rows = [{"step": 5, "mlm_loss": 3, "text": "x"}, {"mlm_loss": 2.0}, "no row", {"step": 10, "mlm_loss": None}]
    artifacts.curve("pretrain").write_text(json.dumps(rows))
    (pretrain,) = [one for one in read_stages(params, artifacts, until="register") if one.title == "pretrain"]
    assert pretrain.curves == [("curve/mlm_loss", 5, 3.0)]
