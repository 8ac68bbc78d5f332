"""Frames of gate_pretrain: the training curve, and the scores at its end beside what chance and counting would give."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bertline.base.config import Pretrain
from bertline.validation.frames import Frame, is_missing, summary

_CURVE = ("step", "tokens", "learning_rate", "mlm_loss", "mlm_accuracy")
_NSP_CURVE = ("nsp_loss", "nsp_accuracy")
_ABSENT = -1.0  # in place of a figure that is not there: column `missing` names it, and no bound admits it


def pretrain_frames(
    curve: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any], encode: Mapping[str, Any], recipe: Pretrain
) -> dict[str, Frame]:
    """The frames of a pre-training run.

    Args:
        curve: rows of curve.json.
        metrics: metrics.json of stage pretrain.
        encode: metrics.json of stage encode; its unigram entropy and accuracy are what a model without context reaches.
        recipe: its objective, and where its second phase begins.

    Returns:
        curve: a row a point, with `missing`: the figures that are absent, NaN or infinite.
        pretraining: one row: losses at both ends, scores, gain over the unigram entropy, steps.
    """
    columns = _CURVE + (_NSP_CURVE if recipe.pairs else ())
    points = [{name: _number(point.get(name)) for name in columns} for point in curve if isinstance(point, Mapping)]
    table = pd.DataFrame(points, columns=list(columns), dtype="float64")
    table["missing"] = pd.Series(
        [", ".join(name for name in columns if is_missing(point[name])) for point in points], dtype=str
    )
    steps = table["step"]
    table["step_gain"] = steps.diff().fillna(steps)
    table["token_gain"] = table["tokens"].diff().fillna(table["tokens"])
    return {
        "curve": Frame(table.fillna(_ABSENT).assign(point=[f"step {step:.0f}" for step in steps.fillna(-1)]), "point"),
        "pretraining": summary(_scores(table, metrics, encode, recipe)),
    }


def _last_phase(table: pd.DataFrame, recipe: Pretrain) -> pd.DataFrame:
    """The points of the second phase; all of them where there is none."""
    spent = table["tokens" if recipe.budget_unit == "tokens" else "step"]
    return table[spent > recipe.budget * (1 - recipe.second_phase.share)] if recipe.second_phase.share else table


def _means(table: pd.DataFrame, window: int) -> list[float]:
    """The MLM loss, averaged over some points in a row."""
    window = min(window, max(len(table), 1))
    found: list[float] = table["mlm_loss"].rolling(window).mean()[window - 1 :].tolist()
    return found


def _scores(
    table: pd.DataFrame, metrics: Mapping[str, Any], encode: Mapping[str, Any], recipe: Pretrain
) -> dict[str, Any]:
    """Frame pretraining; its losses are means over a tenth of the curve.

    loss_fall: from the first to the last; loss_rise: from the lowest to the last, of the second phase where there is
    one (its sequences are others, and so is its loss); overfit: validation minus training loss; steps_unlogged: after
    the last point.
    """
    tenth = max(len(table) // 10, 1)
    losses, late = _means(table, tenth), _means(_last_phase(table, recipe), tenth)
    begin, end = (losses[0], losses[-1]) if losses else (None, None)
    validation, train = _part(metrics, "validation"), _part(metrics, "train")
    entropy, loss = _number(encode.get("unigram_entropy")), _number(validation.get("mlm_loss"))
    commonest, accuracy = _number(encode.get("unigram_accuracy")), _number(validation.get("mlm_accuracy"))
    steps = _number(metrics.get("steps"))
    scores = {
        "first_loss": begin,
        "last_loss": end,
        "loss_fall": _difference(begin, end),
        "loss_rise": _difference(late[-1], min(late)) if late else None,
        "steps": steps,
        "tokens": _number(metrics.get("tokens")),
        "steps_unlogged": _difference(steps, float(table["step"].iloc[-1]) if len(table) else None),
        "parameters": _number(metrics.get("parameters")),
        "unigram_entropy": entropy,
        "unigram_accuracy": commonest,
        "validation_mlm_loss": loss,
        "validation_mlm_accuracy": accuracy,
        "overfit": _difference(loss, _number(train.get("mlm_loss"))),
        "gain_over_unigram": _difference(entropy, loss),
        "accuracy_over_unigram": _difference(accuracy, commonest),
    }
    if recipe.pairs:
        scores["validation_nsp_loss"] = _number(validation.get("nsp_loss"))
        scores["validation_nsp_accuracy"] = _number(validation.get("nsp_accuracy"))
    return scores


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _part(metrics: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = metrics.get(name)
    return part if isinstance(part, Mapping) else {}


def _number(value: object) -> float | None:
    """A figure as float (NaN and infinity stay what they are), None if it is no number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
