"""The pre-training run: masked language model and next-sentence prediction, from a token store to weights.

    with Trainer(config, train, validation, vocabulary, directory) as trainer:     # goes on from a checkpoint, if any
        trainer.train()
        trainer.model, trainer.metrics(), trainer.history.curve
        trainer.discard_checkpoints()

A run lives in a directory of its own, which one run holds at a time: checkpoints, curve.jsonl (the points of the loss
curve, as they come) and log.jsonl (speeds). On a CPU, with a budget in steps or tokens, the same config and stores
give the same weights and curves to the last bit, however often the run is interrupted. SIGTERM and SIGINT end it after
the step at hand, with a checkpoint and SystemExit(143) or (130). In several processes, the main one writes and speaks.
"""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from bertline.base.config import Pretrain
from bertline.base.errors import BertlineError
from bertline.base.files import exclusive_lock, sha256_json, write_jsonl
from bertline.base.messages import say
from bertline.pretraining.examples import Batch, ExampleSource, Prefetcher
from bertline.pretraining.history import History
from bertline.pretraining.initial import initial_hash, initial_model
from bertline.pretraining.learner import Learner, NotFiniteError
from bertline.pretraining.masking import Pieces
from bertline.pretraining.measure import Measured, measure
from bertline.pretraining.plan import Plan
from bertline.pretraining.progress import Progress, flops_of_sequence, measure_peak
from bertline.pretraining.randomness import TRAINING, VALIDATION
from bertline.pretraining.stopping import StopRequest
from bertline.pretraining.warm_start import warm_start
from bertline.tokens.store import TokenStore
from bertline.training import checkpoint
from bertline.training.device import note_precision, prepare, usable_precision
from bertline.training.distributed import World
from bertline.training.optimizer import learning_rate_factor

_VALIDATION_SEED = 0  # of every run, so that runs with other seeds are measured with the same batches
_IRRELEVANT = ("checkpoint_every",)  # options that change nothing in the result
_ALONE = World()


def fingerprint(config: Pretrain, train: TokenStore, validation: TokenStore, root: Path = Path()) -> str:
    """A name for a run, by all that its result depends on but the code: options, tokens, vocabulary, initial model."""
    options = {key: value for key, value in asdict(config).items() if key not in _IRRELEVANT}
    stores = [{key: store.meta[key] for key in ("sha256", "vocab_sha256", "sources")} for store in (train, validation)]
    named = {"pretrain": options, "stores": stores, "init_from": initial_hash(config, root)}
    return sha256_json(named)[:16]


