"""Cross-entropy over a large vocabulary, with less memory traffic than the stock function.

    losses, right = cross_entropy(logits, targets)      # each (predictions,)

Stock PyTorch turns logits into fp32, keeps their log-probabilities, makes a one-hot gradient of the same size, and
casts it back. Here the probabilities are made once, in the logits' own type (inside, PyTorch's softmax computes in
fp32), and turned in place into the gradient. That is for CPUs: a GPU has the bandwidth, and `torch.compile` fuses those
passes, so that both compute the stock function, in fp32.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 64  # a maximum within blocks is fast; the place of it is then sought among few


def cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Losses in nats, fp32 (predictions,), and whether the largest logit is the target's, bool (predictions,).

    On a CPU, the losses of bfloat16 logits that are being trained with are good to 1/256 each, and their rounding
    errors average out; those of an evaluation, which asks for no gradient, are exact.

    Args:
        logits: (predictions, vocabulary), of any floating-point type; its gradient has the same type.
        targets: int64 (predictions,).
    """
    if logits.device.type != "cpu" or torch.compiler.is_compiling():
        losses = functional.cross_entropy(logits.float(), targets, reduction="none")
        return losses, logits.detach().argmax(dim=1) == targets
    if not logits.requires_grad:
        logits = logits.float()
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
        probabilities = logits.softmax(dim=1)
        high, best = _largest(logits)
        ctx.probabilities, ctx.targets = probabilities, targets
        right = best == targets
        ctx.mark_non_differentiable(right)
        # log Σ exp, by way of the largest probability, which is never 0.
        total = high.float() - probabilities.gather(1, best[:, None]).squeeze(1).float().log()
        wanted = logits.gather(1, targets[:, None]).squeeze(1).float()
        return total - wanted, right

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient: Tensor = ctx.probabilities
        ctx.probabilities = None
        rows = torch.arange(len(gradient), device=gradient.device)
        gradient[rows, ctx.targets] -= 1.0
        return gradient.mul_(gradients[0].to(gradient.dtype)[:, None]), None
