"""Multi-head scaled-dot-product self-attention (Vaswani et al. 2017, section 3.2), without a loop over heads.

One linear layer makes queries, keys and values together: one large matrix product where three small ones would stand.
PyTorch's fused kernel attends, except when a CPU trains: in bfloat16 its backward pass takes ten times as long as plain
products, and with dropout it draws its random numbers one by one. There the products are written out, forward and
backward.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bertline.model.dropout import dropout as dropout_layer
from bertline.model.dropout import kept
from bertline.model.packing import Mask, Packing, attend_packed, kernel_takes


class SelfAttention(nn.Module):
    """Every token looks at every real token of its sequence, in `heads` subspaces of hidden_size / heads dimensions."""

    def __init__(self, hidden_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self._drop = dropout_layer(dropout)

    def forward(self, hidden: Tensor, mask: Mask) -> Tensor:
        """Attend.

        Args:
            hidden: (batch, sequence, hidden); packed (tokens, hidden).
            mask: bool (batch, sequence), True = look there; None: everywhere; a packing: everywhere in one's sequence.

        Returns:
            The shape of `hidden`, after the output projection.
        """
        projected: Tensor = self.output(self.attend(hidden, mask))
        return projected

    def attend(self, hidden: Tensor, mask: Mask) -> Tensor:
        """The same before the output projection, for those who want it of some tokens alone."""
        made = self.qkv(hidden).unflatten(-1, (3, self.heads, -1))
        if isinstance(mask, Packing):
            return self._attend_packed(made, mask).reshape(hidden.shape)
        query, key, value = made.unbind(-3)
        return self._attend(query, key, value, mask).reshape(hidden.shape)

    def _attend_packed(self, made: Tensor, packing: Packing) -> Tensor:
        """Queries, keys and values, (tokens, 3, heads, size of a head), to (tokens, heads, size of a head)."""
        if kernel_takes(made) and not (self.training and self.dropout):
            query, key, value = made.unbind(-3)
            return attend_packed(query, key, value, packing)
        parts = packing.parts or (packing,)
        sizes = [len(part.places) for part in parts]
        *states, fillers = torch.split(made, [*sizes, len(made) - sum(sizes)])  # these are in no part
        attended = []
        for part, own in zip(parts, states, strict=True):
            query, key, value = part.pad(own).unbind(-3)
            attended.append(part.strip(self._attend(query, key, value, part.mask)))
        return torch.cat((*attended, fillers.new_zeros(len(fillers), *made.shape[2:])))

    def some(self, chosen: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """What `forward` gives for some tokens of each sequence: only they ask, and all are looked at.

        Args:
            chosen: (batch, n, hidden), of those that ask.
            hidden: (batch, sequence, hidden), of all tokens.
            mask: as `forward` takes it, but no packing.

        Returns:
            The shape of `chosen`.
        """
        size, weight, bias = hidden.shape[-1], self.qkv.weight, self.qkv.bias
        query = functional.linear(chosen, weight[:size], bias[:size])
        others = functional.linear(hidden, weight[size:], bias[size:])
        query = query.view(*query.shape[:-1], self.heads, -1)
        key, value = others.view(*others.shape[:-1], 2, self.heads, -1).unbind(-3)
        projected: Tensor = self.output(self._attend(query, key, value, mask).reshape(chosen.shape))
        return projected

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Queries (batch, n, heads, size of a head), keys, values, to the queries' shape."""
        dropout = self.dropout if self.training else 0.0
        if _trains_on_cpu(query, dropout) and not (dropout and torch.compiler.is_compiling()):
            attended: Tensor = _Products.apply(query, key, value, mask, dropout)  # type: ignore[no-untyped-call]
            return attended
        return _attend_fused(query, key, value, mask, dropout)

    def first(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """What `forward` gives for the first token of each sequence, (batch, 1, hidden), at a fraction of its cost.

        No keys and values are made: the one query of a head goes through the keys' weights instead, and the weighted
        mean of the hidden states through the values'. A bias of the keys adds the same to all scores, and so nothing.
        """
        size = hidden.shape[-1]
        heads = (self.heads, size // self.heads, size)
        of_query, of_key, of_value = self.qkv.weight.chunk(3)
        query_bias, _, value_bias = self.qkv.bias.chunk(3)
        query = functional.linear(hidden[:, 0], of_query, query_bias).view(-1, *heads[:2])
        through_keys = torch.einsum("bhd,hdc->bhc", query * heads[1] ** -0.5, of_key.view(heads))
        scores = through_keys @ hidden.transpose(1, 2).to(through_keys.dtype)  # (batch, heads, sequence)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -torch.inf)
        weights = self._drop(scores.softmax(-1).to(scores.dtype))
        mean = weights @ hidden.to(weights.dtype)  # (batch, heads, hidden)
        attended = torch.einsum("bhc,hdc->bhd", mean, of_value.view(heads))
        attended = attended + weights.sum(-1, keepdim=True) * value_bias.view(heads[:2])
        projected: Tensor = self.output(attended.flatten(1).unsqueeze(1))
        return projected


def _trains_on_cpu(query: Tensor, dropout: float) -> bool:
    written_out = query.dtype == torch.bfloat16 or bool(dropout)
    return query.device.type == "cpu" and written_out and torch.is_grad_enabled()


def _attend_fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    query, key, value = (each.transpose(1, 2) for each in (query, key, value))  # by heads first
    where = None if mask is None else mask[:, None, None, :]
    attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=where, dropout_p=dropout)
    return attended.transpose(1, 2)


class _Products(torch.autograd.Function):
    """Attention in matrix products: queries (batch, n, heads, size of a head), keys, values, to the queries' shape.

    Written out, because autograd would keep and fill a mask twice a layer, scale whole matrices of scores, and copy
    queries, keys and values again for each product they enter.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        ctx.heads, ctx.scale_of_scores, ctx.scale = query.shape[2], query.shape[3] ** -0.5, 1 / (1 - dropout)
        query, key, value = (_by_head(each) for each in (query, key, value))
        hidden = None if mask is None else _hiding(mask, query.dtype).repeat_interleave(ctx.heads, dim=0)
        weights = _product(query, key.transpose(1, 2), ctx.scale_of_scores, hidden).softmax(-1)
        ctx.keep = kept(weights.shape, dropout).to(weights.dtype) if dropout else None
        ctx.used = weights * ctx.keep if dropout else weights
        ctx.save_for_backward(query, key, value, weights)
        return _by_token(_product(ctx.used, value, ctx.scale), ctx.heads)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, weights = ctx.saved_tensors
        gradient = _by_head(gradients[0])
        of_weights = _product(gradient, value.transpose(1, 2), ctx.scale)
        if ctx.keep is not None:
            of_weights.mul_(ctx.keep)
        # Where a weight is 0, hidden tokens included, so is the gradient of its score.
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_query = _by_token(_product(of_scores, key, ctx.scale_of_scores), ctx.heads)
        of_key = _by_token(_product(of_scores.transpose(1, 2), query, ctx.scale_of_scores), ctx.heads)
        of_value = _by_token(_product(ctx.used.transpose(1, 2), gradient, ctx.scale), ctx.heads)
        ctx.keep = ctx.used = None
        return of_query, of_key, of_value, None, None


def _by_head(states: Tensor) -> Tensor:
    """(batch, n, heads, size) to (batch · heads, n, size), for products of many matrices."""
    return states.transpose(1, 2).flatten(0, 1)


def _by_token(states: Tensor, heads: int) -> Tensor:
    """The way back, as a view."""
    return states.view(-1, heads, *states.shape[1:]).transpose(1, 2)


def _product(one: Tensor, other: Tensor, scale: float, added: Tensor | None = None) -> Tensor:
    """scale · one · other + added, for each entry of the first dimension; in one kernel, the sum is all but free."""
    start = one.new_empty(1, 1, 1) if added is None else added
    start = start.expand(len(one), one.shape[1], other.shape[2])
    return torch.baddbmm(start, one, other, beta=0 if added is None else 1, alpha=scale)


def _hiding(mask: Tensor, kind: torch.dtype) -> Tensor:
    """What is added to scores so that padding gets no weight: (batch, 1, sequence), 0 or the least number."""
    return torch.zeros(mask.shape, dtype=kind).masked_fill_(~mask, torch.finfo(kind).min)[:, None]
