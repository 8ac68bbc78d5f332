"""The pre-training loop: masked language model and next-sentence prediction, from a token store to weights.

    with Trainer(config, train, validation, vocabulary, directory) as trainer:     # goes on from a checkpoint, if any
        trainer.train()
        trainer.model, trainer.metrics(), trainer.history.curve
        trainer.discard_checkpoints()

A run lives in a directory of its own, which one process holds at a time: checkpoints, curve.jsonl (the points of the
loss curve, as they come) and log.jsonl (speeds). On a CPU, with a budget in steps or tokens, the same config and stores
give the same weights and curves to the last bit, however often the run is interrupted. SIGTERM and SIGINT end it after
the step at hand, with a checkpoint and SystemExit(143) or (130).
"""

import hashlib
import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from bertline.base.config import Pretrain
from bertline.base.errors import BertlineError
from bertline.base.files import exclusive_lock, write_jsonl
from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.pretraining.examples import Batch, ExampleSource, Prefetcher
from bertline.pretraining.history import History
from bertline.pretraining.masking import Pieces
from bertline.pretraining.objective import Means, evaluate, objective_sums, total_loss
from bertline.pretraining.progress import Progress, flops_of_sequence, measure_peak
from bertline.pretraining.randomness import DROPOUT, TRAINING, VALIDATION, seed_of
from bertline.pretraining.stopping import StopRequest
from bertline.pretraining.warm_start import warm_start
from bertline.tokens.store import TokenStore
from bertline.training import checkpoint
from bertline.training.device import prepare
from bertline.training.optimizer import learning_rate_factor, make_adamw, set_learning_rate

_VALIDATION_SEED = 0  # of every run, so that runs with other seeds are measured with the same batches
_IRRELEVANT = ("checkpoint_every",)  # options that change nothing in the result


