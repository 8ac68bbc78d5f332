"""What learns: the model, its optimizer and the average of its weights; one step of it, in one process or several.

    learner = Learner(model, config, world, device)
    sums = learner.step(learner.ready(batch), step=7, learning_rate=1e-3)
    learner.tensors()                   # for a checkpoint
    learner.restore(tensors)

A step is the same whether its sequences are computed at once, in micro-batches or in several processes: losses are sums
over sequences, divided by the counts of the whole step, and gradients add up.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bertline.base.config import Pretrain
from bertline.model.bert import BertForPreTraining
from bertline.model.packing import Packing, pack
from bertline.pretraining.examples import Batch
from bertline.pretraining.objective import objective_sums, total_loss
from bertline.pretraining.plan import tokens_at_once
from bertline.pretraining.randomness import DROPOUT, seed_of
from bertline.training import checkpoint
from bertline.training.averaging import WeightAverage
from bertline.training.device import usable_precision
from bertline.training.distributed import World
from bertline.training.optimizer import make_optimizer, set_learning_rate

Tensors = dict[str, dict[str, Tensor]]


class NotFiniteError(Exception):
    """A step's loss or gradient is not finite; the weights are as they were before it.

    Attributes:
        loss: of the masked language model, a prediction.
        gradient_norm: before clipping.
    """

    def __init__(self, loss: float, gradient_norm: float) -> None:
        super().__init__(f"the loss is {loss}, the gradient norm {gradient_norm}")
        self.loss, self.gradient_norm = loss, gradient_norm


class Learner:
    """A model being trained.

    Args:
        model: to train, on any device; it is moved. In several processes, every one gets the main one's weights.
        config: the recipe.
        world: the processes.
        device: of this process.
    """

    def __init__(self, model: BertForPreTraining, config: Pretrain, world: World, device: torch.device) -> None:
        self.config, self.world, self.device = config, world, device
        self.pairs = config.pairs
        self.model = model.to(device)
        if not self.pairs:  # what no loss reaches is not trained: processes would wait for its gradient
            for unused in (self.model.nsp, self.model.bert.pooler):
                if unused is not None:
                    unused.requires_grad_(False)
        self.optimizer = make_optimizer(
            self.model,
            config.optimizer,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            precision=usable_precision(device.type, config.precision),
        )
        self.average = WeightAverage()
        self.network: Any = DistributedDataParallel(self.model) if world.size > 1 else self.model
        self._laid_out = world.size == 1
        self._objective = objective_sums
        if config.compile and world.size > 1:  # what reduces gradients is not to be compiled into a larger graph
            self.network = torch.compile(self.network)
        elif config.compile:
            self._objective = torch.compile(objective_sums)

    def step(self, parts: Sequence[Batch], step: int, learning_rate: float) -> list[float]:
        """One optimizer step; return the sums of the whole step, in the order of SUMS.

        Args:
            parts: this process's rows of its batch, in micro-batches (`ready`).
            step: its number, which names the random numbers of dropout.
            learning_rate: of it.

        Raises:
            NotFiniteError: in every process alike.
        """
        if not self._laid_out:
            self._lay_out(parts, step)
        sums, norm = self.gradients(parts, step)
        *values, gradient_norm = torch.cat((sums, norm.reshape(1))).tolist()
        if not all(map(math.isfinite, (*values, gradient_norm))):
            self.optimizer.zero_grad()
            raise NotFiniteError(values[0] / max(values[2], 1), gradient_norm)
        set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return values

    def _lay_out(self, parts: Sequence[Batch], step: int) -> None:
        """Compute gradients and forget them, so that those of the first step are added up as those of every later one.

        DistributedDataParallel packs gradients anew after its first backward pass, in the order in which they came, and
        of three processes or more, Gloo adds in an order that depends on a number's place in the pack. The first step
        of a run that goes on would else have other last digits than that step in a run that was never stopped.
        """
        self.gradients(parts, step)
        self.optimizer.zero_grad()
        self._laid_out = True

    def gradients(self, parts: Sequence[Batch], step: int, *, clip: bool = True) -> tuple[Tensor, Tensor]:
        """The gradients of a step, clipped, into the parameters; its sums and the norm before clipping.

        Clipping makes all of them NaN where one is; to see which one it was, leave it out.
        """
        self.network.train()
        torch.manual_seed(seed_of(self.config.seed, DROPOUT, step * self.world.size + self.world.rank))
        asked = torch.stack([part.weights.sum() for part in parts]).sum()
        # Without a wait for the GPU, which is still changing the weights of the step before.
        predictions = self.world.sum(asked.to(self.device, non_blocking=True)).clamp(min=1)
        sequences = sum(len(part.labels) for part in parts) * self.world.size
        total = torch.zeros((), device=self.device)
        for number, part in enumerate(parts, start=1):
            apart = self.world.size > 1 and number < len(parts)
            with self.network.no_sync() if apart else nullcontext():
                found = self._objective(self.network, self._on_device(part), self.config.precision)
                loss = total_loss(found, predictions=predictions, sequences=sequences, pairs=self.pairs)
                # Times the processes: their gradients are averaged, and are to be added.
                torch.autograd.backward(loss * self.world.size)
            total = total + found.detach()
        if clip:
            return self.world.sum(total), torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        gradients = [weights.grad for weights in self.model.parameters() if weights.grad is not None]
        return self.world.sum(total), torch.nn.utils.get_total_norm(gradients)

    @torch.no_grad()
    def lengthen(self, known: int) -> None:
        """Let the positions that no sequence has reached begin as copies of the `known` ones, but for that of [CLS].

        At random, and with little of the learning rate left, they stay so. Of Longformer (Beltagy et al. 2020, section
        5). What was averaged before has them at random, and is dropped. Nothing is done to fixed positions, nor where a
        model was given: it knows its own.
        """
        table = self.model.bert.position_embeddings
        if isinstance(table, nn.Parameter) and not self.config.init_from:
            places = torch.arange(known, len(table), device=table.device)
            table[known:] = table[1 + (places - 1) % (known - 1)]
            self.average = WeightAverage()

    def ready(self, batch: Batch) -> list[Batch]:
        """Its micro-batches, laid out as the model takes them; a background thread may do it."""
        parts = list(batch.micro_batches(tokens_at_once(self.config, self.world.size)))
        if self.config.packed:
            parts = [replace(part, mask=pack(part.padding)) for part in parts]
        return [part.pin_memory() for part in parts] if self.device.type == "cuda" else parts

    def _on_device(self, part: Batch) -> Batch:
        part = part.to(self.device)
        if self.config.compile and isinstance(part.mask, Packing):
            torch._dynamo.mark_dynamic(part.mask.places, 0)
        return part

    def leave(self) -> None:
        """Let go of the other processes: what reduces gradients must go before the group that it speaks through."""
        self.network = self.model

    def tensors(self) -> Tensors:
        """Everything that a later process needs to go on from here, by group and name."""
        return {
            "weights": self.model.state_dict(),
            "optimizer": checkpoint.optimizer_tensors(self.model, self.optimizer),
            "average": self.average.tensors(),
        }

    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Go on from what `tensors` gave, to the bit."""
        self.model.load_state_dict(tensors["weights"])
        checkpoint.restore_optimizer(self.model, self.optimizer, tensors["optimizer"])
        self.average.restore(tensors["average"])
