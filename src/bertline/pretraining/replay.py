"""A step of a run, made again: its very batch, and what the model made of it. For steps that went wrong.

    replayed = replay(trainer, step=1234)       # from the last checkpoint at or before it; writes nothing
    print("\\n".join(describe(replayed, vocabulary)))

Since batches and dropout are functions of (seed, step), the steps from the checkpoint on are made again as they were:
the weights at the step are those of the run, and so are its loss and gradient. (Almost so with a budget in minutes,
whose learning rates are read off the curve, and of several processes, each with a dropout of its own.)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertline.base.files import read_jsonl
from bertline.pretraining.cross_entropy import cross_entropy
from bertline.pretraining.examples import Batch
from bertline.pretraining.plan import tokens_at_once
from bertline.pretraining.trainer import Trainer
from bertline.training.device import autocast

_SHOWN = 5  # sequences, those of the largest losses
_WIDTH = 160  # characters of a text


@dataclass(frozen=True)
class Replayed:
    """A step made again.

    Attributes:
        step, seed: its number, and that of the run.
        start: the step of the checkpoint that the weights were taken from; 0: the beginning.
        batch: the very batch.
        mlm_loss, nsp_loss: of the step, as in training; None for the second where the objective has no pairs.
        gradient_norm: before clipping.
        not_finite: names of the parameters whose gradient is not finite.
        losses: MLM loss of each sequence without dropout, fp32 (batch,).
    """

    step: int
    seed: int
    start: int
    batch: Batch
    mlm_loss: float
    nsp_loss: float | None
    gradient_norm: float
    not_finite: tuple[str, ...]
    losses: Tensor


def replay(trainer: Trainer, step: int) -> Replayed:
    """Bring a trainer, which was not entered, to a step of its run, and look at that step without taking it.

    Raises:
        BertlineError: a step on the way has a loss or gradient that is not finite.
    """
    trainer.resume(before=step)
    start = trainer.history.step
    rate = _learning_rates(trainer)
    with trainer.batches(start) as batches:
        while trainer.history.step < step:
            trainer.advance(next(batches), rate())
        parts = next(batches)
    sums, norm = trainer.learner.gradients(parts, step, clip=False)
    batch = trainer.source.batch(step)
    mlm, _, predictions, nsp, _, sequences = sums.tolist()
    gradients = ((name, parameter.grad) for name, parameter in trainer.model.named_parameters())
    bad = tuple(name for name, gradient in gradients if gradient is not None and not gradient.isfinite().all())
    return Replayed(
        step=step,
        seed=trainer.config.seed,
        start=start,
        batch=batch,
        mlm_loss=mlm / max(predictions, 1),
        nsp_loss=nsp / sequences if trainer.source.pairs else None,
        gradient_norm=float(norm),
        not_finite=bad,
        losses=_losses(trainer, batch),
    )


def _learning_rates(trainer: Trainer) -> Callable[[], float]:
    """The learning rate of the trainer's next step, whenever it is asked.

    With a budget in minutes it was the clock's, and is read off the run's curve: between two of its points, a line.
    """
    logged = trainer.directory / "curve.jsonl"
    rows = list(read_jsonl(logged)) if logged.exists() and trainer.config.budget_unit == "minutes" else []
    if not rows:
        return trainer.learning_rate
    steps, rates = ([float(row[key]) for row in rows] for key in ("step", "learning_rate"))
    return lambda: float(np.interp(trainer.history.step + 1, steps, rates))  # a point tells of the step that made it


@torch.no_grad()
def _losses(trainer: Trainer, batch: Batch) -> Tensor:
    trainer.model.eval()
    parts = batch.micro_batches(tokens_at_once(trainer.config, trainer.world.size))
    return torch.cat([_losses_of(trainer, part.to(trainer.device)).cpu() for part in parts])


def _losses_of(trainer: Trainer, part: Batch) -> Tensor:
    with autocast(trainer.device, trainer.config.precision):
        logits, _ = trainer.model(part.ids, part.segments, part.mask, part.positions)
    losses, _ = cross_entropy(logits.flatten(0, 1), part.targets.flatten())
    weighted = losses.view(part.weights.shape) * part.weights
    return weighted.sum(dim=1) / part.weights.sum(dim=1).clamp(min=1)


def describe(replayed: Replayed, vocabulary: Sequence[str]) -> Iterator[str]:
    """What there is to see, as lines for people: the step's figures, then its sequences of the largest losses."""
    origin = f"from the checkpoint of step {replayed.start:,}" if replayed.start else "from the beginning"
    yield f"step {replayed.step:,} of seed {replayed.seed}, made again {origin}"
    pairs = "" if replayed.nsp_loss is None else f", NSP loss {replayed.nsp_loss:.6g}"
    yield f"MLM loss {replayed.mlm_loss:.6g}{pairs}, gradient norm {replayed.gradient_norm:.6g}"
    if replayed.not_finite:
        yield f"gradients that are not finite: {', '.join(replayed.not_finite)}"
    order = replayed.losses.nan_to_num(nan=torch.inf).argsort(descending=True)[:_SHOWN].tolist()
    yield f"its {len(replayed.losses)} sequences, the {len(order)} of the largest losses first:"
    for row in order:
        yield f"  row {row}, loss {replayed.losses[row].item():.4g}: {_text(replayed.batch, row, vocabulary)}"


def _text(batch: Batch, row: int, vocabulary: Sequence[str]) -> str:
    """The sequence as the model saw it, with what it was asked for after each masked place."""
    pieces = [vocabulary[number] for number in batch.ids[row][batch.padding[row]].tolist()]
    asked = zip(batch.positions[row].tolist(), batch.targets[row].tolist(), batch.weights[row].tolist(), strict=True)
    for place, target, weight in asked:
        if weight:
            pieces[place] += f"({vocabulary[target]})"
    text = " ".join(pieces).replace(" ##", "")
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
