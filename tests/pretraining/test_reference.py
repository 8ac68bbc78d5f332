"""The whole of a step against the straightforward reference: transformers' BertForPreTraining and torch's own AdamW."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import BertForPreTraining as TheirModel

from bertline.model.hf import save_model
from bertline.pretraining.examples import Batch
from pretraining.interrupted_run import CONFIG, open_run

STEPS = 50
RECIPE = replace(
    CONFIG, precision="fp32", dropout=0.0, sequence_length=32, batch_size=16, budget=STEPS, log_every=1, clip=1.0
)


def their_loss(model: TheirModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Both losses as transformers computes them: over all positions, -100 where nothing is asked for."""
    labels = torch.full_like(batch.ids, -100)
    for row in range(len(labels)):
        asked = batch.weights[row] > 0
        labels[row, batch.positions[row, asked]] = batch.targets[row, asked]
    made = model(input_ids=batch.ids, token_type_ids=batch.segments, attention_mask=batch.mask.long())
    mlm = functional.cross_entropy(made.prediction_logits.flatten(0, 1), labels.flatten())
    return mlm, functional.cross_entropy(made.seq_relationship_logits, batch.labels)


def their_optimizer(model: TheirModel) -> torch.optim.AdamW:
    spared = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    groups = [
        {"params": decayed, "weight_decay": RECIPE.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-6, foreach=False)


@pytest.mark.parametrize("accumulation", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_the_loss_curve_is_that_of_the_reference_over_fifty_steps(
    stores: Path, tmp_path: Path, accumulation: int
) -> None:
    with open_run(stores, tmp_path / "run", replace(RECIPE, accumulation=accumulation)) as trainer:
        (tmp_path / "start").mkdir()
        save_model(trainer.model, tmp_path / "start")
        theirs = TheirModel.from_pretrained(tmp_path / "start", attn_implementation="eager").train()
        rates = []
        for step in range(STEPS):
            trainer.history.step = step
            rates.append(trainer.learning_rate())
        trainer.history.step = 0
        trainer.train()
    optimizer = their_optimizer(theirs)
    for step, row in enumerate(trainer.history.curve):
        mlm, nsp = their_loss(theirs, trainer.source.batch(step))
        assert row["mlm_loss"] == pytest.approx(mlm.item(), abs=1e-4), f"step {step}"
        assert row["nsp_loss"] == pytest.approx(nsp.item(), abs=1e-4), f"step {step}"
        (mlm + nsp).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), RECIPE.clip)
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        optimizer.step()
        optimizer.zero_grad()
    first, last = trainer.history.curve[0], trainer.history.curve[-1]
    assert last["mlm_loss"] < first["mlm_loss"] - 0.1  # it has moved: the comparison is of something
