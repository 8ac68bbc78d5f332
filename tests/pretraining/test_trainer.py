"""The trainer: it learns, it can be interrupted, and it stops when it must."""

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bertline.base.config import Pretrain, SecondPhase
from bertline.base.errors import BertlineError
from bertline.pretraining import learner
from bertline.pretraining.examples import Batch
from bertline.pretraining.learner import Learner
from bertline.pretraining.measure import Measured
from bertline.pretraining.plan import Plan
from bertline.pretraining.trainer import Trainer, fingerprint
from bertline.training.checkpoint import optimizer_tensors
from bertline.training.distributed import World
from pretraining.interrupted_run import CONFIG, open_run, struck_at
from pretraining.tiny_corpus import place_store, random_lengths

State = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], list[Any], list[Any], Any]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def finish(stores: Path, run: Path, config: Pretrain = CONFIG) -> State:
    """Train to the end, from wherever the run stands, and return all that the run is judged by."""
    with open_run(stores, run, config) as trainer:
        trainer.train()
        weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        moments = optimizer_tensors(trainer.model, trainer.optimizer)
        history = trainer.history
        return weights, moments, history.curve, history.validation_curve, trainer.metrics()


@pytest.fixture(scope="module")
def undisturbed(stores: Path, tmp_path_factory: pytest.TempPathFactory) -> State:
    return finish(stores, tmp_path_factory.mktemp("undisturbed"))


def identical(one: State, other: State) -> bool:
    tensors = all(
        mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
        for mine, theirs in zip(one[:2], other[:2], strict=True)
    )
    return tensors and one[2:] == other[2:]


@pytest.mark.slow
def test_a_run_learns_what_there_is_to_learn(stores: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, budget=300, learning_rate=3e-3, batch_size=32, dropout=0.0, evaluate_every=100)
    config = replace(config, evaluation_batches=8)
    _, _, curve, validation, metrics = finish(stores, tmp_path, config)
    assert validation[0]["mlm_loss"] == pytest.approx(5.26, abs=0.1)  # log(192), by the bias alone
    assert metrics["validation"]["mlm_loss"] < 4.2  # knowing the topic: log(24) = 3.2
    assert metrics["validation"]["nsp_accuracy"] > 0.7
    assert metrics["train"]["mlm_accuracy"] > 0.02
    assert [row["step"] for row in validation] == [0, 100, 200, 300]
    assert [row["step"] for row in curve] == [*range(3, 301, 3)]
    assert curve[-1]["tokens"] == metrics["tokens"] == 300 * 32 * 16


def test_the_same_run_twice_is_the_same_to_the_last_bit(stores: Path, tmp_path: Path, undisturbed: State) -> None:
    assert identical(finish(stores, tmp_path / "again"), undisturbed)
    other = finish(stores, tmp_path / "other", replace(CONFIG, seed=1))
    assert not identical(other, undisturbed)  # the comparison can fail


# The first step, one like any other, a checkpoint's, an evaluation's, the last but one, the last.
@pytest.mark.parametrize("at", [1, 3, 8, 10, pytest.param(23, marks=pytest.mark.slow), 24])
def test_sigterm_ends_after_the_step_with_143_and_the_rest_is_as_if_undisturbed(
    stores: Path, tmp_path: Path, undisturbed: State, at: int
) -> None:
    with pytest.raises(SystemExit) as ended, open_run(stores, tmp_path, kind=struck_at(at, signal.SIGTERM)) as trainer:
        trainer.train()
    assert ended.value.code == 143
    assert (tmp_path / f"step-{at:08d}" / "manifest.json").is_file()
    assert identical(finish(stores, tmp_path), undisturbed)


