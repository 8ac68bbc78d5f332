"""Multi-head scaled-dot-product self-attention (Vaswani et al. 2017, section 3.2), without a loop over heads.

One linear layer makes queries, keys and values together: one large matrix product where three small ones would stand.
PyTorch's fused kernel attends, except when a CPU trains in bfloat16: there its backward pass takes ten times as long as
plain products, which are then written out, forward and backward.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bertline.model.dropout import kept
from bertline.model.packing import Mask, Packing, attend_packed


class SelfAttention(nn.Module):
    """Every token looks at every real token of its sequence, in `heads` subspaces of hidden_size / heads dimensions."""

    def __init__(self, hidden_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden: Tensor, mask: Mask) -> Tensor:
        """Attend.

        Args:
            hidden: (batch, sequence, hidden); packed (tokens, hidden).
            mask: bool (batch, sequence), True = look there; None: everywhere; a packing: everywhere in one's sequence.

        Returns:
            The shape of `hidden`, after the output projection.

        Raises:
            ValueError: dropout is asked of packed sequences, whose kernel has none.
        """
        qkv = self.qkv(hidden).unflatten(-1, (3, self.heads, -1))
        dropout = self.dropout if self.training else 0.0
        if isinstance(mask, Packing):
            if dropout:
                raise ValueError("attention over packed sequences has no dropout: train with a dropout of 0")
            attended = attend_packed(qkv, mask)
        elif _trains_on_cpu(qkv) and not (dropout and torch.compiler.is_compiling()):
            attended = _Products.apply(qkv, mask, dropout)  # type: ignore[no-untyped-call]
        else:
            attended = _attend_fused(qkv, mask, dropout)
        projected: Tensor = self.output(attended.reshape(hidden.shape))
        return projected


def _trains_on_cpu(qkv: Tensor) -> bool:
    return qkv.device.type == "cpu" and qkv.dtype == torch.bfloat16 and torch.is_grad_enabled()


def _attend_fused(qkv: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (batch, heads, sequence, size of a head)
    where = None if mask is None else mask[:, None, None, :]
    attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=where, dropout_p=dropout)
    return attended.transpose(1, 2)


class _Products(torch.autograd.Function):
    """Attention in matrix products: (batch, sequence, 3, heads, size of a head) to (batch, sequence, heads, size).

    Written out, because autograd would keep and fill a mask twice a layer, scale whole matrices of scores, and copy
    queries, keys and values again for each product they enter.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        batch, sequence, _, heads, size = qkv.shape
        query, key, value = qkv.permute(2, 0, 3, 1, 4).reshape(3, batch * heads, sequence, size)
        hidden = None if mask is None else _hiding(mask, qkv.dtype).repeat_interleave(heads, dim=0)
        weights = _product(query, key.transpose(1, 2), size**-0.5, hidden).softmax(-1)
        ctx.keep = kept(weights.shape, dropout) if dropout else None
        ctx.used = weights * ctx.keep if dropout else weights
        ctx.scale = 1 / (1 - dropout)
        ctx.save_for_backward(query, key, value, weights)
        attended = _product(ctx.used, value, ctx.scale)
        return attended.view(batch, heads, sequence, size).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        query, key, value, weights = ctx.saved_tensors
        batch, sequence, heads, size = gradients[0].shape
        gradient = gradients[0].transpose(1, 2).reshape(batch * heads, sequence, size)
        of_weights = _product(gradient, value.transpose(1, 2), ctx.scale)
        if ctx.keep is not None:
            of_weights.mul_(ctx.keep)
        # Where a weight is 0, hidden tokens included, so is the gradient of its score.
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        parts = (
            _product(of_scores, key, size**-0.5),
            _product(of_scores.transpose(1, 2), query, size**-0.5),
            _product(ctx.used.transpose(1, 2), gradient, ctx.scale),
        )
        ctx.keep = ctx.used = None
        made = torch.empty(batch, sequence, 3, heads, size, dtype=gradient.dtype)
        for number, part in enumerate(parts):
            made[:, :, number] = part.view(batch, heads, sequence, size).transpose(1, 2)
        return made, None, None


def _product(one: Tensor, other: Tensor, scale: float, added: Tensor | None = None) -> Tensor:
    """scale · one · other + added, for each entry of the first dimension; in one kernel, the sum is all but free."""
    start = one.new_empty(1, 1, 1) if added is None else added
    start = start.expand(len(one), one.shape[1], other.shape[2])
    return torch.baddbmm(start, one, other, beta=0 if added is None else 1, alpha=scale)


def _hiding(mask: Tensor, kind: torch.dtype) -> Tensor:
    """What is added to scores so that padding gets no weight: (batch, 1, sequence), 0 or the least number."""
    return torch.zeros(mask.shape, dtype=kind).masked_fill_(~mask, torch.finfo(kind).min)[:, None]
