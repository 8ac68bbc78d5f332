"""Packed sequences are computed as padded ones are, without the padding."""

import dataclasses
from itertools import pairwise

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.nn import functional

from bertline.model.bert import BertForPreTraining
from bertline.model.packing import Packing, attend_packed, pack


def mask_of(lengths: list[int], longest: int) -> torch.Tensor:
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


@st.composite
def masks(draw):
    longest = draw(st.integers(1, 40))
    return mask_of(draw(st.lists(st.integers(1, longest), min_size=1, max_size=40)), longest)


@given(masks())
def test_a_packing_holds_every_real_token_once_and_in_order_and_then_padding(mask):
    packing = pack(mask)
    real, length = int(mask.sum()), len(packing.places)
    numbers = torch.arange(mask.numel()).view_as(mask)
    assert packing.of(numbers)[:real].tolist() == numbers[mask].tolist()
    rest = packing.places[real:]
    assert not mask.flatten()[rest].any() and len(rest.unique()) == len(rest)
    assert length % 128 == 0 or length == mask.numel(), "a round number, unless the batch holds no more"
    starts, ends = packing.offsets[:-1], packing.offsets[1:]
    assert (ends - starts)[: len(mask)].tolist() == mask.sum(1).tolist()
    assert packing.offsets[0] == 0 and packing.offsets[-1] == length, "the kernel writes every row"
    assert ((ends >= starts) & (ends - starts <= packing.longest)).all()
    for row in range(len(mask)):
        assert packing.columns[starts[row] : ends[row]].tolist() == list(range(int(mask[row].sum())))


@given(masks())
def test_the_number_of_sequences_depends_on_the_shape_of_the_batch_alone(mask):
    assert pack(mask).offsets.shape == pack(torch.ones_like(mask)).offsets.shape


def test_a_large_batch_is_rounded_by_a_hundredth_and_has_few_shapes():
    generator = torch.Generator().manual_seed(0)
    sizes = set()
    for _ in range(30):
        lengths = torch.where(torch.rand(512, generator=generator) < 0.1, 60, 128)
        packing = pack(mask_of(lengths.tolist(), 128))
        assert 1 <= len(packing.places) / int(lengths.sum()) < 1.02
        sizes.add(len(packing.places))
    assert len(sizes) <= 4


def test_padding_before_a_token_is_refused():
    with pytest.raises(ValueError, match="only sequences padded at their end"):
        pack(torch.tensor([[True, False, True]]))


@settings(max_examples=20, deadline=None)
@given(masks())
def test_every_sequence_attends_to_itself_alone(mask):
    packing = pack(mask)
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(len(packing.places), 3, 2, 8, generator=generator, requires_grad=True)
    upstream = torch.randn(len(qkv), 2, 8, generator=generator)
    attended = attend_packed(*qkv.unbind(1), packing)
    (gradient,) = torch.autograd.grad(attended, qkv, upstream)
    ends = packing.offsets.tolist()
    parts = [part for part in qkv.split([end - start for start, end in pairwise(ends)]) if len(part)]
    alone = [functional.scaled_dot_product_attention(*part.permute(1, 2, 0, 3)).transpose(0, 1) for part in parts]
    (expected,) = torch.autograd.grad(torch.cat(alone), qkv, upstream)
    torch.testing.assert_close(attended, torch.cat(alone), rtol=0, atol=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5)


@pytest.fixture
def model(config, scramble):
    return scramble(BertForPreTraining(config)).train()


@pytest.fixture
def large_batch():
    """ids, segments, mask and positions of 30 sequences of up to 20 tokens: more than the packing is rounded by."""
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(3, 21, (30,), generator=generator)
    mask = mask_of(lengths.tolist(), 20)
    ids = torch.randint(5, 500, (30, 20), generator=generator) * mask
    segments = torch.randint(0, 2, (30, 20), generator=generator) * mask
    positions = torch.randint(0, 20, (30, 4), generator=generator).minimum(lengths[:, None] - 1)
    return ids, segments, mask, positions


def loss_and_gradients(model, ids, segments, mask, positions):
    model.zero_grad()
    mlm_logits, nsp_logits = model(ids, segments, mask, positions)
    loss = functional.cross_entropy(mlm_logits.flatten(0, 1), positions.flatten()) + nsp_logits.logsumexp(1).sum()
    loss.backward()
    return (mlm_logits, nsp_logits), {name: weight.grad.clone() for name, weight in model.named_parameters()}


def test_a_packed_batch_has_the_logits_and_gradients_of_the_padded_one(model, large_batch):
    ids, segments, mask, positions = large_batch
    packing = pack(mask)
    assert int(mask.sum()) < len(packing.places) < mask.numel(), "padding was meant to be left out, and to fill up"
    logits, gradients = loss_and_gradients(model, ids, segments, packing, positions)
    expected_logits, expected = loss_and_gradients(model, ids, segments, mask, positions)
    torch.testing.assert_close(logits, expected_logits, rtol=0, atol=1e-5)
    for name, gradient in gradients.items():
        error = (gradient - expected[name]).norm() / expected[name].norm()
        # The gradient of a key's bias is 0 in exact arithmetic: attention does not see it.
        assert error < 1e-5 or expected[name].norm() < 1e-5, name


def test_what_stands_in_padding_changes_nothing(model, large_batch):
    ids, segments, mask, positions = large_batch
    logits, gradients = loss_and_gradients(model, ids, segments, pack(mask), positions)
    junk = torch.where(mask, ids, 499)
    other_logits, others = loss_and_gradients(model, junk, segments, pack(mask), positions)
    assert all(torch.equal(one, other) for one, other in zip(logits, other_logits, strict=True))
    assert all(torch.equal(gradient, others[name]) for name, gradient in gradients.items())


def test_packed_sequences_are_not_trained_with_dropout_on_attention(config, large_batch):
    model = BertForPreTraining(dataclasses.replace(config, dropout=0.1))
    ids, segments, mask, positions = large_batch
    with pytest.raises(ValueError, match="train with a dropout of 0"):
        model(ids, segments, pack(mask), positions)
    model.eval()(ids, segments, pack(mask), positions)


def test_a_packing_moves_as_a_whole(large_batch):
    packing = pack(large_batch[2]).to(torch.device("meta"))
    assert isinstance(packing, Packing)
    assert packing.places.is_meta and packing.offsets.is_meta and packing.longest == 20
