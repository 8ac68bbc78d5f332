"""A step made again: its very batch, from the weights that the run had there."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from bertline.base.errors import BertlineError
from bertline.pretraining.examples import Batch
from bertline.pretraining.objective import objective_sums
from bertline.pretraining.replay import describe, replay
from bertline.pretraining.trainer import Trainer
from bertline.tokens.tokenizer import SPECIAL_TOKENS
from pretraining.interrupted_run import CONFIG, open_run

POISONED = 10
RECIPE = replace(CONFIG, log_every=1)
VOCABULARY = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(192)), *(f"[unused{number}]" for number in range(59))]


class Poisoned(Trainer):
    """A run whose loss is not finite in one step, as a row of bad luck would have it."""

    def train_step(self, parts: Sequence[Batch], learning_rate: float) -> list[float]:
        if self.history.step == POISONED:
            parts = [replace(part, weights=part.weights * float("nan")) for part in parts]
        return super().train_step(parts, learning_rate)


def test_the_step_that_failed_is_found_again_to_the_bit(stores: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(BertlineError, match=rf"step {POISONED} and seed 0.*bertline pretrain --replay {POISONED}"),
        open_run(stores, tmp_path, RECIPE, Poisoned) as failing,
    ):
        failing.train()
    assert failing.history.step == POISONED
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = open_run(stores, tmp_path, RECIPE)
    replayed = replay(again, POISONED)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert (replayed.start, replayed.step, replayed.seed) == (8, POISONED, 0)
    batch = failing.source.batch(POISONED)
    assert all(torch.equal(getattr(replayed.batch, item.name), getattr(batch, item.name)) for item in fields(Batch))
    weights = failing.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in again.model.state_dict().items())


def test_the_one_parameter_whose_gradient_is_not_a_number_is_named_alone(stores: Path, tmp_path: Path) -> None:
    trainer = open_run(stores, tmp_path, RECIPE)
    name = "bert.layers.0.attention.qkv.weight"
    trainer.model.get_parameter(name).register_hook(
        lambda gradient: gradient.index_fill(0, torch.tensor([3]), torch.nan)
    )
    assert replay(trainer, 0).not_finite == (name,)


def test_its_figures_are_those_of_the_run(stores: Path, tmp_path: Path) -> None:
    with open_run(stores, tmp_path, RECIPE) as trainer:
        trainer.train()
        curve = trainer.history.curve
    replayed = replay(open_run(stores, tmp_path, RECIPE), 21)
    assert replayed.start == 20
    assert replayed.mlm_loss == pytest.approx(curve[21]["mlm_loss"], abs=1e-6)
    assert replayed.nsp_loss == pytest.approx(curve[21]["nsp_loss"], abs=1e-6)
    assert replayed.gradient_norm > 0 and not replayed.not_finite


def test_the_loss_of_each_sequence_is_its_own_and_without_dropout(stores: Path, tmp_path: Path) -> None:
    trainer = open_run(stores, tmp_path, replace(RECIPE, precision="fp32", short_rate=0.5, mask_rate=0.3))
    replayed, model = replay(trainer, 1), trainer.model.eval()
    assert len(set(replayed.batch.weights.sum(dim=1).tolist())) > 1, "short ones are asked for less"
    for row, loss in enumerate(replayed.losses.tolist()):
        with torch.no_grad():
            loss_sum, _, asked, *_ = objective_sums(model, replayed.batch.rows(slice(row, row + 1)), "fp32").tolist()
        assert loss == pytest.approx(loss_sum / asked, rel=1e-5)


def test_without_a_checkpoint_it_starts_at_the_beginning(stores: Path, tmp_path: Path) -> None:
    with open_run(stores, tmp_path / "run", RECIPE) as trainer:
        trainer.train()
    replayed = replay(open_run(stores, tmp_path / "none", RECIPE), 2)
    assert replayed.start == 0 and replayed.mlm_loss == pytest.approx(trainer.history.curve[2]["mlm_loss"], abs=1e-6)


def test_with_a_budget_in_minutes_the_learning_rates_are_those_of_the_curve(stores: Path, tmp_path: Path) -> None:
    config = replace(RECIPE, budget=0.05, budget_unit="minutes", embedding_init="normal", evaluation_batches=1)
    config = replace(config, checkpoint_every=1_000_000)
    with open_run(stores, tmp_path, config) as trainer:
        trainer.train()
        trainer.discard_checkpoints()
        curve = trainer.history.curve
    step = curve[-1]["step"] - 1
    replayed = replay(open_run(stores, tmp_path, config), step)
    assert replayed.start == 0 and replayed.mlm_loss == pytest.approx(curve[step]["mlm_loss"], abs=1e-5)


def test_its_sequences_are_looked_at_so_many_at_a_time_as_in_training(stores: Path, tmp_path: Path) -> None:
    seen = []
    trainer = open_run(stores, tmp_path, replace(RECIPE, accumulation=2, processes=2))
    trainer.model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    replayed = replay(trainer, 1)
    assert set(seen) == {2} and len(replayed.losses) == 8


def test_of_a_run_without_pairs_no_loss_of_theirs_is_shown(stores: Path, tmp_path: Path) -> None:
    lines = [
        list(describe(replay(open_run(stores, tmp_path, config), 1), VOCABULARY))
        for config in (RECIPE, replace(RECIPE, objective="mlm"))
    ]
    assert [("NSP loss" in line, "gradient norm" in line) for _, line, *_ in lines] == [(True, True), (False, True)]


def test_what_there_is_to_see_names_the_worst_sequences(stores: Path, tmp_path: Path) -> None:
    trainer = open_run(stores, tmp_path, RECIPE)
    replayed = replay(trainer, 1)
    losses = replayed.losses.clone()
    losses[3] = float("nan")
    lines = list(describe(replace(replayed, losses=losses, not_finite=("mlm_bias",)), VOCABULARY))
    assert lines[0] == "step 1 of seed 0, made again from the beginning"
    assert any("not finite: mlm_bias" in line for line in lines)
    rows = [line for line in lines if line.startswith("  row ")]
    assert len(rows) == 5 and rows[0].startswith("  row 3, loss nan: [CLS]") and "[MASK](w" in " ".join(rows)
