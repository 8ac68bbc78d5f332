"""The loss as torch.compile sees it on a GPU: one graph, whatever the lengths, with the loss and gradients of eager."""

from dataclasses import replace

import pytest
import torch

from bertline.model import bert
from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.model.embedding import _Embed
from bertline.model.packing import pack
from bertline.pretraining.cross_entropy import cross_entropy
from bertline.pretraining.examples import Batch
from bertline.pretraining.objective import objective_sums, total_loss

CONFIG = BertConfig(vocab_size=200, hidden_size=32, layers=2, heads=2, intermediate_size=64, max_positions=24)


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Embeddings as on a GPU, in the deterministic mode in which the trainer runs; fp32 attends there as here."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(bert, "embed", _Embed.apply)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
    torch._dynamo.reset()


def batch_of(shortest: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, 25, (48,), generator=generator)
    mask = torch.arange(24) < lengths[:, None]
    return Batch(
        ids=torch.randint(5, 200, (48, 24), generator=generator) * mask,
        segments=torch.randint(0, 2, (48, 24), generator=generator) * mask,
        mask=mask,
        positions=torch.randint(0, 24, (48, 4), generator=generator) % lengths[:, None],
        targets=torch.randint(5, 200, (48, 4), generator=generator),
        weights=(torch.rand(48, 4, generator=generator) < 0.9).float(),
        labels=torch.randint(0, 2, (48,), generator=generator),
    )


def sums_and_gradients(model, sums_of, batch):
    model.zero_grad()
    sums = sums_of(model, batch, "fp32")
    total_loss(sums, predictions=150, sequences=48, pairs=True).backward()
    return sums.detach(), torch.cat([weight.grad.flatten() for weight in model.parameters()])


@pytest.mark.slow
@pytest.mark.own_process
@pytest.mark.parametrize("packed", [False, True])
def test_one_graph_serves_every_batch_and_computes_what_eager_does(as_on_a_gpu, packed):
    model = BertForPreTraining(CONFIG)
    initialize(model, seed=0)
    compiled = torch.compile(objective_sums, fullgraph=True, backend="aot_eager")
    tokens = set()
    for number, shortest in enumerate((3, 12, 20)):
        plain = batch = batch_of(shortest, seed=number)
        if packed:
            batch = replace(plain, mask=pack(plain.mask))
            torch._dynamo.mark_dynamic(batch.mask.places, 0)
            tokens.add(len(batch.mask.places))
        sums, gradients = sums_and_gradients(model, compiled, batch)
        expected_sums, expected = sums_and_gradients(model, objective_sums, plain)
        torch.testing.assert_close(sums, expected_sums, rtol=1e-6, atol=1e-4)
        assert (gradients - expected).norm() < 1e-5 * expected.norm()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not packed or len(tokens) > 1, "the batches were meant to differ in length"


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_compiled_cross_entropy_is_the_stock_one_in_fp32(as_on_a_gpu, kind):
    logits = (3 * torch.randn(50, 128, generator=torch.Generator().manual_seed(0))).to(kind).requires_grad_()
    targets = torch.arange(50)
    losses, right = torch.compile(cross_entropy, fullgraph=True, backend="aot_eager")(logits, targets)
    expected = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    torch.testing.assert_close(losses, expected)
    assert torch.equal(right, logits.argmax(dim=1) == targets)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(gradient, expected_gradient)
