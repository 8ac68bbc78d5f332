"""Losses and accuracies of the two tasks."""

import pytest
import torch
from torch.nn import functional

from bertline.pretraining.cross_entropy import cross_entropy
from bertline.pretraining.objective import means, total_loss


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", [128, 100])
def test_cross_entropy_equals_the_stock_one_and_so_does_its_gradient(kind: torch.dtype, vocabulary: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(50, vocabulary, generator=generator)).to(kind)
    targets = torch.randint(0, vocabulary, (50,), generator=generator)
    targets[:20] = logits[:20].argmax(dim=1)
    weights = torch.rand(50, generator=generator)
    ours, stock = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    losses, right = cross_entropy(ours, targets)
    expected = functional.cross_entropy(stock.float(), targets, reduction="none")
    (losses * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.allclose(losses, expected, atol=1e-6 if kind == torch.float32 else 1 / 256)
    assert torch.allclose(cross_entropy(logits, targets)[0], expected, atol=1e-6)
    assert torch.equal(right, logits.argmax(dim=1) == targets)
    assert ours.grad is not None and stock.grad is not None and ours.grad.dtype == kind
    assert torch.allclose(ours.grad, stock.grad, atol=1e-6 if kind == torch.float32 else 4e-3)


def test_cross_entropy_stands_large_logits() -> None:
    losses, right = cross_entropy(torch.tensor([[1e4, 0.0], [0.0, 1e4]]), torch.tensor([0, 0]))
    assert losses.tolist() == [0.0, 1e4] and right.tolist() == [True, False]


def test_means_are_over_predictions_and_sequences() -> None:
    sums = [20.0, 5.0, 10.0, 3.0, 3.0, 4.0]
    assert means(sums, pairs=True) == {
        "mlm_loss": 2.0,
        "mlm_accuracy": 0.5,
        "nsp_loss": 0.75,
        "nsp_accuracy": 0.75,
    }
    assert means(sums, pairs=False)["nsp_loss"] is None
    assert total_loss(torch.tensor(sums), predictions=10, sequences=4, pairs=True).item() == 2.75
    assert total_loss(torch.tensor(sums), predictions=10, sequences=4, pairs=False).item() == 2.0
