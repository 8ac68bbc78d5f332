"""Faults of a pre-training run and its model, and the expectations of gate_pretrain that name them."""

import math
from collections.abc import Callable

import numpy as np
from safetensors.numpy import load_file, save_file

from bertline.base.artifacts import Artifacts
from faults import Fault, Row, change_bytes, change_json

WEIGHTS = "model.safetensors"


def curve(edit: Callable[[list[Row]], list[Row] | None]):
    return lambda artifacts: change_json(artifacts.curve("pretrain"), edit)


def point(**values: object):
    return curve(lambda points: points[9].update(values))


def metrics(**values: object):
    return lambda artifacts: change_json(artifacts.metrics("pretrain"), lambda found: found.update(values))


def validation(**values: object):
    return lambda artifacts: change_json(
        artifacts.metrics("pretrain"), lambda found: found["validation"].update(values)
    )


def losses(of: Callable[[float], float]):
    """Another loss curve: `of` the share of the run that is done."""
    return curve(
        lambda points: [row.update(mlm_loss=of(place / len(points))) for place, row in enumerate(points)] and None
    )


def weights(edit: Callable[[str, np.ndarray], np.ndarray | None]):
    """Other weights; None leaves one out."""

    def damage(artifacts: Artifacts) -> None:
        path = artifacts.pretrained / WEIGHTS
        edited = {name: edit(name, value.copy()) for name, value in load_file(path).items()}
        save_file({name: value for name, value in edited.items() if value is not None}, path)

    return damage


def of(part: str, edit: Callable[[np.ndarray], np.ndarray | None]):
    return weights(lambda name, value: edit(value) if part in name else value)


def with_nan(value: np.ndarray) -> np.ndarray:
    value.flat[3] = math.nan
    return value


def fault(name: str, expectation: str, damage, severity="critical") -> Fault:
    return Fault(name, "gate_pretrain", expectation, damage, severity=severity)


FAULTS = [
    fault("NaN in the curve", "curve_is_finite", point(mlm_loss=math.nan)),
    fault("infinity in the curve", "curve_is_finite", point(nsp_loss=math.inf)),
    fault(
        "a figure missing in the curve",
        "curve_is_finite",
        curve(lambda points: points[9].pop("learning_rate") and None),
    ),
    fault("one point", "curve_has_points", curve(lambda points: points[-1:])),
    fault("missing points", "curve_has_no_gaps", curve(lambda points: points[:9] + points[12:])),
    fault("points twice", "steps_rise", curve(lambda points: points[:9] + points[7:])),
    fault("tokens that stand still", "tokens_rise", point(tokens=0)),
    fault("accuracy in per cent", "curve_accuracy_is_a_share", point(mlm_accuracy=20)),
    fault("too high a learning rate", "learning_rate_is_within_its_peak", point(learning_rate=0.1)),
    fault("a flat loss", "loss_falls", losses(lambda done: 6.9)),
    fault("a diverging loss", "loss_falls", losses(lambda done: 6.9 + 20 * done)),
    fault(
        "a loss that fell and rose again",
        "loss_ends_near_its_lowest",
        losses(lambda done: 9 - 12 * done * (1 - done) - done),
    ),
    fault("a run cut short", "curve_reaches_the_end", curve(lambda points: points[:-3])),
    fault("the budget not used", "budget_was_used", metrics(steps=140)),
    fault("no steps at all", "steps_were_taken", metrics(steps=0)),
    fault("no better than unigrams", "model_beats_unigrams", validation(mlm_loss=6.1)),
    fault("MLM below the commonest token", "mlm_beats_the_commonest_token", validation(mlm_accuracy=0.02)),
    fault("NSP the wrong way round", "nsp_beats_chance", validation(nsp_accuracy=0.2)),
    fault("a validation loss that is NaN", "figures_are_there", validation(mlm_loss=math.nan)),
    fault("no validation loss", "figures_are_there", validation(mlm_loss=None)),
    fault("a loss of 0", "mlm_loss_is_possible", validation(mlm_loss=0.0)),
    fault("an accuracy above 1", "mlm_accuracy_is_a_share", validation(mlm_accuracy=1.2)),
    fault("the loss of a broken NSP head", "nsp_loss_is_possible", validation(nsp_loss=50.0)),
    fault(
        "overfitting",
        "validation_follows_training",
        lambda a: change_json(a.metrics("pretrain"), lambda found: found["train"].update(mlm_loss=1.0)),
        "warning",
    ),
    fault("no parameters", "model_has_weights", metrics(parameters=0)),
    fault(
        "truncated weights", "weights_can_be_read", lambda a: change_bytes(a.pretrained / WEIGHTS, lambda d: d[:-400])
    ),
    fault("no weights", "weights_can_be_read", lambda a: (a.pretrained / WEIGHTS).unlink()),
    fault("a weight that is NaN", "weights_are_sound", of("layer.1.output.dense.weight", with_nan)),
    fault("weights that are all 0", "weights_are_sound", of("layer.0.attention.self.query.weight", np.zeros_like)),
    fault("a layer left out", "all_weights_are_there", of("layer.1.", lambda value: None)),
    fault(
        "embeddings of another vocabulary",
        "model_fits_the_vocabulary",
        of("word_embeddings.weight", lambda value: value[:-64].copy()),
    ),
    fault(
        "a config.json of another size",
        "model_fits_the_vocabulary",
        lambda a: change_json(a.pretrained / "config.json", lambda config: config.update(vocab_size=30522)),
    ),
    fault(
        "the tokenizer of another model",
        "model_has_the_tokenizer",
        lambda a: change_bytes(a.pretrained / "vocab.txt", lambda data: data.replace(b"the\n", b"der\n")),
    ),
    fault("no tokenizer", "model_has_the_tokenizer", lambda a: (a.pretrained / "tokenizer.json").unlink()),
]
