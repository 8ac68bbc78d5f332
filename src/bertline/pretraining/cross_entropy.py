"""Cross-entropy over a large vocabulary, with less memory traffic than the stock function.

    losses, right = cross_entropy(logits, targets)      # each (predictions,)

Stock PyTorch keeps the log-probabilities, makes a one-hot gradient of the same size, and casts both ways; and its
argmax over a long row is not vectorised. Here one fp32 copy of the logits is turned in place into exponentials, and
those into the gradient.
"""

from typing import Any

import torch
from torch import Tensor

_BLOCK = 64  # a maximum within blocks is fast; the place of it is then sought among few


def cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Losses in nats, fp32 (predictions,), and whether the largest logit is the target's, bool (predictions,).

    Args:
        logits: (predictions, vocabulary), of any floating-point type; its gradient has the same type.
        targets: int64 (predictions,).
    """
    losses, right = _CrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]
    return losses, right


def _largest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value of each row and its place, each (rows,)."""
    if logits.shape[1] % _BLOCK:
        return logits.max(dim=1)
    blocks = logits.view(len(logits), -1, _BLOCK)
    high, block = blocks.amax(dim=2).max(dim=1)
    inside = blocks[torch.arange(len(blocks), device=blocks.device), block].argmax(dim=1)
    return high, block * _BLOCK + inside


class _CrossEntropy(torch.autograd.Function):
    """Its gradient reuses the memory of its forward pass: it can be taken once."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        exponentials = logits.to(torch.float32, copy=True)
        high, best = _largest(exponentials)
        wanted = exponentials.gather(1, targets[:, None]).squeeze(1)
        exponentials.sub_(high[:, None]).exp_()
        total = exponentials.sum(dim=1)
        ctx.exponentials, ctx.total, ctx.targets, ctx.kind = exponentials, total, targets, logits.dtype
        right = best == targets
        ctx.mark_non_differentiable(right)
        return total.log() + high - wanted, right

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        losses = gradients[0]
        gradient = ctx.exponentials.mul_((losses / ctx.total)[:, None])
        ctx.exponentials = None
        gradient.scatter_add_(1, ctx.targets[:, None], -losses[:, None])
        return gradient.to(ctx.kind), None
