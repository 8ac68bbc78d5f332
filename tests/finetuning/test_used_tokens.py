"""Only the token embeddings that the training rows use are in the optimizer; the result is as if all were."""

import math
from pathlib import Path

import torch
from torch import nn

from bertline.finetuning.used_tokens import UsedTokens
from bertline.inference.heads import build_model
from bertline.model.bert import BertWithHead, initialize
from bertline.model.hf import load_encoder
from bertline.tasks.batches import Batch, Features
from bertline.training.optimizer import make_optimizer, set_learning_rate
from toy_tasks import SHAPE, Prepare

RATES = (0.01, 0.02, 0.005, 0.01)  # of the steps


def start(prepare: Prepare, pretrained: Path) -> tuple[BertWithHead, Features]:
    data = prepare("classification", train_rows=24)
    model = build_model(data.task, SHAPE)
    initialize(model, seed=0)
    load_encoder(model, pretrained)
    # In double precision: Adam's first steps follow the sign of a gradient, however near to 0.
    return model.double(), data.train


def step(model: BertWithHead, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    logits = model(*(torch.from_numpy(array) for array in (batch.ids, batch.segments, batch.mask)))
    nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels)).backward()
    optimizer.step()


def optimizer_of(model: BertWithHead) -> torch.optim.Optimizer:
    return make_optimizer(model, "adamw", learning_rate=0.01, weight_decay=0.3)


def test_used_and_unused_embeddings_are_as_when_all_are_trained(prepare: Prepare, pretrained: Path) -> None:
    model, features = start(prepare, pretrained)
    expected, _ = start(prepare, pretrained)
    before = expected.bert.token_embeddings.weight.detach().clone()
    used = UsedTokens(model, features)
    assert len(model.bert.token_embeddings.weight) < len(before)
    optimizers = optimizer_of(model), optimizer_of(expected)
    for place, rate in enumerate(RATES):
        for optimizer in optimizers:
            set_learning_rate(optimizer, rate)
        batch = features.batch(range(6 * place, 6 * place + 6))
        step(model, used.batch(batch), optimizers[0])
        used.after_step(optimizers[0])
        step(expected, batch, optimizers[1])
        with used.whole():
            whole = model.bert.token_embeddings.weight
            torch.testing.assert_close(whole, expected.bert.token_embeddings.weight, rtol=1e-4, atol=1e-5)
    used.finish()
    met = {int(token) for example in features.examples for token in example.ids}
    unmet = [token for token in range(1, len(before)) if token not in met]
    assert len(unmet) > 5
    weights = dict(model.named_parameters())
    for name, weight in expected.named_parameters():
        torch.testing.assert_close(weights[name], weight, rtol=1e-4, atol=1e-5)
    decayed = before[unmet] * math.prod(1 - 0.3 * rate for rate in RATES)
    torch.testing.assert_close(weights["bert.token_embeddings.weight"][unmet], decayed)


def test_frozen_embeddings_stay_whole_and_as_they_are(prepare: Prepare, pretrained: Path) -> None:
    model, features = start(prepare, pretrained)
    weight = model.bert.token_embeddings.weight.requires_grad_(False)
    before = weight.clone()
    used, optimizer = UsedTokens(model, features), optimizer_of(model)
    assert model.bert.token_embeddings.weight is weight
    batch = features.batch(range(6))
    step(model, used.batch(batch), optimizer)
    used.after_step(optimizer)
    used.finish()
    assert torch.equal(model.bert.token_embeddings.weight, before)
