"""The mean of weights at several steps."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn

from bertline.base.errors import BertlineError
from bertline.model.bert import BertConfig, BertForPreTraining
from bertline.training.averaging import WeightAverage

weights = st.floats(-1e3, 1e3, width=32)


def layer(values: Sequence[float]) -> nn.Linear:
    """Three weights and a bias."""
    made = nn.Linear(3, 1)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([values[:3]]))
        made.bias.copy_(torch.tensor(values[3:]))
    return made


@given(st.lists(st.lists(weights, min_size=4, max_size=4), min_size=1, max_size=30))
def test_the_average_is_the_arithmetic_mean(snapshots: list[list[float]]) -> None:
    average, model = WeightAverage(), layer([0.0] * 4)
    for values in snapshots:
        average.add(layer(values))
    average.average_into(model)
    found = torch.cat([model.weight[0], model.bias]).detach().double()
    wanted = torch.tensor(snapshots, dtype=torch.float64)
    # A sum in fp32 is off by half a unit in the last place for each term, at most, of the largest partial sum.
    bound = wanted.abs().sum(dim=0) * 2.0**-24 * 2
    assert average.count == len(snapshots)
    assert ((found - wanted.mean(dim=0)).abs() <= bound + 1e-30).all()


@given(st.lists(st.lists(weights, min_size=4, max_size=4), min_size=1, max_size=8), st.integers(0, 8))
def test_an_average_that_is_saved_and_restored_is_the_same_to_the_last_bit(
    snapshots: list[list[float]], interrupted: int
) -> None:
    whole, parts = WeightAverage(), WeightAverage()
    for number, values in enumerate(snapshots):
        if number == interrupted:
            saved = load(save(parts.tensors()))
            parts = WeightAverage()
            parts.restore(saved)
        whole.add(layer(values))
        parts.add(layer(values))
    one, other = whole.tensors(), parts.tensors()
    assert one.keys() == other.keys() == {"count", "sum/weight", "sum/bias"}
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_was_restored_from_is_not_changed_by_going_on() -> None:
    average, again = WeightAverage(), WeightAverage()
    average.add(layer([1.0, 2.0, 3.0, 4.0]))
    again.restore(average.tensors())
    again.add(layer([1.0, 2.0, 3.0, 4.0]))
    assert average.tensors()["sum/bias"].item() == 4.0 and again.tensors()["sum/bias"].item() == 8.0


def test_snapshots_are_copies() -> None:
    average, model = WeightAverage(), layer([1.0, 2.0, 3.0, 4.0])
    average.add(model)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    average.average_into(model)
    assert torch.cat([model.weight[0], model.bias]).tolist() == [1.0, 2.0, 3.0, 4.0]


class Mixed(nn.Module):
    """A bit of everything: a tied weight, a frozen one, buffers, integers, half precision."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, 2)
        self.decoder = nn.Linear(2, 2, bias=False)
        self.decoder.weight = self.embedding.weight
        self.frozen = nn.Parameter(torch.full((2,), value), requires_grad=False)
        self.coarse = nn.Parameter(torch.full((2,), value, dtype=torch.bfloat16))
        self.table = nn.Parameter(torch.full((2,), int(value)), requires_grad=False)
        self.register_buffer("seen", torch.tensor(int(value)))
        self.register_buffer("mean", torch.tensor(value))
        nn.init.constant_(self.embedding.weight, value)


def test_what_cannot_or_need_not_be_averaged_stays_as_it_is_in_the_model() -> None:
    average, model = WeightAverage(), Mixed(8.0)
    average.add(Mixed(1.0))
    average.add(Mixed(4.0))
    assert set(average.tensors()) == {"count", "sum/embedding.weight", "sum/coarse"}
    average.average_into(model)
    assert model.decoder.weight is model.embedding.weight and (model.embedding.weight == 2.5).all()
    assert model.coarse.dtype is torch.bfloat16 and (model.coarse == 2.5).all()
    assert model.frozen.tolist() == [8.0, 8.0] and model.table.tolist() == [8, 8]
    assert model.seen.item() == 8 and model.mean.item() == 8.0


def test_sums_are_kept_in_fp32_whatever_the_weights_are() -> None:
    average = WeightAverage()
    for _ in range(3):
        average.add(Mixed(257.0))  # in bfloat16: 256; thrice that is no bfloat16
    assert average.tensors()["sum/coarse"].dtype is torch.float32
    assert average.tensors()["sum/embedding.weight"][0, 0].item() == 771.0


def test_the_mean_of_no_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="no weights"):
        WeightAverage().average_into(layer([0.0] * 4))


def test_a_restored_average_of_none_starts_anew() -> None:
    average = WeightAverage()
    average.restore(load(save(WeightAverage().tensors())))
    average.add(layer([1.0] * 4))
    assert average.count == 1


def test_another_model_is_refused_by_the_names_that_differ() -> None:
    average = WeightAverage()
    average.add(layer([1.0] * 4))
    with pytest.raises(BertlineError, match=r"averaged weights: .*\(bias\)"):
        average.add(nn.Linear(3, 1, bias=False))
    with pytest.raises(BertlineError, match="the shapes"):
        average.average_into(nn.Linear(4, 1))
    assert average.count == 1


def test_a_bert_is_averaged_weight_by_weight() -> None:
    shape = BertConfig(50, 8, 1, 2, 16, max_positions=8, positions="sinusoidal")
    models = [BertForPreTraining(shape) for _ in range(3)]
    average = WeightAverage()
    for model in models:
        average.add(model)
    average.average_into(models[0])
    copies = [dict(model.named_parameters()) for model in models]
    assert average.tensors().keys() == {"count", *(f"sum/{name}" for name in copies[0])}
    assert torch.equal(models[0].bert.position_embeddings, models[1].bert.position_embeddings)
