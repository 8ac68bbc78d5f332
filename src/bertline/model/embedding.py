"""Looking up rows of a table, with a gradient that is fast and the same every time on a GPU too.

    rows = embed(ids, table)        # as torch.nn.functional.embedding

Under `torch.use_deterministic_algorithms`, what `torch.compile` makes of an embedding's gradient adds up the rows of
each id one after the other: milliseconds for [MASK], an eighth of all tokens. PyTorch's own kernel adds them in
parallel, in a fixed order; it is called here through an operator that the compiler does not look into.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def embed(ids: Tensor, table: Tensor) -> Tensor:
    """Rows of a table: any shape of int64 ids, and (rows, size), to the ids' shape with `size` behind it."""
    if ids.device.type == "cpu":
        return functional.embedding(ids, table)
    rows: Tensor = _Embed.apply(ids, table)  # type: ignore[no-untyped-call]
    return rows


class _Embed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ids: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.rows = len(table)
        return functional.embedding(ids, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, _gradient(gradients[0], *ctx.saved_tensors, ctx.rows)


@torch.library.custom_op("bertline::embedding_gradient", mutates_args=())
def _gradient(gradient: Tensor, ids: Tensor, rows: int) -> Tensor:
    """The sums of the gradients of equal ids: (rows, size)."""
    sums: Tensor = torch.ops.aten.embedding_dense_backward(gradient, ids, rows, -1, False)
    return sums


@_gradient.register_fake
def _(gradient: Tensor, ids: Tensor, rows: int) -> Tensor:
    return gradient.new_empty(rows, gradient.shape[-1])
