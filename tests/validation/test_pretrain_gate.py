"""gate_pretrain: its thresholds, runs without NSP, and what it says; the faults it finds are in test_faults.py."""

from dataclasses import replace

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import SecondPhase
from bertline.base.errors import BertlineError
from bertline.base.files import read_json
from bertline.stages import gate_pretrain
from clean_run import PARAMS
from faults import Row, change_json


def test_accuracy_is_measured_against_the_commonest_token(clean_copy: Artifacts) -> None:
    metrics = gate_pretrain.run(PARAMS, clean_copy)
    encode, pretrain = (read_json(clean_copy.metrics(stage)) for stage in ("encode", "pretrain"))
    gain = pretrain["validation"]["mlm_accuracy"] - encode["unigram_accuracy"]
    assert metrics["accuracy_over_unigram"] == pytest.approx(gain, abs=1e-6)
    strict = replace(PARAMS, gate_pretrain=replace(PARAMS.gate_pretrain, min_accuracy_over_unigram=0.5))
    with pytest.raises(BertlineError, match=r"mlm_beats_the_commonest_token.*gate_pretrain"):
        gate_pretrain.run(strict, clean_copy)


def test_without_nsp_its_expectations_are_left_out(clean_copy: Artifacts) -> None:
    def without(points: list[Row]) -> None:
        for point in points:
            del point["nsp_loss"], point["nsp_accuracy"]

    change_json(clean_copy.curve("pretrain"), without)
    with pytest.raises(BertlineError, match="curve_is_finite"):
        gate_pretrain.run(PARAMS, clean_copy)
    gate_pretrain.run(replace(PARAMS, pretrain=replace(PARAMS.pretrain, objective="mlm")), clean_copy)
    names = [entry["name"] for entry in read_json(clean_copy.gate_report("gate_pretrain"))["expectations"]]
    assert not any("nsp" in name for name in names)


def test_a_curve_that_is_no_list_is_told(clean_copy: Artifacts) -> None:
    change_json(clean_copy.curve("pretrain"), lambda points: {"points": points})
    with pytest.raises(BertlineError, match="not a list of points"):
        gate_pretrain.run(PARAMS, clean_copy)


def test_longer_sequences_may_begin_with_a_higher_loss_and_must_not_end_with_one(clean_copy: Artifacts) -> None:
    phase = SecondPhase(share=0.4, sequence_length=64, batch_size=16)
    params = replace(PARAMS, pretrain=replace(PARAMS.pretrain, second_phase=phase))

    def jump(points: list[Row]) -> None:
        for point in points:
            late = point["step"] - 0.6 * PARAMS.pretrain.budget
            point["mlm_loss"] = 5.5 - late / 500 if late > 0 else 4 - late / 50

    change_json(clean_copy.curve("pretrain"), jump)
    with pytest.raises(BertlineError, match="loss_ends_near_its_lowest"):
        gate_pretrain.run(PARAMS, clean_copy)
    gate_pretrain.run(params, clean_copy)

    def rise(points: list[Row]) -> None:
        for point in points[-6:]:
            point["mlm_loss"] += 1

    change_json(clean_copy.curve("pretrain"), rise)
    with pytest.raises(BertlineError, match="loss_ends_near_its_lowest"):
        gate_pretrain.run(params, clean_copy)
