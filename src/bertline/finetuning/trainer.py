"""One trainer for every kind of head: a few epochs of AdamW, from a pre-trained encoder or from random weights.

    data = prepare_data(task, train_rows, validation_rows, tokenizer, config)
    model, history = finetune(data, shape, config, encoder=Path("data/models/pretrained"))
    baseline, _ = finetune(data, shape, config)      # the same head, order, dropout and budget; a random encoder

Recipe (Devlin et al. 2019, appendix A.3; Mosbach et al. 2021): bias-corrected AdamW, linear warm-up and decay, clipped
gradients, bf16 matrix products, batches drawn at random and padded for attention alone. The weights after the last
epoch are kept, unless `patience` asks for those of the best epoch on the validation rows. Head, order and dropout are
functions of (seed, epoch, step), so two runs of the same recipe on the same machine give the same weights to the bit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bertline.base.config import Finetune
from bertline.base.errors import BertlineError
from bertline.finetuning.data import FinetuningData
from bertline.finetuning.layers import freeze, layer_scale
from bertline.finetuning.losses import batch_loss
from bertline.finetuning.progress import Progress
from bertline.finetuning.stopping import EarlyStopping
from bertline.finetuning.used_tokens import UsedTokens
from bertline.finetuning.validation import Validation, validate
from bertline.inference.heads import build_model
from bertline.model.bert import BertConfig, BertForSequenceClassification, BertWithHead, initialize
from bertline.model.hf import load_encoder
from bertline.model.packing import pack
from bertline.tasks.batches import Batch
from bertline.training.device import autocast, note_precision, prepare
from bertline.training.optimizer import learning_rate_factor, make_optimizer, set_learning_rate

_SCORES_OF_A_PART = 2**19  # at least, of a head: so much attention is worth the kernels that a part starts
_CHECK_EVERY = 20  # steps between looks at the loss: on a GPU each look waits for it


@dataclass(frozen=True)
class History:
    """What happened.

    Attributes:
        losses: of the training batches, (steps,).
        learning_rates: of the steps, (steps,).
        steps_per_epoch: optimizer steps.
        validation: metrics on the validation rows after each epoch.
        validation_losses: mean losses on them, without dropout.
        kept_epoch: whose weights the model has, from 1.
    """

    losses: tuple[float, ...]
    learning_rates: tuple[float, ...]
    steps_per_epoch: int
    validation: tuple[dict[str, float], ...]
    validation_losses: tuple[float, ...]
    kept_epoch: int

    @property
    def train_loss(self) -> float:
        """Mean loss over the batches of the kept epoch, dropout included."""
        end = self.kept_epoch * self.steps_per_epoch
        return float(np.mean(self.losses[end - self.steps_per_epoch : end]))

    @property
    def scores(self) -> dict[str, float]:
        """Metrics of the kept weights on the validation rows."""
        return self.validation[self.kept_epoch - 1]


def finetune(
    data: FinetuningData, shape: BertConfig, config: Finetune, *, encoder: Path | None = None, title: str = ""
) -> tuple[BertWithHead, History]:
    """Train a network for a task.

    Args:
        data: rows and targets.
        shape: of the encoder; its dropout gives way to the configured one.
        config: the recipe.
        encoder: directory of a BERT in Hugging Face format to start from; None: random weights.
        title: names the run in progress lines.

    Returns:
        The model, on the CPU and in evaluation mode, and the history.

    Raises:
        BertlineError: the encoder does not fit, sequences are longer than its positions, or the loss is not finite.
    """
    if encoder is None:  # frozen random layers would be no baseline
        config = replace(config, frozen_layers=0)
    check_fits(config, shape, f"finetune of task {data.task.name}")
    device = prepare(config.device, config.threads)
    if title:
        note_precision(config.device, config.precision, title)
    # Layers and dropout draw from torch's global generator: it is seeded in every step, and given back as it was.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), Progress(title) as progress:
        model = build_model(data.task, replace(shape, dropout=config.dropout))
        initialize(model, config.seed)
        if encoder is not None:
            load_encoder(model, encoder)
        freeze(model, config.frozen_layers)
        history = _train(model.to(device), data, config, device, progress)
    model = model.cpu().eval()
    _restore_unit(model, data)
    return model, history


def _train(
    model: BertWithHead, data: FinetuningData, config: Finetune, device: torch.device, progress: Progress
) -> History:
    used = UsedTokens(model, data.train)
    rate, decay, scale = config.learning_rate, config.weight_decay, layer_scale(model, config.layer_decay)
    optimizer = make_optimizer(model, "adamw", learning_rate=rate, weight_decay=decay, scale=scale)
    stopping = EarlyStopping(config.patience)
    per_epoch = data.train.steps(config.batch_size)
    steps = per_epoch * config.epochs
    progress.begin(steps)
    losses: list[Tensor] = []
    rates: list[float] = []
    validations: list[Validation] = []
    model.train()
    for step, batch in enumerate(_batches(data, config)):
        # The first step already learns, and the last one still does: neither has rate 0.
        rates.append(rate * learning_rate_factor((step + 0.5) / steps, "linear", config.warmup))
        set_learning_rate(optimizer, rates[-1])
        torch.manual_seed(step_seed(config.seed, step))
        losses.append(_step(model, used.batch(batch), data, config, optimizer, device))
        used.after_step(optimizer)
        done = step + 1
        if done % _CHECK_EVERY == 0 or done % per_epoch == 0:
            progress.advance(done, _finite(losses, data, done))
        if done % per_epoch == 0:
            with used.whole():
                validations.append(validate(model, data))
                value = validations[-1].scores[data.task.metric]
                stop = stopping.after_epoch(value, model)
            progress.epoch(done // per_epoch, config.epochs, data.task.metric, value)
            if stop:
                break
    used.finish()
    kept = stopping.restore(model)
    values = torch.stack(losses).double().tolist()
    scores, validation_losses = tuple(each.scores for each in validations), tuple(each.loss for each in validations)
    return History(tuple(values), tuple(rates), per_epoch, scores, validation_losses, kept)


def _batches(data: FinetuningData, config: Finetune) -> Iterator[Batch]:
    for epoch in range(config.epochs):
        for indices in data.train.training_batches(config.batch_size, seed=config.seed, epoch=epoch):
            yield data.train.batch(indices)


def _step(
    model: BertWithHead,
    batch: Batch,
    data: FinetuningData,
    config: Finetune,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> Tensor:
    """One optimizer step; returns the loss, still on the device."""
    ids, segments = (torch.from_numpy(array).to(device, non_blocking=True) for array in (batch.ids, batch.segments))
    mask = None
    if not batch.mask.all():
        mask = pack(torch.from_numpy(batch.mask), _parts(batch, device)).to(device, non_blocking=True)
    with autocast(device, config.precision):
        outputs = model(ids, segments, mask)
    loss = batch_loss(data.task.kind, outputs, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def _parts(batch: Batch, device: torch.device) -> int:
    """Into how many a batch is cut for attention, which is padded there: the more there are, the less padding."""
    rows, longest = batch.mask.shape
    return max(2, rows * longest**2 // _SCORES_OF_A_PART) if device.type == "cpu" else 1


def step_seed(seed: int, step: int) -> int:
    """The seed of dropout in a step: a hash of (seed, step), so that no two runs' streams run into one another."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def _finite(losses: list[Tensor], data: FinetuningData, done: int) -> float:
    """Mean of the latest losses; refuses to go on with numbers that are none."""
    mean = float(torch.stack(losses[-_CHECK_EVERY:]).mean())
    if not math.isfinite(mean):
        where = f"task {data.task.name}, step {done}"
        fix = "Lower learning_rate, or raise warmup"
        raise BertlineError(f"the loss is {mean}: training has diverged", where=where, fix=fix)
    return mean


def check_fits(config: Finetune, shape: BertConfig, where: str) -> None:
    """Refuse examples that are longer than an encoder has positions, and more frozen layers than it has.

    Raises:
        BertlineError: they are; says so of `where`.
    """
    for option, most, of in (
        ("max_length", shape.max_positions, "positions"),
        ("frozen_layers", shape.layers, "layers"),
    ):
        if getattr(config, option) > most:
            what = f"{option} is {getattr(config, option)}, and the encoder has {most} {of}"
            raise BertlineError(what, where=where, fix=f"Set it to {most} or less")


def _restore_unit(model: BertWithHead, data: FinetuningData) -> None:
    """Fold mean and deviation of the labels into a regression head: its output is then in the labels' own unit."""
    if data.task.kind == "regression":
        assert isinstance(model, BertForSequenceClassification)
        with torch.no_grad():
            model.classifier.weight *= data.deviation
            model.classifier.bias.mul_(data.deviation).add_(data.mean)