@pytest.mark.parametrize(("at", "name"), [(0, "validation"), (10, "validation"), (24, "validation"), (24, "train")])
def test_sigterm_during_an_evaluation_leaves_that_evaluation_to_the_next_sitting(
    stores: Path, tmp_path: Path, undisturbed: State, at: int, name: str
) -> None:
    class Struck(Trainer):
        def _measure(self, measured: str) -> Measured | None:
            if (self.history.step, measured) == (at, name):
                os.kill(os.getpid(), signal.SIGTERM)
            return super()._measure(measured)

    with pytest.raises(SystemExit) as ended, open_run(stores, tmp_path, kind=Struck) as trainer:
        trainer.train()
    assert ended.value.code == 143
    assert (tmp_path / f"step-{at:08d}" / "manifest.json").is_file()
    assert identical(finish(stores, tmp_path), undisturbed)


PHASES = replace(CONFIG, second_phase=SecondPhase(share=0.5, sequence_length=40, batch_size=4))


def test_positions_of_longer_sequences_begin_as_copies_of_the_known_ones(stores: Path, tmp_path: Path) -> None:
    tables = {}

    class Watched(Trainer):
        def advance(self, parts: Any, learning_rate: float) -> None:
            super().advance(parts, learning_rate)
            tables[self.history.step] = self.model.bert.position_embeddings.detach().clone()

    with open_run(stores, tmp_path, PHASES, Watched) as trainer:
        trainer.train()
    before, after, end = tables[11], tables[12], tables[24]
    assert not torch.equal(before[16:31], before[1:16])
    assert torch.equal(after[16:31], after[1:16]) and torch.equal(after[31:46], after[1:16])  # not those of [CLS]
    assert not torch.equal(end[16:31], end[1:16]) and torch.equal(end[496:511], end[481:496])


def test_a_model_that_was_given_keeps_the_positions_that_it_knows(stores: Path) -> None:
    trainer = open_run(stores, stores / "unused", PHASES)
    given = Learner(trainer.model, replace(PHASES, init_from="data/initial/some"), ALONE, trainer.device)
    before = trainer.model.bert.position_embeddings.detach().clone()
    given.lengthen(16)
    assert torch.equal(trainer.model.bert.position_embeddings, before)


@pytest.mark.parametrize("at", [pytest.param(11, marks=pytest.mark.slow), 12, pytest.param(13, marks=pytest.mark.slow)])
def test_a_run_interrupted_where_its_sequences_grow_ends_as_if_undisturbed(
    stores: Path, tmp_path: Path, at: int
) -> None:
    undisturbed = finish(stores, tmp_path / "undisturbed", PHASES)
    struck = struck_at(at, signal.SIGTERM)
    with pytest.raises(SystemExit), open_run(stores, tmp_path / "struck", PHASES, struck) as trainer:
        trainer.train()
    assert identical(finish(stores, tmp_path / "struck", PHASES), undisturbed)


# Batches of 2 in the first 6 steps, of 4 in the next 6, then of 8; weights added up after 14, 16, … 24 steps.
COMBINED = replace(CONFIG, optimizer="lamb", ramp_from=2, ramp_share=0.5, average_share=0.5, average_every=2)


@pytest.fixture(scope="module")
def combined(stores: Path, tmp_path_factory: pytest.TempPathFactory) -> State:
    return finish(stores, tmp_path_factory.mktemp("combined"), COMBINED)


@pytest.mark.parametrize(("at", "batch_size", "averaged"), [(9, 4, 0), (17, 8, 2)], ids=["ramp", "averaging"])
def test_a_run_with_lamb_interrupted_in_its_ramp_or_its_average_ends_as_if_undisturbed(
    stores: Path, tmp_path: Path, combined: State, at: int, batch_size: int, averaged: int
) -> None:
    struck = struck_at(at, signal.SIGTERM)
    with pytest.raises(SystemExit), open_run(stores, tmp_path, COMBINED, struck) as trainer:
        trainer.train()
    assert trainer.history.step == at and trainer.plan.stage(at).batch_size == batch_size
    assert trainer.learner.average.count == averaged
    assert identical(finish(stores, tmp_path, COMBINED), combined)