def fingerprint(config: Pretrain, train: TokenStore, validation: TokenStore) -> str:
    """A name for a run, by all that its result depends on but the code: options, tokens and vocabulary."""
    options = {key: value for key, value in asdict(config).items() if key not in _IRRELEVANT}
    stores = [{key: store.meta[key] for key in ("sha256", "vocab_sha256")} for store in (train, validation)]
    canonical = json.dumps({"pretrain": options, "stores": stores}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def steps_of_budget(config: Pretrain) -> int | None:
    """How many optimizer steps the budget is; None when it is in minutes. Padding counts as tokens."""
    if config.budget_unit == "minutes":
        return None
    size = config.batch_size * config.sequence_length if config.budget_unit == "tokens" else 1
    return math.ceil(config.budget / size)


class Trainer:
    """One pre-training run.

    Args:
        config: section `pretrain`.
        train, validation: the token stores.
        vocabulary: the pieces, in the order of their ids.
        directory: of the run; made if need be.

    Raises:
        BertlineError: too little text; no such device; on entering, another process holds the directory.
    """

    def __init__(
        self, config: Pretrain, train: TokenStore, validation: TokenStore, vocabulary: Sequence[str], directory: Path
    ) -> None:
        self.config, self.directory, self.store = config, directory, train
        self.device = prepare(config.device, config.threads)
        self.pieces = Pieces.of(vocabulary)
        self.source = ExampleSource(train, self.pieces, config, seed=config.seed, stream=TRAINING)
        self.measured = {
            name: ExampleSource(store, self.pieces, config, seed=_VALIDATION_SEED, stream=VALIDATION)
            for name, store in (("train", train), ("validation", validation))
        }
        shape = BertConfig.named(
            config.model, vocab_size=len(vocabulary), dropout=config.dropout, positions=config.positions
        )
        self.model = BertForPreTraining(shape).to(self.device)
        self.optimizer = make_adamw(self.model, learning_rate=config.learning_rate, weight_decay=config.weight_decay)
        self.history = History()
        self.steps = steps_of_budget(config)
        self.train_means: Means | None = None
        self._stop = StopRequest()
        self._clock_start = 0.0  # when the run would have begun, had it been made in one sitting
        self._saved_step = -1
        self._held = ExitStack()

    def __enter__(self) -> "Trainer":
        with ExitStack() as held:
            held.enter_context(exclusive_lock(self.directory / "lock", "pre-training"))
            checkpoint.remove_unfinished(self.directory)
            found = checkpoint.load_latest(self.directory, warn=_say)
            if found is None:
                self._start()
            else:
                self._restore(found)
            write_jsonl(self.directory / "curve.jsonl", self.history.curve)
            self._held = held.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._held.close()

    def _start(self) -> None:
        initialize(self.model, self.config.seed)
        if self.config.embedding_init == "ppmi":
            started = time.perf_counter()
            warm_start(self.model, self.store, self.pieces, self.config.seed)
            _say(f"pretrain: warm start from the corpus's statistics in {time.perf_counter() - started:.1f} s")

    def _restore(self, found: checkpoint.Checkpoint) -> None:
        self.model.load_state_dict(found.tensors["weights"])
        checkpoint.restore_optimizer(self.model, self.optimizer, found.tensors["optimizer"])
        self.history = History.from_json(found.state)
        self._saved_step = found.step
        _say(f"pretrain: going on from step {found.step:,} ({self.directory.name})")

    @property
    def tokens_per_step(self) -> int:
        return self.config.batch_size * self.config.sequence_length

    def done(self, steps_ahead: float = 0.0) -> float:
        """The share of the budget that is done, or will be after some more steps; 1 and above: all of it."""
        if self.steps is None:
            return self.history.seconds / (60 * self.config.budget)
        return (self.history.step + steps_ahead) / self.steps

    def learning_rate(self) -> float:
        """Of the next step, by the middle of it: neither the first nor the last step is lost to a rate of 0."""
        factor = learning_rate_factor(self.done(steps_ahead=0.5), self.config.schedule, self.config.warmup)
        return self.config.learning_rate * factor

    def train(self) -> None:
        """Train until the budget is used up, then measure the model on training and validation documents.

        Raises:
            BertlineError: a loss or gradient is not finite, or a checkpoint cannot be written.
            SystemExit: after SIGTERM (143) or SIGINT (130), with a checkpoint of the step reached.
        """
        config = self.config
        flops = flops_of_sequence(self.model.config, config.sequence_length, self.source.predictions)
        peak = measure_peak(self.device, config.precision)
        log = self.directory / "log.jsonl"
        with (
            self._stop,
            Progress(
                log, tokens=self.tokens_per_step, flops=config.batch_size * flops, peak=peak, done=self.done()
            ) as progress,
            Prefetcher(self.source.batch, first=self.history.step) as batches,
        ):
            self._clock_start = time.perf_counter() - self.history.seconds
            while self.done() < 1.0 and not self._stop:
                if self.history.step % config.evaluate_every == 0:
                    self._evaluate()
                self._one_step(batches, progress)
                if self.history.step % config.checkpoint_every == 0 and not self._stop:
                    self.save_checkpoint()
            self._finish()

    def _one_step(self, batches: Prefetcher[Batch], progress: Progress) -> None:
        started, waited = time.perf_counter(), batches.waited
        rate = self.learning_rate()
        self.history.add(self.train_step(next(batches), rate))
        progress.step(time.perf_counter() - started, batches.waited - waited)
        self.history.seconds = time.perf_counter() - self._clock_start
        if self.history.step % self.config.log_every == 0 or self.done() >= 1.0:
            tokens = self.history.step * self.tokens_per_step
            row = self.history.close_window(tokens=tokens, learning_rate=rate, pairs=self.source.pairs)
            with (self.directory / "curve.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            progress.point(row, self.done())

    def train_step(self, batch: Batch, learning_rate: float) -> list[float]:
        """One optimizer step on a batch, in `accumulation` micro-batches; return its sums, in the order of SUMS.

        Raises:
            BertlineError: the loss or the gradient is not finite; the weights are then as before.
        """
        self.model.train()
        torch.manual_seed(seed_of(self.config.seed, DROPOUT, self.history.step))  # of dropout, whatever came before
        predictions, sequences = float(batch.weights.sum()), len(batch.labels)
        sums = torch.zeros((), device=self.device)
        for part in batch.split(self.config.accumulation):
            found = objective_sums(self.model, part.to(self.device), self.config.precision)
            loss = total_loss(found, predictions=predictions, sequences=sequences, pairs=self.source.pairs)
            torch.autograd.backward(loss)
            sums = sums + found.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        *values, gradient_norm = torch.cat((sums, norm.reshape(1))).tolist()
        if not all(map(math.isfinite, (*values, gradient_norm))):
            self._refuse(values[0] / max(predictions, 1), gradient_norm)
        set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return values

    def _refuse(self, loss: float, gradient_norm: float) -> None:
        step = self.history.step
        what = f"the loss is {loss}, the gradient norm {gradient_norm}, in the batch of seed {self.config.seed}"
        fix = "Lower pretrain.learning_rate, or set pretrain.precision to fp32; the last good checkpoint is kept"
        raise BertlineError(what, where=f"pre-training, step {step}", fix=fix)

    def _evaluate(self) -> None:
        """Measure the model on the validation documents, unless that was done at this step or a signal has come."""
        if self.history.evaluated:
            return
        result = self._measure("validation")
        if result is not None:
            self.history.add_evaluation(result)

    def _measure(self, name: str) -> Means | None:
        count = self.config.evaluation_batches
        return evaluate(self.model, self.measured[name], count, self.config.precision, lambda: bool(self._stop))

    def _finish(self) -> None:
        """Write a checkpoint of the last step; leave, if a signal asked for it; else take the final measurements."""
        self.save_checkpoint()
        if not self._stop:
            self._evaluate()
            self.train_means = self._measure("train")
        if self._stop:
            _say(f"pretrain: stopped at step {self.history.step:,}; run again to go on from there")
            raise SystemExit(self._stop.exit_status)

    def save_checkpoint(self) -> None:
        """Write a checkpoint of the step reached, unless there is one.

        Raises:
            BertlineError: the disk is full; earlier checkpoints are intact.
        """
        if self._saved_step == self.history.step:
            return
        tensors = {
            "weights": self.model.state_dict(),
            "optimizer": checkpoint.optimizer_tensors(self.model, self.optimizer),
        }
        checkpoint.save(self.directory, self.history.step, tensors, self.history.to_json())
        self._saved_step = self.history.step

    def discard_checkpoints(self) -> None:
        """Remove the checkpoints, once the results are safe; the next run of this name starts anew."""
        checkpoint.remove_all(self.directory)

    def metrics(self) -> dict[str, Any]:
        """The figures of a finished run; no times in them.

        `train` and `validation` are of the final weights without dropout, over as many batches of each.
        """
        return {
            "steps": self.history.step,
            "tokens": self.history.step * self.tokens_per_step,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "train": self.train_means,
            "validation": {key: value for key, value in self.history.validation_curve[-1].items() if key != "step"},
        }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
