"""Dropout: what it drops, what it keeps, and that it is PyTorch's seed that decides."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bertline.model.attention import SelfAttention
from bertline.model.dropout import dropout, kept


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_it_drops_the_share_and_keeps_the_mean(share):
    torch.manual_seed(0)
    hidden = dropout(share)(torch.ones(1000, 999))
    assert (hidden == 0).float().mean().item() == pytest.approx(share, abs=0.002)
    assert hidden.mean().item() == pytest.approx(1.0, abs=0.005)
    assert hidden.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_only_what_is_kept_gets_a_gradient(kind):
    hidden = torch.randn(64, 33).to(kind).requires_grad_()
    made = dropout(0.3)(hidden)
    made.sum().backward()
    assert made.dtype == hidden.grad.dtype == kind
    assert torch.equal(hidden.grad == 0, made == 0)
    assert hidden.grad.max().item() == pytest.approx(1 / 0.7, rel=0.005)


def test_the_seed_of_pytorch_decides_and_every_call_is_another():
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append([kept(torch.Size((5, 41)), 0.5) for _ in range(2)])
    assert torch.equal(made[0][0], made[1][0]) and torch.equal(made[0][1], made[1][1])
    assert not torch.equal(made[0][0], made[0][1]) and not torch.equal(made[0][0], made[2][0])


def test_neighbours_are_dropped_independently_of_each_other():
    torch.manual_seed(0)
    dropped = 1 - kept(torch.Size((400, 1000)), 0.2).float()
    for distance in range(1, 9):
        together = (dropped[:, distance:] * dropped[:, :-distance]).mean().item()
        assert together == pytest.approx(0.04, abs=0.002)


def test_without_a_share_or_training_nothing_is_touched():
    assert isinstance(dropout(0.0), nn.Identity)
    hidden = torch.randn(3, 4)
    assert torch.equal(dropout(0.9).eval()(hidden), hidden)


@pytest.mark.parametrize(("bf16", "share"), [(True, 0.0), (True, 0.25), (False, 0.25)])
@pytest.mark.parametrize("padded", [False, True])
def test_attention_in_products_is_attention_and_so_is_its_gradient(bf16, share, padded):
    torch.manual_seed(0)
    attention = SelfAttention(hidden_size=64, heads=2, dropout=share)
    hidden = torch.randn(3, 10, 64)
    mask = torch.arange(10) < torch.tensor([10, 7, 2])[:, None] if padded else None
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        attention(hidden, mask).float().square().sum().backward()
    found = [parameter.grad.clone() for parameter in attention.parameters()]
    attention.zero_grad()
    torch.manual_seed(3)
    keep = kept(torch.Size((6, 10, 10)), share).float().view(3, 2, 10, 10)
    expected = _attention(attention, hidden, mask, keep / (1 - share))
    expected.square().sum().backward()
    for mine, parameter in zip(found, attention.parameters(), strict=True):
        assert (mine - parameter.grad).norm() < (0.02 if bf16 else 1e-5) * parameter.grad.norm() + 1e-3


def test_attention_of_the_first_tokens_drops_weights_too():
    torch.manual_seed(0)
    attention = SelfAttention(hidden_size=64, heads=2, dropout=0.25)
    hidden = torch.randn(3, 10, 64)
    torch.manual_seed(3)
    found = attention.first(hidden, None)
    torch.manual_seed(3)
    keep = torch.ones(3, 2, 10, 10)
    keep[:, :, 0] = kept(torch.Size((3, 2, 10)), 0.25).float()
    torch.testing.assert_close(found, _attention(attention, hidden, None, keep / 0.75)[:, :1])


@pytest.mark.parametrize("padded", [False, True])
def test_attention_of_some_tokens_drops_weights_too_and_its_gradient_knows(padded):
    torch.manual_seed(0)
    attention = SelfAttention(hidden_size=64, heads=2, dropout=0.25)
    hidden = torch.randn(3, 10, 64)
    mask = torch.arange(10) < torch.tensor([10, 7, 2])[:, None] if padded else None
    places = [0, 4, 1]
    torch.manual_seed(3)
    found = attention.some(hidden[:, places], hidden, mask)
    found.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in attention.parameters()]
    attention.zero_grad()
    torch.manual_seed(3)
    keep = torch.ones(3, 2, 10, 10)
    keep[:, :, places] = kept(torch.Size((6, 3, 10)), 0.25).float().view(3, 2, 3, 10)
    expected = _attention(attention, hidden, mask, keep / 0.75)[:, places]
    torch.testing.assert_close(found, expected)
    expected.square().sum().backward()
    for mine, parameter in zip(gradients, attention.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-4, atol=1e-4)


def _attention(attention, hidden, mask, keep):
    """The formula, in fp32."""
    query, key, value = attention.qkv(hidden).view(3, 10, 3, 2, 32).permute(2, 0, 3, 1, 4)
    scores = query @ key.transpose(-1, -2) / 32**0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None], -torch.inf)
    attended = (functional.softmax(scores, dim=-1) * keep) @ value
    return attention.output(attended.transpose(1, 2).reshape(3, 10, 64))
