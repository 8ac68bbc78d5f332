"""Multi-head scaled-dot-product self-attention (Vaswani et al. 2017, section 3.2), without a loop over heads.

One linear layer makes queries, keys and values together: one large matrix product where three small ones would stand.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class SelfAttention(nn.Module):
    """Every token looks at every real token of its sequence, in `heads` subspaces of hidden_size / heads dimensions."""

    def __init__(self, hidden_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Attend.

        Args:
            hidden: (batch, sequence, hidden).
            mask: bool, broadcastable to (batch, heads, sequence, sequence), True = look there; None: everywhere.

        Returns:
            (batch, sequence, hidden), after the output projection.
        """
        batch, sequence, size = hidden.shape
        qkv = self.qkv(hidden).view(batch, sequence, 3, self.heads, size // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (batch, heads, sequence, size of a head)
        dropout = self.dropout if self.training else 0.0
        # On CPUs PyTorch 2.13 has a fused kernel whose bf16 backward pass takes ten times as long as plain products.
        plain = query.device.type == "cpu" and query.dtype == torch.bfloat16 and torch.is_grad_enabled()
        attend = _attend_in_products if plain else _attend_fused
        attended = attend(query, key, value, mask, dropout).transpose(1, 2).reshape(batch, sequence, size)
        projected: Tensor = self.output(attended)
        return projected


def _attend_fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)


def _attend_in_products(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights: Tensor = scores.softmax(-1)
    if dropout:
        weights = functional.dropout(weights, dropout)
    attended: Tensor = weights @ value
    return attended
