"""What a fine-tuning reports: metrics.json, and curve.json with both starts side by side; no times."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from bertline.finetuning.data import FinetuningData
from bertline.finetuning.trainer import History

_DIGITS = 6
_POINTS = 100  # of a curve, at most


def history_metrics(data: FinetuningData, histories: Mapping[str, History]) -> dict[str, Any]:
    """{"train_rows", "steps", start: {"train_loss", "validation": {metric: value}, "epochs": [primary metric, …]}}."""
    metric = data.task.metric
    starts = {
        start: {
            "train_loss": round(history.train_loss, _DIGITS),
            "validation": history.scores,
            "epochs": [scores[metric] for scores in history.validation],
        }
        for start, history in histories.items()
    }
    steps = len(next(iter(histories.values())).losses)
    return {"train_rows": data.task.rows["train"], "steps": steps, **starts}


def curve_rows(histories: Mapping[str, History]) -> Iterator[dict[str, Any]]:
    """Points of the training curves: step, epoch (a fraction), learning_rate, and START_loss for each start.

    A loss is the mean over the steps since the point before.
    """
    first = next(iter(histories.values()))
    steps = len(first.losses)
    edges = np.unique(np.linspace(0, steps, min(steps, _POINTS) + 1).astype(int)).tolist()
    for start, end in pairwise(edges):
        row = {
            "step": end,
            "epoch": round(end / first.steps_per_epoch, 3),
            "learning_rate": round(first.learning_rates[end - 1], 9),
        }
        for name, history in histories.items():
            row[f"{name}_loss"] = round(float(np.mean(history.losses[start:end])), _DIGITS)
        yield row
