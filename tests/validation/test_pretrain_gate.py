"""gate_pretrain lets a run pass that has learned, and names what is wrong with another."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.stages import gate_pretrain
from gate_data import change_json, make_pretraining, small_params


def edit_curve(change: Callable[[list[dict]], object]):
    return lambda artifacts: change_json(artifacts.curve("pretrain"), change)


def edit_validation(**values: object):
    return lambda a: change_json(a.metrics("pretrain"), lambda metrics: metrics["validation"].update(values))


def flat(points: list[dict]) -> None:
    for point in points:
        point["mlm_loss"] = 9.0


FAULTS: dict[str, tuple[Callable[[Artifacts], object], str]] = {
    "NaN": (edit_curve(lambda points: points[9].update(mlm_loss=math.nan)), "curve_is_finite"),
    "infinity": (edit_curve(lambda points: points[9].update(nsp_loss=math.inf)), "curve_is_finite"),
    "a missing figure": (edit_curve(lambda points: points[9].pop("learning_rate") and None), "curve_is_finite"),
    "no curve": (lambda a: change_json(a.curve("pretrain"), lambda points: {"points": points}), "not a list of points"),
    "one point": (edit_curve(lambda points: points[-1:]), "curve_has_points"),
    "steps going back": (edit_curve(lambda points: points[9].update(step=20)), "steps_rise"),
    "accuracy in per cent": (edit_curve(lambda points: points[9].update(mlm_accuracy=20)), "curve_accuracy_is_a_share"),
    "too high a rate": (
        edit_curve(lambda points: points[3].update(learning_rate=0.1)),
        "learning_rate_is_within_its_peak",
    ),
    "a flat loss": (edit_curve(flat), "loss_falls"),
    "a rising loss": (edit_curve(lambda points: points[-1].update(mlm_loss=90)), "loss_falls"),
    "a run cut short": (edit_curve(lambda points: points[:9]), "curve_reaches_the_end"),
    "no better than unigrams": (edit_validation(mlm_loss=6.1), "model_beats_unigrams"),
    "no validation loss": (edit_validation(mlm_loss=None), "figures_are_there"),
    "a loss of 0": (edit_validation(mlm_loss=0.0), "mlm_loss_is_possible"),
    "accuracy above 1": (edit_validation(mlm_accuracy=1.2), "mlm_accuracy_is_a_share"),
    "an nsp loss of a broken head": (edit_validation(nsp_loss=50.0), "nsp_loss_is_possible"),
    "no parameters": (
        lambda a: change_json(a.metrics("pretrain"), lambda metrics: metrics.update(parameters=0)),
        "model_has_weights",
    ),
    "no steps": (
        lambda a: change_json(a.metrics("pretrain"), lambda metrics: metrics.update(steps=0)),
        "steps_were_taken",
    ),
    "nsp by chance": (edit_validation(nsp_accuracy=0.5), "nsp_beats_chance"),
    "fewer steps than asked": (
        lambda a: change_json(a.metrics("pretrain"), lambda metrics: metrics.update(steps=199)),
        "budget_was_used",
    ),
}


def test_a_run_that_has_learned_passes_without_a_warning(copy_of, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = copy_of("pretrain")
    metrics = gate_pretrain.run(small_params(), artifacts)
    assert (metrics["warnings"], metrics["gain_over_unigram"]) == (0, 2.1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_run_is_named(fault: str, copy_of) -> None:
    artifacts = copy_of("pretrain")
    change, expectation = FAULTS[fault]
    change(artifacts)
    with pytest.raises(BertlineError, match=expectation):
        gate_pretrain.run(small_params(), artifacts)


def test_without_nsp_its_expectations_are_left_out(copy_of) -> None:
    artifacts = copy_of("pretrain")
    make_pretraining(artifacts, nsp=False)
    with pytest.raises(BertlineError, match=r"curve_is_finite.*nsp_beats_chance|figures_are_there"):
        gate_pretrain.run(small_params(), artifacts)
    params = small_params()
    gate_pretrain.run(replace(params, pretrain=replace(params.pretrain, objective="mlm")), artifacts)
    names = [entry["name"] for entry in json.loads(artifacts.gate_report("gate_pretrain").read_text())["expectations"]]
    assert not any("nsp" in name for name in names)


def test_overfitting_is_a_warning(copy_of, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = copy_of("pretrain")
    change_json(artifacts.metrics("pretrain"), lambda metrics: metrics["train"].update(mlm_loss=1.0))
    assert gate_pretrain.run(small_params(), artifacts)["warnings"] == 1
    assert "gate_pretrain: warning: " in capsys.readouterr().err
    report = json.loads(artifacts.gate_report("gate_pretrain").read_text())
    assert report["passed"] and [e["name"] for e in report["expectations"] if not e["success"]] == [
        "validation_follows_training"
    ]