def test_a_run_ends_with_the_mean_of_weights_to_those_of_the_last_step(stores: Path, tmp_path: Path) -> None:
    snapshots: dict[int, Any] = {}

    class Watched(Trainer):
        def advance(self, parts: Any, learning_rate: float) -> None:
            super().advance(parts, learning_rate)
            snapshots[self.history.step] = {name: value.clone() for name, value in self.model.state_dict().items()}

    config = replace(CONFIG, average_share=0.5, average_every=5, embedding_init="normal")
    with open_run(stores, tmp_path, config, Watched) as trainer:
        trainer.train()
    assert trainer.learner.average.count == 3
    for name, value in trainer.model.state_dict().items():
        expected = torch.stack([snapshots[step][name] for step in (15, 20, 24)]).mean(dim=0)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)


class OneOfTwo(World):
    """One of two processes, without the other."""

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor


ALONE = World()


def test_dropout_is_another_in_each_step_seed_and_process(stores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "DistributedDataParallel", lambda model: model)
    trainer = open_run(stores, stores / "unused")
    parts = [trainer.source.batch(0)]

    def loss(step: int = 3, seed: int = 0, world: World = ALONE) -> float:
        config = replace(CONFIG, seed=seed, precision="fp32")
        sums, _ = Learner(copy.deepcopy(trainer.model), config, world, trainer.device).gradients(parts, step)
        return float(sums[0])

    assert loss() == loss()
    first, second = (OneOfTwo(rank=rank, size=2) for rank in (0, 1))
    assert len({loss(), loss(step=4), loss(seed=1), loss(world=first), loss(world=second)}) == 5


def test_the_average_of_a_run_in_minutes_has_the_weights_of_the_last_step_too(stores: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, budget=0.02, budget_unit="minutes", embedding_init="normal", evaluation_batches=1)
    with open_run(stores, tmp_path, replace(config, average_share=0.5, average_every=1_000_000)) as trainer:
        trainer.train()
    assert trainer.learner.average.count == 1


def test_checkpoints_of_another_recipe_are_refused(stores: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit), open_run(stores, tmp_path, kind=struck_at(6, signal.SIGTERM)) as trainer:
        trainer.train()
    with pytest.raises(BertlineError, match=r"its checkpoints are of another recipe\. Name another directory"):
        open_run(stores, tmp_path, replace(CONFIG, learning_rate=CONFIG.learning_rate / 2)).__enter__()
    with open_run(stores, tmp_path, replace(CONFIG, checkpoint_every=CONFIG.checkpoint_every + 1)) as trainer:
        assert trainer.history.step == 6, "how often they are written makes no other recipe"


def test_no_weights_of_before_longer_sequences_are_averaged_with_later_ones(stores: Path, tmp_path: Path) -> None:
    phase = SecondPhase(share=0.25, sequence_length=32, batch_size=4)
    config = replace(CONFIG, average_share=0.5, average_every=5, second_phase=phase, embedding_init="normal")
    with open_run(stores, tmp_path, config) as trainer:
        trainer.train()
    assert trainer.plan.lengthened(18) == 16
    assert trainer.learner.average.count == 2  # of steps 20 and 24; in step 15 the later positions were random


