"""What each step of a run trains on: how many sequences, of which length; and how many steps the budget is.

    plan = Plan.of(config)
    plan.steps                  # None when the budget is in minutes
    plan.stage(step=1200)       # the stretch of steps it is in: batch_size, sequence_length
    plan.sequences(step=1200), plan.tokens(step=1200)       # trained on before it

A plan is stages of steps alike: the batch ramp (batches that double), the main part, and the second phase on longer
sequences (Devlin et al. 2019, appendix A.2). All of it is arithmetic on the step: nothing is kept, nothing replayed.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from bertline.base.config import Pretrain
from bertline.base.errors import BertlineError


@dataclass(frozen=True)
class Stage:
    """Steps with batches of one shape.

    Attributes:
        first: its first step.
        batch_size: sequences a step, over all processes.
        sequence_length: tokens a sequence.
        sequences, tokens: trained on before it; padding counts as tokens.
    """

    first: int
    batch_size: int
    sequence_length: int
    sequences: int = 0
    tokens: int = 0

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.sequence_length


@dataclass(frozen=True)
class Plan:
    """The stages of a run, at least one, and its number of steps, None when the clock decides."""

    stages: tuple[Stage, ...]
    steps: int | None

    @classmethod
    def of(cls, config: Pretrain) -> "Plan":
        """The plan that the options make: each stage gets its share of the budget, at least one step."""
        if config.budget_unit == "minutes":
            return cls.constant(config)
        made, until, stages, step, sequences, tokens = 0.0, 0.0, [], 0, 0, 0
        for share, (batch_size, length) in _shares(config):
            until += share * config.budget
            size = batch_size * length if config.budget_unit == "tokens" else 1
            count = max(1, math.ceil((until - made) / size - 1e-9))
            stages.append(Stage(step, batch_size, length, sequences, tokens))
            made += count * size
            step += count
            sequences += count * batch_size
            tokens += count * batch_size * length
        return cls(tuple(stages), step)

    @classmethod
    def constant(cls, config: Pretrain) -> "Plan":
        """Batches of the main part for ever: what a budget in minutes gives, and what a model is measured with."""
        return cls((Stage(0, config.batch_size, config.sequence_length),), None)

    def check_processes(self, processes: int) -> None:
        """Refuse batches that cannot be shared out evenly.

        Raises:
            BertlineError: some stage's batch size is no multiple of the processes.
        """
        for stage in self.stages:
            if stage.batch_size % processes:
                what = f"{stage.batch_size} sequences a step cannot be shared out among {processes} processes"
                fix = "Make pretrain.batch_size, ramp_from and second_phase.batch_size multiples of them"
                raise BertlineError(what, where="params.yaml, key pretrain.batch_size", fix=fix)

    def stage(self, step: int) -> Stage:
        """The stage that a step is in."""
        return self.stages[bisect_right(self.stages, step, key=lambda stage: stage.first) - 1]

    def lengthened(self, step: int) -> int:
        """At the first step whose sequences are longer than all before: the length of the longest before; else 0."""
        before = [stage.sequence_length for stage in self.stages if stage.first < step]
        stage = self.stage(step)
        return max(before) if step == stage.first and before and max(before) < stage.sequence_length else 0

    def sequences(self, step: int) -> int:
        """How many sequences were trained on before a step."""
        stage = self.stage(step)
        return stage.sequences + (step - stage.first) * stage.batch_size

    def tokens(self, step: int) -> int:
        """How many tokens were trained on before a step, padding included."""
        stage = self.stage(step)
        return stage.tokens + (step - stage.first) * stage.tokens_per_step


def tokens_at_once(config: Pretrain, processes: int) -> float:
    """Tokens that a process may have in a micro-batch: those of one of the main part.

    Args:
        processes: that run; one alone may replay what several have trained, and then keeps to what each of these had.
    """
    return config.batch_size * config.sequence_length / (config.accumulation * max(processes, config.processes))


def _shares(config: Pretrain) -> Iterator[tuple[float, tuple[int, int]]]:
    """Share of the budget, and (batch size, sequence length), of each stage."""
    ramp = config.ramp_share if config.ramp_from else 0.0
    doublings = (config.batch_size // config.ramp_from).bit_length() - 1 if config.ramp_from else 0
    for number in range(doublings):
        yield ramp / doublings, (config.ramp_from << number, config.sequence_length)
    yield 1.0 - ramp - config.second_phase.share, (config.batch_size, config.sequence_length)
    if config.second_phase.share:
        yield config.second_phase.share, (config.second_phase.batch_size, config.second_phase.sequence_length)
