"""Packed sequences are computed as padded ones are, without the padding."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.nn import functional

from bertline.model.attention import SelfAttention
from bertline.model.bert import (
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from bertline.model.packing import Packing, pack


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
    assert length % 64 == 0 or length == mask.numel(), "a round number, unless the batch holds no more"
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


@settings(max_examples=30)
@given(masks(), st.integers(1, 6), st.booleans())
def test_every_sequence_attends_to_itself_alone(mask, parts, in_bf16):
    packing, kind = pack(mask, parts), torch.bfloat16 if in_bf16 else torch.float32
    generator = torch.Generator().manual_seed(0)
    attention = SelfAttention(16, heads=2, dropout=0.0).to(kind)
    hidden = torch.randn(len(packing.places), 16, generator=generator).to(kind).requires_grad_()
    real = int(mask.sum())
    upstream = torch.randn(real, 16, generator=generator).to(kind)
    attended = attention(hidden, packing)[:real]
    (gradient,) = torch.autograd.grad(attended, hidden, upstream)
    sequences = hidden[:real].split(mask.sum(1).tolist())
    alone = torch.cat([attention(sequence[None], None)[0] for sequence in sequences])
    (expected,) = torch.autograd.grad(alone, hidden, upstream)
    assert attended.shape == alone.shape and len(gradient) == len(packing.places)
    near = 0.02 if in_bf16 else 1e-5
    torch.testing.assert_close(attended, alone, rtol=0, atol=near)
    torch.testing.assert_close(gradient, expected, rtol=near, atol=near)
    assert not gradient[real:].any(), "nothing is learned from what fills the row"


def test_attention_drops_the_same_weights_packed_and_padded():
    attention = SelfAttention(16, heads=2, dropout=0.5)
    mask = mask_of([9, 4, 1, 7], 9)
    hidden = torch.randn(4, 9, 16, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    padded = attention(hidden, mask)
    torch.manual_seed(1)
    packed = attention(hidden.flatten(0, 1)[pack(mask).places], pack(mask))
    torch.testing.assert_close(packed[: mask.sum()], padded[mask], rtol=0, atol=1e-6)
    torch.manual_seed(2)
    assert not torch.allclose(attention(hidden, mask)[mask], padded[mask])


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


def assert_same_gradients(gradients, expected):
    for name, gradient in gradients.items():
        error = (gradient - expected[name]).norm() / expected[name].norm()
        # The gradient of a key's bias is 0 in exact arithmetic: attention does not see it.
        assert error < 1e-5 or expected[name].norm() < 1e-5, name


def test_a_packed_batch_has_the_logits_and_gradients_of_the_padded_one(model, large_batch):
    ids, segments, mask, positions = large_batch
    packing = pack(mask)
    assert int(mask.sum()) < len(packing.places) < mask.numel(), "padding was meant to be left out, and to fill up"
    logits, gradients = loss_and_gradients(model, ids, segments, packing, positions)
    expected_logits, expected = loss_and_gradients(model, ids, segments, mask, positions)
    torch.testing.assert_close(logits, expected_logits, rtol=0, atol=1e-5)
    assert_same_gradients(gradients, expected)


def test_what_stands_in_padding_changes_nothing(model, large_batch):
    ids, segments, mask, positions = large_batch
    logits, gradients = loss_and_gradients(model, ids, segments, pack(mask), positions)
    junk = torch.where(mask, ids, 499)
    other_logits, others = loss_and_gradients(model, junk, segments, pack(mask), positions)
    assert all(torch.equal(one, other) for one, other in zip(logits, other_logits, strict=True))
    assert all(torch.equal(gradient, others[name]) for name, gradient in gradients.items())


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("kind", ["class", "tags", "span"])
def test_a_head_learns_the_same_from_a_packed_batch(config, scramble, large_batch, kind, parts):
    ids, segments, mask, _ = large_batch
    heads = {"class": BertForSequenceClassification, "tags": BertForTokenClassification}
    model = scramble(heads[kind](config, 3) if kind in heads else BertForQuestionAnswering(config)).train()
    order = mask.sum(1).argsort(descending=True)
    ids, segments, mask = ids[order], segments[order], mask[order]

    def outputs_and_gradients(where):
        model.zero_grad()
        found = model(ids, segments, where)
        found = torch.stack(found, -1) if isinstance(found, tuple) else found
        real = found if kind == "class" else found[mask]
        real.square().sum().backward()
        return real, {name: weight.grad.clone() for name, weight in model.named_parameters()}

    outputs, gradients = outputs_and_gradients(pack(mask, parts))
    expected_outputs, expected = outputs_and_gradients(mask)
    torch.testing.assert_close(outputs, expected_outputs, rtol=1e-5, atol=1e-5)
    assert_same_gradients(gradients, expected)


def test_parts_are_no_longer_than_their_longest_sequence():
    mask = mask_of([20, 18, 9, 8, 3, 2, 1], 20)
    parts = pack(mask, 3).parts
    assert [tuple(part.mask.shape) for part in parts] == [(3, 20), (2, 8), (2, 2)]
    assert [len(part.places) for part in parts] == [47, 11, 3]
    assert pack(mask).parts == () and len(pack(mask, 99).parts) == 7


def test_a_packing_moves_as_a_whole(large_batch):
    packing = pack(large_batch[2], 2).to(torch.device("meta"))
    assert isinstance(packing, Packing) and packing.longest == 20
    assert all(tensor.is_meta for whole in (packing, *packing.parts) for tensor in whole[:4])
