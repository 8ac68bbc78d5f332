"""What a fine-tuning leaves: predictions, metrics.json, and curve.json with the kept seeds of all starts; no times."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bertline.evaluation.predictions import write_kept_seeds
from bertline.finetuning.protocol import Start
from bertline.finetuning.trainer import History

_DIGITS = 6
_POINTS = 100  # of a training curve, about
_TUNED = ("learning_rate", "epochs", "batch_size", "dropout")


def keep_predictions(starts: Sequence[Start], directory: Path, others: Mapping[str, int] | None = None) -> None:
    """What every run of the starts answers to the test rows, as SPLIT/START-SEED.jsonl, and the seeds that are kept.

    Args:
        starts: with their runs.
        directory: `data/predictions/T/STAGE`, or what will be that.
        others: seeds of predictions that are no run's and lie there too.
    """
    write_kept_seeds(directory, {start.name: start.kept_seed for start in starts} | dict(others or {}))
    for start in starts:
        for split in start.material.test:
            (directory / split).mkdir(exist_ok=True)
            for seed, run in start.runs.items():
                shutil.copyfile(run.predictions(split), directory / split / f"{start.name}-{seed}.jsonl")


def start_metrics(starts: Sequence[Start]) -> dict[str, Any]:
    """{"train_rows", "steps", start: …}.

    Of a start: "kept_seed", what that seed came to ("train_loss", "validation" {metric: value}), and "seeds": for each
    seed the primary metric after every epoch, the epoch that was kept, and its loss on validation and training rows.
    A tuned start has its "recipe", and the "trials" that it was chosen from.
    """
    first = starts[0]
    return {
        "train_rows": first.material.data.task.rows["train"],
        "steps": len(first.kept.history.losses),
        **{start.name: _of_start(start) for start in starts},
    }


def _of_start(start: Start) -> dict[str, Any]:
    metric, kept = start.material.data.task.metric, start.kept.history
    tuned = {"recipe": {name: getattr(start.config, name) for name in _TUNED}, "trials": start.trials}
    return (tuned if start.trials else {}) | {
        "kept_seed": start.kept_seed,
        "train_loss": round(kept.train_loss, _DIGITS),
        "validation": kept.scores,
        "seeds": {str(seed): _of_seed(run.history, metric) for seed, run in start.runs.items()},
    }


def _of_seed(history: History, metric: str) -> dict[str, Any]:
    return {
        "epochs": [scores[metric] for scores in history.validation],
        "kept_epoch": history.kept_epoch,
        "train_loss": round(history.train_loss, _DIGITS),
        "validation_loss": round(history.validation_losses[history.kept_epoch - 1], _DIGITS),
    }


def curve_rows(starts: Sequence[Start]) -> Iterator[dict[str, Any]]:
    """Points of the curves of the kept seeds, by step.

    Beside step, epoch (a fraction) and learning_rate of the first start: START_loss, the mean over the training steps
    since the point before, and at the end of each epoch START_validation_loss and START_validation_score, the primary
    metric. What a start has not at a step is null: DVC draws rows with the same keys alone.
    """
    points: dict[int, dict[str, Any]] = {}
    for start in starts:
        for step, values in _curve(start.kept.history, start.material.data.task.metric):
            points.setdefault(step, {}).update({f"{start.name}_{name}": value for name, value in values.items()})
    first = starts[0].kept.history
    names = [f"{start.name}_{name}" for start in starts for name in ("loss", "validation_loss", "validation_score")]
    for step in sorted(points):
        done = step <= len(first.learning_rates)
        yield {
            "step": step,
            "epoch": round(step / first.steps_per_epoch, 3),
            "learning_rate": round(first.learning_rates[step - 1], 9) if done else None,
            **{name: points[step].get(name) for name in names},
        }


def _curve(history: History, metric: str) -> Iterator[tuple[int, dict[str, float]]]:
    steps, per_epoch = len(history.losses), history.steps_per_epoch
    ends = range(per_epoch, steps + 1, per_epoch)
    edges = sorted({*np.linspace(0, steps, min(steps, _POINTS) + 1).astype(int).tolist(), *ends})
    for before, step in pairwise(edges):
        values = {"loss": round(float(np.mean(history.losses[before:step])), _DIGITS)}
        if step in ends:
            epoch = step // per_epoch - 1
            values["validation_loss"] = round(history.validation_losses[epoch], _DIGITS)
            values["validation_score"] = history.validation[epoch][metric]
        yield step, values
