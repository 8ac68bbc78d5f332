"""AdamW's groups and the learning-rate schedules."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertline.model.bert import BertConfig, BertForPreTraining
from bertline.training.optimizer import learning_rate_factor, make_adamw, set_learning_rate

schedules = st.sampled_from(["linear", "cosine", "trapezoid"])
warmups = st.floats(0, 0.95)
fractions = st.floats(0, 1)


@pytest.fixture
def model():
    return BertForPreTraining(BertConfig(50, 8, 1, 2, 16, max_positions=8))


def test_biases_and_norms_alone_do_not_decay(model):
    optimizer = make_adamw(model, learning_rate=0.5, weight_decay=0.1)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        spared = name.endswith("bias") or "norm" in name
        torch.testing.assert_close(parameter.detach(), before[name] * (1.0 if spared else 0.95))


def test_every_trainable_parameter_is_stepped_once_and_frozen_ones_are_not(model):
    model.nsp.weight.requires_grad_(False)
    optimizer = make_adamw(model, learning_rate=0.1, weight_decay=0.1)
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters() if parameter.requires_grad)


def test_the_learning_rate_is_set_for_every_group(model):
    optimizer = make_adamw(model, learning_rate=0.1, weight_decay=0.0)
    set_learning_rate(optimizer, 0.0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@given(schedules, warmups, st.floats(-1, 2))
def test_a_factor_is_a_share_of_the_peak(schedule, warmup, fraction):
    assert 0.0 <= learning_rate_factor(fraction, schedule, warmup) <= 1.0


@given(schedules, warmups)
def test_a_schedule_reaches_the_peak_after_the_warmup_and_ends_at_zero(schedule, warmup):
    assert learning_rate_factor(warmup, schedule, warmup) == pytest.approx(1.0)
    assert learning_rate_factor(1.0, schedule, warmup) == 0.0
    assert learning_rate_factor(7.0, schedule, warmup) == 0.0


@given(schedules, warmups, fractions)
def test_a_schedule_makes_no_jump(schedule, warmup, fraction):
    steepest = max(1 / max(warmup, 1e-3), 1 / (1 - warmup) * 1.6, 5)
    if fraction < warmup < 1e-3:
        return  # a warm-up this short is as good as a jump
    beside = min(fraction + 1e-6, 1.0)
    change = learning_rate_factor(beside, schedule, warmup) - learning_rate_factor(fraction, schedule, warmup)
    assert abs(change) <= steepest * 1e-6 + 1e-9


@given(schedules, warmups, fractions, fractions)
def test_a_schedule_rises_through_the_warmup_and_never_after_it(schedule, warmup, one, other):
    early, late = sorted((one, other))
    before, after = (learning_rate_factor(fraction, schedule, warmup) for fraction in (early, late))
    if late < warmup:
        assert before <= after
    elif early >= warmup:
        assert before >= after


def test_the_schedules_differ_as_their_names_say():
    assert learning_rate_factor(0.55, "linear", 0.1) == pytest.approx(0.5)
    assert learning_rate_factor(0.55, "cosine", 0.1) == pytest.approx(0.5)
    assert learning_rate_factor(0.3, "cosine", 0.1) > learning_rate_factor(0.3, "linear", 0.1)
    assert learning_rate_factor(0.79, "trapezoid", 0.1) == 1.0
    assert learning_rate_factor(0.9, "trapezoid", 0.1) == pytest.approx(0.5)


def test_an_unknown_schedule_names_the_known_ones():
    with pytest.raises(ValueError, match="linear, cosine or trapezoid"):
        learning_rate_factor(0.5, "step", 0.0)