def test_sigint_ends_with_130_and_the_handlers_are_put_back(stores: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, open_run(stores, tmp_path, kind=struck_at(2, signal.SIGINT)) as trainer:
        trainer.train()
    assert ended.value.code == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_sigkill_loses_only_what_came_after_the_last_checkpoint(
    stores: Path, tmp_path: Path, undisturbed: State, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Path(__file__).with_name("interrupted_run.py")
    arguments = [str(stores), str(tmp_path), str(int(signal.SIGKILL)), "11"]
    ended = subprocess.run([sys.executable, str(program), *arguments], capture_output=True, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000004", "step-00000008"]
    (tmp_path / ".step-00000012.kill_ed.tmp").mkdir()
    state = finish(stores, tmp_path)
    assert "going on from step 8" in capsys.readouterr().err
    assert identical(state, undisturbed)
    assert not list(tmp_path.glob(".step-*"))
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == undisturbed[2]


def test_an_altered_checkpoint_is_named_and_the_one_before_it_used(
    stores: Path, tmp_path: Path, undisturbed: State, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), open_run(stores, tmp_path, kind=struck_at(9, signal.SIGTERM)) as trainer:
        trainer.train()
    weights = tmp_path / "step-00000009" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    state = finish(stores, tmp_path)
    said = capsys.readouterr().err
    assert str(weights) in said and "going on from step 8" in said
    assert identical(state, undisturbed)


def test_a_second_trainer_on_the_same_run_is_refused(stores: Path, tmp_path: Path) -> None:
    second = open_run(stores, tmp_path)
    with open_run(stores, tmp_path), pytest.raises(BertlineError, match=f"already running: process {os.getpid()}"):
        second.__enter__()
    with second:
        pass


def test_accumulated_micro_batches_give_the_curve_of_one_batch(stores: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, precision="fp32", dropout=0.0, budget=10, log_every=1)
    whole = finish(stores, tmp_path / "whole", config)
    parts = finish(stores, tmp_path / "parts", replace(config, accumulation=4))
    for one, two in zip(whole[2], parts[2], strict=True):
        # A logged figure has six decimals: the last of them may round either way.
        assert two["mlm_loss"] == pytest.approx(one["mlm_loss"], rel=1e-6, abs=1.1e-6)
        assert two["nsp_loss"] == pytest.approx(one["nsp_loss"], rel=1e-6, abs=1.1e-6)


def test_a_loss_that_is_not_finite_stops_before_the_optimizer_step(stores: Path, tmp_path: Path) -> None:
    with open_run(stores, tmp_path) as trainer:
        for step in range(5):
            trainer.history.add(trainer.train_step([trainer.source.batch(step)], 1e-3))
        with torch.no_grad():
            trainer.model.mlm_bias[7] = float("inf")
        before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        with pytest.raises(BertlineError, match=r"step 5: the loss is (nan|inf).*seed 0"):
            trainer.train_step([trainer.source.batch(5)], 1e-3)
        assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_gradient_that_is_not_finite_stops_before_the_optimizer_step(
    stores: Path, tmp_path: Path, value: str
) -> None:
    def poison(gradient: torch.Tensor) -> torch.Tensor:
        return gradient.index_fill(0, torch.tensor([7]), float(value))

    with open_run(stores, tmp_path) as trainer:
        for step in range(5):
            trainer.history.add(trainer.train_step([trainer.source.batch(step)], 1e-3))
        before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        moments = {name: tensor.clone() for name, tensor in optimizer_tensors(trainer.model, trainer.optimizer).items()}
        hook = trainer.model.mlm_bias.register_hook(poison)
        what = rf"step 5: the loss is \d+\.\d+, the gradient norm {value}, in the batch of step 5 and seed 0"
        with pytest.raises(BertlineError, match=what):
            trainer.train_step([trainer.source.batch(5)], 1e-3)
        hook.remove()
        assert all(torch.equal(before[name], tensor) for name, tensor in trainer.model.state_dict().items())
        kept = optimizer_tensors(trainer.model, trainer.optimizer)
        assert kept.keys() == moments.keys() and all(torch.equal(kept[name], moments[name]) for name in kept)
        trainer.train_step([trainer.source.batch(5)], 1e-3)  # what was not finite is left in no gradient


@pytest.mark.parametrize(
    ("budget", "unit", "steps"), [(7, "steps", 7), (6.2, "steps", 7), (1000, "tokens", 8), (128, "tokens", 1)]
)
def test_a_budget_may_be_in_steps_or_tokens(stores: Path, tmp_path: Path, budget: float, unit: Any, steps: int) -> None:
    config = replace(CONFIG, budget=budget, budget_unit=unit, embedding_init="normal")
    assert Plan.of(config).steps == steps
    _, _, curve, _, metrics = finish(stores, tmp_path, config)
    assert metrics["steps"] == steps and curve[-1]["step"] == steps


def test_a_budget_may_be_in_minutes(stores: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, budget=0.05, budget_unit="minutes", embedding_init="normal", evaluation_batches=1)
    with open_run(stores, tmp_path, config) as trainer:
        trainer.train()
        assert trainer.history.seconds >= 3 and trainer.history.step > 1
        rates = [row["learning_rate"] for row in trainer.history.curve]
        assert rates[-1] < max(rates) < config.learning_rate * 1.0001


def test_the_schedule_follows_the_budget(stores: Path, tmp_path: Path) -> None:
    _, _, curve, _, _ = finish(stores, tmp_path, replace(CONFIG, log_every=1, warmup=0.25, embedding_init="normal"))
    rates = [row["learning_rate"] / CONFIG.learning_rate for row in curve]
    assert rates[:3] == pytest.approx([0.5 / 6, 1.5 / 6, 2.5 / 6])
    assert rates[-1] == pytest.approx(0.5 / 18) and max(rates) == pytest.approx(17.5 / 18)


def test_the_mlm_objective_leaves_next_sentences_out(stores: Path, tmp_path: Path) -> None:
    weights, _, curve, validation, metrics = finish(stores, tmp_path, replace(CONFIG, objective="mlm"))
    assert metrics["train"]["nsp_loss"] is metrics["validation"]["nsp_accuracy"] is curve[0]["nsp_loss"] is None
    assert curve[-1]["mlm_loss"] > 0 and validation[-1]["mlm_loss"] > 0
    assert not weights["nsp.bias"].any()  # never moved


def test_a_cpu_run_logs_speed_and_waiting_time(stores: Path, tmp_path: Path) -> None:
    finish(stores, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 8
    assert all(row["tokens_per_second"] > 0 and 0 <= row["waiting_share"] <= 1 and row["mfu"] > 0 for row in rows)


def test_discarding_keeps_the_logs_and_the_next_run_starts_anew(stores: Path, tmp_path: Path) -> None:
    with open_run(stores, tmp_path) as trainer:
        trainer.train()
        trainer.discard_checkpoints()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.jsonl", "lock", "log.jsonl"]
    with open_run(stores, tmp_path) as trainer:
        assert trainer.history.step == 0


def test_the_fingerprint_follows_what_the_result_depends_on(stores: Path, tmp_path: Path) -> None:
    def name(**changed: Any) -> str:
        trainer = open_run(stores, tmp_path)
        return fingerprint(replace(CONFIG, **changed), trainer.store, trainer.store)

    assert name() == name(checkpoint_every=7)
    assert len({name(), name(seed=1), name(learning_rate=0.5), name(threads=2)}) == 4
    trainer = open_run(stores, tmp_path)
    changes: list[dict[str, Any]] = [{"vocab_sha256": "1"}, {"sha256": {}}, {"sources": [["other", 60]]}]
    for changed in changes:
        altered = replace(trainer.store, meta=trainer.store.meta | changed)
        assert name() not in (fingerprint(CONFIG, altered, trainer.store), fingerprint(CONFIG, trainer.store, altered))


@pytest.mark.parametrize("changed", [{"upsample": {"few": 5}}, {"seed": 1}, {"ramp_from": 2, "ramp_share": 0.5}])
def test_a_run_is_measured_on_every_document_once_whatever_it_is_trained_on(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    for seed, split in enumerate(("train", "validation")):
        place_store(tmp_path / split, random_lengths(30, seed=seed), sources=[("few", 3), ("many", 27)])
    plain, other = (open_run(tmp_path, tmp_path / "run", replace(CONFIG, **options)) for options in ({}, changed))
    for name, source in plain.measured.items():
        batches = (source.batch(0), other.measured[name].batch(0))
        assert all(torch.equal(*(getattr(batch, item.name) for batch in batches)) for item in fields(Batch)), name
    assert not torch.equal(plain.source.batch(0).ids, other.source.batch(0).ids)
    assert not torch.equal(plain.source.batch(0).ids, plain.measured["train"].batch(0).ids)  # nor on what it has seen


def test_a_gpu_that_is_not_there_is_asked_for_in_vain(stores: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU: that none is there is told only where there is none")
    with pytest.raises(BertlineError, match="no CUDA device"):
        open_run(stores, tmp_path, replace(CONFIG, device="cuda"))


def test_trainers_are_context_managers_that_release_their_run(stores: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_run(stores, tmp_path):
        raise RuntimeError
    with open_run(stores, tmp_path) as trainer:
        assert isinstance(trainer, Trainer)
