"""The optimizers and their groups, LAMB and Muon by their papers, and the learning-rate schedules."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertline.model.bert import BertConfig, BertForPreTraining
from bertline.training.checkpoint import optimizer_tensors, restore_optimizer
from bertline.training.muon import orthogonalized
from bertline.training.optimizer import Lamb, learning_rate_factor, make_optimizer, set_learning_rate

schedules = st.sampled_from(["linear", "cosine", "trapezoid"])
warmups = st.floats(0, 0.95)
fractions = st.floats(0, 1)
names = pytest.mark.parametrize("name", ["adamw", "lamb", "muon"])


@pytest.fixture
def model():
    return BertForPreTraining(BertConfig(50, 8, 1, 2, 16, max_positions=8))


@names
def test_biases_and_norms_alone_do_not_decay(model, name):
    optimizer = make_optimizer(model, name, learning_rate=0.5, weight_decay=0.1)
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    # Of decay alone, LAMB makes a step as long as the weights, times the rate.
    decayed = 1 - 0.5 if name == "lamb" else 1 - 0.5 * 0.1
    for key, parameter in model.named_parameters():
        spared = key.endswith("bias") or "norm" in key
        torch.testing.assert_close(parameter.detach(), before[key] * (1.0 if spared else decayed))


@names
def test_the_constants_of_adam_are_those_of_bert(model, name):
    optimizer = make_optimizer(model, name, learning_rate=0.1, weight_decay=0.0)
    assert {(group["betas"], group["eps"]) for group in optimizer.param_groups} == {((0.9, 0.999), 1e-6)}


@names
def test_every_trainable_parameter_is_stepped_once_and_frozen_ones_are_not(model, name):
    model.nsp.weight.requires_grad_(False)
    optimizer = make_optimizer(model, name, learning_rate=0.1, weight_decay=0.1)
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters() if parameter.requires_grad)


@names
def test_the_learning_rate_is_set_for_every_group(model, name):
    optimizer = make_optimizer(model, name, learning_rate=0.1, weight_decay=0.0)
    set_learning_rate(optimizer, 0.0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_share_of_the_learning_rate_holds_from_the_first_step_on(model):
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    scale = {"nsp.weight": 0.5}
    optimizer = make_optimizer(
        model, "adamw", learning_rate=0.1, weight_decay=0.0, scale=lambda name: scale.get(name, 1.0)
    )
    for rate in (0.1, 0.2):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()  # by the rate, whatever the gradient
        for key, parameter in model.named_parameters():
            before[key] -= rate * scale.get(key, 1.0)
            torch.testing.assert_close(parameter.detach(), before[key], atol=1e-5, rtol=1e-5)
        set_learning_rate(optimizer, 0.2)


def test_an_unknown_optimizer_names_the_known_ones(model):
    with pytest.raises(ValueError, match="choose adamw, lamb or muon"):
        make_optimizer(model, "sgd", learning_rate=0.1, weight_decay=0.0)


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"eps": -1e-9}, {"weight_decay": -0.1}, {"betas": (0.9, 1.0)}])
def test_options_of_lamb_out_of_their_range_are_refused(model, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Lamb(model.parameters(), **options)


def lamb_by_the_paper(weights, gradients, *, lr, decay, adapt):
    """Algorithm 2 of You et al. 2020 on one tensor, number by number, in double precision; returns its course."""
    first, second, course = [0.0] * len(weights), [0.0] * len(weights), []
    for count, gradient in enumerate(gradients, start=1):
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradient, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradient, strict=True)]
        steps = [
            m / (1 - 0.9**count) / (math.sqrt(v / (1 - 0.999**count)) + 1e-6) + decay * w
            for m, v, w in zip(first, second, weights, strict=True)
        ]
        sizes = [math.sqrt(sum(value * value for value in values)) for values in (weights, steps)]
        ratio = sizes[0] / sizes[1] if adapt and all(sizes) else 1.0
        weights = [w - lr * ratio * step for w, step in zip(weights, steps, strict=True)]
        course.append(weights)
    return course


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    lr=st.floats(1e-4, 0.5),
    decay=st.sampled_from([0.0, 0.01, 0.3]),
    adapt=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_lamb_follows_its_paper(sizes, lr, decay, adapt, seed):
    random = torch.Generator().manual_seed(seed)
    starts = [torch.randn(size, generator=random) for size in sizes]
    gradients = [torch.randn(4, size, generator=random) for size in sizes]
    parameters = [torch.nn.Parameter(start.clone()) for start in starts]
    optimizer = Lamb(parameters, lr=lr, weight_decay=decay, layer_adaptation=adapt)
    wanted = [
        lamb_by_the_paper(start.tolist(), gradient.tolist(), lr=lr, decay=decay, adapt=adapt)
        for start, gradient in zip(starts, gradients, strict=True)
    ]
    for step in range(4):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient[step].clone()
        optimizer.step()
        for parameter, course in zip(parameters, wanted, strict=True):
            torch.testing.assert_close(parameter.detach(), torch.tensor(course[step]), rtol=2e-5, atol=2e-6)


def test_lamb_starts_from_zero_weights_as_adam_does():
    zero, other = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(2, 2))
    for parameter, optimizer in ((zero, Lamb([zero], lr=0.1)), (other, torch.optim.Adam([other], lr=0.1, eps=1e-6))):
        parameter.grad = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
        optimizer.step()
    torch.testing.assert_close(zero.detach(), other.detach())
    assert zero.detach().abs().max() == pytest.approx(0.1)


def test_lamb_leaves_weights_alone_when_there_is_nothing_to_change_them_by():
    still, without = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = Lamb([still, without], lr=0.1)
    still.grad = torch.zeros(3)
    optimizer.step()
    assert torch.equal(still, torch.ones(3)) and torch.equal(without, torch.ones(3))
    assert without not in optimizer.state


def test_lamb_steps_each_tensor_by_a_share_of_its_own_size():
    small, large = torch.nn.Parameter(torch.full((4,), 0.01)), torch.nn.Parameter(torch.full((4,), 100.0))
    small.grad, large.grad = torch.full((4,), 5.0), torch.full((4,), 1e-3)
    Lamb([small, large], lr=0.1).step()
    torch.testing.assert_close(small.detach(), torch.full((4,), 0.009))
    torch.testing.assert_close(large.detach(), torch.full((4,), 90.0))


def test_lamb_moves_biases_and_norms_by_the_rate_alone_whatever_their_size(model):
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 3.0)
        parameter.grad = torch.ones_like(parameter)
    make_optimizer(model, "lamb", learning_rate=0.1, weight_decay=0.0).step()
    for key, parameter in model.named_parameters():
        moved = 0.1 if key.endswith("bias") or "norm" in key else 0.1 * 3.0
        torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, 3.0 - moved))


def test_a_closure_of_lamb_computes_the_loss_and_its_gradients():
    parameter = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = Lamb([parameter], lr=0.1)

    def closure():
        loss = parameter.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 9.0
    assert parameter.item() == pytest.approx(2.7)


def batch_step(model, optimizer, number):
    generator = torch.Generator().manual_seed(number)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    set_learning_rate(optimizer, 0.01 * number)
    optimizer.step()


@names
def test_an_optimizer_that_is_restored_goes_on_to_the_last_bit(model, name):
    other = BertForPreTraining(BertConfig(50, 8, 1, 2, 16, max_positions=8))
    optimizers = [make_optimizer(each, name, learning_rate=0.1, weight_decay=0.1) for each in (model, other)]
    for number in (1, 2, 3):
        batch_step(model, optimizers[0], number)
    other.load_state_dict(model.state_dict())
    saved = {key: value.clone() for key, value in optimizer_tensors(model, optimizers[0]).items()}
    more = {"momentum"} if name == "muon" else set()
    assert {key.split("/")[0] for key in saved} == {"exp_avg", "exp_avg_sq", "step"} | more
    restore_optimizer(other, optimizers[1], saved)
    for number in (4, 5):
        for each, optimizer in zip((model, other), optimizers, strict=True):
            batch_step(each, optimizer, number)
    states = [optimizer_tensors(each, optimizer) for each, optimizer in zip((model, other), optimizers, strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert states[0].keys() == states[1].keys() == saved.keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in saved)
    assert {value.item() for key, value in states[1].items() if key.startswith("step/")} == {5.0}


@given(
    rows=st.integers(4, 24), columns=st.integers(4, 24), seed=st.integers(0, 99), size=st.sampled_from([1e-6, 1, 1e6])
)
def test_an_orthogonalized_matrix_keeps_its_directions_and_loses_their_lengths(rows, columns, seed, size):
    generator = torch.Generator().manual_seed(seed)
    left, _, right = torch.linalg.svd(torch.randn(rows, columns, generator=generator), full_matrices=False)
    lengths = torch.logspace(0, -2, min(rows, columns))
    found = orthogonalized((size * (left * lengths) @ right)[None])[0]
    along = left.T @ found @ right.T
    assert ((along.diagonal() > 0.6) & (along.diagonal() < 1.3)).all()
    torch.testing.assert_close(along, torch.diag(along.diagonal()), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("precision", "apart"), [("fp32", 1e-5), ("bf16", 4e-3)])
def test_muon_steps_as_that_of_torch_does_and_each_of_queries_keys_and_values_by_itself(
    model, precision, apart, monkeypatch
):
    if precision == "fp32":  # theirs always computes in bfloat16
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    ours = make_optimizer(model, "muon", learning_rate=0.1, weight_decay=0.1, precision=precision)
    layer = model.bert.layers[0]
    names = ["attention.output.weight", "intermediate.weight", "output.weight"]
    whole = [dict(layer.named_parameters())[name] for name in names]
    parts = [*whole, *layer.attention.qkv.weight.chunk(3)]
    theirs = [torch.nn.Parameter(part.detach().clone()) for part in parts]
    peer = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for number in (1, 2, 3):
        generator = torch.Generator().manual_seed(number)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        gradients = [*(each.grad for each in whole), *layer.attention.qkv.weight.grad.chunk(3)]
        for each, gradient in zip(theirs, gradients, strict=True):
            each.grad = gradient.clone()
        ours.step()
        peer.step()
    moved = [*whole, *layer.attention.qkv.weight.chunk(3)]
    for one, other in zip(moved, theirs, strict=True):  # a step is 0.02 a number
        torch.testing.assert_close(one, other, atol=apart, rtol=0)


def test_muon_moves_embeddings_heads_and_vectors_as_adamw_does(model):
    other = BertForPreTraining(BertConfig(50, 8, 1, 2, 16, max_positions=8))
    other.load_state_dict(model.state_dict())
    for each, name in ((model, "muon"), (other, "adamw")):
        optimizer = make_optimizer(each, name, learning_rate=0.1, weight_decay=0.1)
        for number in (1, 2):
            batch_step(each, optimizer, number)
    same = {
        name
        for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True)
        if torch.equal(one, two)
    }
    assert {name for name, _ in model.named_parameters()} - same == {
        "bert.layers.0.attention.qkv.weight",
        "bert.layers.0.attention.output.weight",
        "bert.layers.0.intermediate.weight",
        "bert.layers.0.output.weight",
        "bert.pooler.weight",
        "mlm_transform.weight",
    }


def test_lamb_is_an_ordinary_torch_optimizer():
    one, two = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = Lamb([one], lr=0.1)
    optimizer.add_param_group({"params": [two], "layer_adaptation": False})
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    one.grad, two.grad = torch.ones(2), torch.ones(2)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]
    again = Lamb([{"params": [one]}, {"params": [two], "layer_adaptation": False}])
    again.load_state_dict(optimizer.state_dict())
    assert torch.equal(again.state[two]["exp_avg"], optimizer.state[two]["exp_avg"])


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