class Trainer:
    """One pre-training run.

    Args:
        config: section `pretrain`.
        train, validation: the token stores.
        vocabulary: the pieces, in the order of their ids.
        directory: of the run; made if need be.
        root: the checkout, which `config.init_from` is relative to.
        world: the processes of the run.

    Raises:
        BertlineError: too little text; no such device; no such model to go on from; on entering, another run holds the
            directory, or its checkpoints are of another recipe.
    """

    def __init__(
        self,
        config: Pretrain,
        train: TokenStore,
        validation: TokenStore,
        vocabulary: Sequence[str],
        directory: Path,
        *,
        root: Path = Path(),
        world: World = _ALONE,
    ) -> None:
        self.config, self.directory, self.store, self.world = config, directory, train, world
        self.recipe = fingerprint(config, train, validation, root)
        self.device = prepare(config.device, config.threads)
        self.pieces = Pieces.of(vocabulary)
        self.plan = Plan.of(config)
        self.plan.check_processes(world.size)
        self.source = ExampleSource(train, self.pieces, config, self.plan, seed=config.seed, stream=TRAINING)
        constant, as_it_is = Plan.constant(config), replace(config, upsample={})
        self.measured = {
            name: ExampleSource(store, self.pieces, as_it_is, constant, seed=_VALIDATION_SEED, stream=VALIDATION)
            for name, store in (("train", train), ("validation", validation))
        }
        self.learner = Learner(initial_model(config, vocabulary, root), config, world, self.device)
        self.model, self.optimizer = self.learner.model, self.learner.optimizer
        self.history = History()
        self.on_training_text: Measured | None = None
        self._stop = StopRequest(patient=world.size > 1)
        self._agreed = 0
        self._clock_start = 0.0  # when the run would have begun, had it been made in one sitting
        self._saved_step = -1
        self._held = ExitStack()

    def __enter__(self) -> "Trainer":
        with ExitStack() as held:
            if self.world.main:
                held.enter_context(exclusive_lock(self.directory / "lock", "pre-training"))
                checkpoint.remove_unfinished(self.directory)
            self.resume()
            if self.world.main:
                checkpoint.prune(self.directory, self.history.step)
                write_jsonl(self.directory / "curve.jsonl", self.history.curve)
            self._held = held.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.learner.leave()
        self._held.close()

    def resume(self, before: int | None = None) -> None:
        """Take the weights from the last good checkpoint (of a step up to `before`), or begin; write nothing."""
        found = checkpoint.load_latest(self.directory, warn=self._say, before=before) if self.world.main else None
        if self.world.share(found is not None, self.device):
            self._restore(found)
        else:
            self._start()

    def _start(self) -> None:
        if self.config.embedding_init == "ppmi" and not self.config.init_from and self.world.main:
            started = time.perf_counter()
            warm_start(self.model, self.store, self.pieces, self.config.seed)
            self._say(f"pretrain: warm start from the corpus's statistics in {time.perf_counter() - started:.1f} s")
        if self.world.size > 1:
            self.model.load_state_dict(self.world.share_tensors(self.model.state_dict(), self.device))

    def _restore(self, found: checkpoint.Checkpoint | None) -> None:
        """Go on from the checkpoint that the main process has found."""
        if found and found.state.pop("recipe", self.recipe) != self.recipe:
            fix = "Name another directory, or remove that one"
            raise BertlineError("its checkpoints are of another recipe", where=str(self.directory), fix=fix)
        groups = found.tensors if found else {}
        names = self.world.share(sorted(groups), self.device)
        self.learner.restore({name: self.world.share_tensors(groups.get(name, {}), self.device) for name in names})
        self.history = History(**self.world.share(found.state if found else None, self.device))
        self._saved_step = self.history.step
        self._say(f"pretrain: going on from step {self.history.step:,} ({self.directory.name})")

    def done(self, steps_ahead: float = 0.0) -> float:
        """The share of the budget that is done, or will be after some more steps; 1 and above: all of it."""
        if self.plan.steps is None:
            return self.history.seconds / (60 * self.config.budget)
        step = self.history.step
        if self.config.budget_unit == "steps":
            return (step + steps_ahead) / self.plan.steps
        ahead = steps_ahead * self.plan.stage(step).tokens_per_step
        return (self.plan.tokens(step) + ahead) / self.plan.tokens(self.plan.steps)

    def learning_rate(self) -> float:
        """Of the next step, by the middle of it: neither the first nor the last step is lost to a rate of 0.

        With a budget in minutes by its beginning, since nobody knows how long it will take.
        """
        factor = learning_rate_factor(self.done(steps_ahead=0.5), self.config.schedule, self.config.warmup)
        return self.config.learning_rate * factor

    def train(self) -> None:
        """Train until the budget is used up, then measure the model on training and validation documents.

        Raises:
            BertlineError: a loss or gradient is not finite, or a checkpoint cannot be written.
            SystemExit: after SIGTERM (143) or SIGINT (130), with a checkpoint of the step reached.
        """
        config = self.config
        log = self.directory / "log.jsonl" if self.world.main else None
        if self.world.main:
            note_precision(self.device.type, config.precision, "pretrain")
        peak = measure_peak(self.device, config.precision) if self.world.main else 1.0
        with (
            self._stop,
            Progress(log, peak=peak * self.world.size, done=self.done()) as progress,
            self.batches(self.history.step) as batches,
        ):
            self._clock_start = time.perf_counter() - self.history.seconds
            while self.done() < 1.0 and not self._stopping:
                if self.history.step % config.evaluate_every == 0:
                    self._evaluate()
                    if self._stopping:
                        break  # before the step: what was not measured now is measured when the run goes on
                self._one_step(batches, progress)
                if self.history.step % config.checkpoint_every == 0 and not self._stopping:
                    self.save_checkpoint()
            self._finish()

    def batches(self, first: int) -> Prefetcher[list[Batch]]:
        """This process's rows of the batches from a step on, made in the background."""
        return Prefetcher(
            lambda step: self.learner.ready(self.source.batch(step, self.world.rank, self.world.size)), first=first
        )

    def _one_step(self, batches: Prefetcher[list[Batch]], progress: Progress) -> None:
        started, waited = time.perf_counter(), batches.waited
        stage, rate = self.plan.stage(self.history.step), self.learning_rate()
        self.advance(next(batches), rate)
        flops = flops_of_sequence(
            self.model.config, stage.sequence_length, self.source.predictions(stage.sequence_length)
        )
        progress.step(
            time.perf_counter() - started,
            batches.waited - waited,
            tokens=stage.tokens_per_step,
            flops=stage.batch_size * flops,
        )
        self._agree(time.perf_counter() - self._clock_start)
        self._average()
        if self.history.step % self.config.log_every == 0 or self.done() >= 1.0:
            tokens = self.plan.tokens(self.history.step)
            row = self.history.close_window(tokens=tokens, learning_rate=rate, pairs=self.source.pairs)
            if self.world.main:
                with (self.directory / "curve.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
                progress.point(row, self.done())

    def advance(self, parts: Sequence[Batch], learning_rate: float) -> None:
        """Take the next step, and count it; make the model ready for what follows."""
        self.history.add(self.train_step(parts, learning_rate))
        if known := self.plan.lengthened(self.history.step):
            self.learner.lengthen(known)

    def _average(self) -> None:
        """Add the weights to the average, in its share of the budget: every so often, and those of the last step."""
        begun = self.config.average_share and self.done() > 1 - self.config.average_share
        if begun and (self.history.step % self.config.average_every == 0 or self.done() >= 1.0):
            self.learner.average.add(self.model)

    def train_step(self, parts: Sequence[Batch], learning_rate: float) -> list[float]:
        """One optimizer step on this process's rows of a batch, in micro-batches; return the sums of it all.

        Raises:
            BertlineError: the loss or the gradient is not finite; the weights are then as before.
        """
        step = self.history.step
        try:
            return self.learner.step(parts, step, learning_rate)
        except NotFiniteError as error:
            what = f"{error}, in the batch of step {step} and seed {self.config.seed}"
            fix = (
                f"Look at that batch with `bertline pretrain --replay {step}`. Lower pretrain.learning_rate, or set"
                " pretrain.precision to fp32; the last good checkpoint is kept"
            )
            raise BertlineError(what, where=f"pre-training, step {step}", fix=fix) from None

    def _agree(self, seconds: float) -> None:
        """Make one process's signal everyone's, and the main one's clock: none may go on while another stops.

        All processes must ask it, and as often.
        """
        if self.world.size > 1:
            heard = torch.tensor([seconds if self.world.main else 0.0, float(self._stop.signal)], dtype=torch.float64)
            seconds, signal_number = self.world.maximum(heard.to(self.device)).tolist()
            self._agreed = int(signal_number)
        self.history.seconds = seconds

    @property
    def _stopping(self) -> int:
        """The signal to stop for, 0 for none: that which was heard, or of several processes, that which all know of."""
        return self._stop.signal if self.world.size == 1 else self._agreed

    def _evaluate(self) -> None:
        """Measure the model on the validation documents, unless that was done at this step or a signal has come."""
        if self.history.evaluated:
            return
        result = self._measure("validation")
        if result is not None:
            self.history.add_evaluation(result)

    def _measure(self, name: str) -> Measured | None:
        return measure(self.model, self.measured[name], self.config, self.world, self._asked_to_stop)

    def _asked_to_stop(self) -> bool:
        self._agree(self.history.seconds)
        return bool(self._stopping)

    def _finish(self) -> None:
        """Write a checkpoint of the last step; leave, if a signal asked for it; else take the final measurements."""
        self.save_checkpoint()
        if not self._stopping:
            if self.learner.average.count:
                self.learner.average.average_into(self.model)
            self._evaluate()
            self.on_training_text = self._measure("train")
            self._agree(self.history.seconds)
        if self._stopping:
            self._say(f"pretrain: stopped at step {self.history.step:,}; run again to go on from there")
            raise SystemExit(128 + self._stopping)  # as a shell says of a process that the signal ended

    def save_checkpoint(self) -> None:
        """Write a checkpoint of the step reached, unless there is one.

        Raises:
            BertlineError: the disk is full; earlier checkpoints are intact.
        """
        if self._saved_step != self.history.step and self.world.main:
            state = asdict(self.history) | {"recipe": self.recipe}
            checkpoint.save(self.directory, self.history.step, self.learner.tensors(), state)
        self._saved_step = self.history.step

    def discard_checkpoints(self) -> None:
        """Remove the checkpoints, once the results are safe; the next run of this name starts anew."""
        if self.world.main:
            checkpoint.remove_all(self.directory)

    def metrics(self) -> dict[str, Any]:
        """The figures of a finished run; no times in them.

        `train` and `validation` are of the final weights without dropout, over as many batches of each; `intervals` are
        those of `validation`.
        """
        return {
            "steps": self.history.step,
            "tokens": self.plan.tokens(self.history.step),
            "precision": usable_precision(self.device.type, self.config.precision),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "train": self.on_training_text and self.on_training_text.means,
            "validation": {key: value for key, value in self.history.validation_curve[-1].items() if key != "step"},
            "intervals": self.history.intervals,
        }

    def _say(self, line: str) -> None:
        if self.world.main:
            say(line)
