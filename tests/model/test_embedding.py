"""Embedding lookup by the kernels of a GPU, as far as a CPU can tell."""

import pytest
import torch
from torch.nn import functional

from bertline.model.embedding import _Embed, embed


@pytest.mark.own_process
def test_the_gradient_for_gpus_is_that_of_the_stock_embedding():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(11, 6, generator=generator)
    ids = torch.randint(0, 9, (5, 7), generator=generator)
    upstream = torch.randn(5, 7, 6, generator=generator)
    ours, stock = table.clone().requires_grad_(), table.clone().requires_grad_()
    found, expected = _Embed.apply(ids, ours), functional.embedding(ids, stock)
    assert torch.equal(found, expected) and torch.equal(found, embed(ids, table))
    found.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, stock.grad)


@pytest.mark.slow
@pytest.mark.own_process
def test_the_operator_is_one_that_compilers_can_take():
    gradient, ids = torch.randn(5, 7, 6), torch.randint(0, 9, (5, 7))
    torch.library.opcheck(torch.ops.bertline.embedding_gradient.default, (gradient, ids, 11))
