"""What both trainers step with: AdamW, LAMB or Muon with BERT's decay groups, and the learning-rate schedules.

optimizer = make_optimizer(model, "adamw", learning_rate=1e-3, weight_decay=0.01)
set_learning_rate(optimizer, 1e-3 * learning_rate_factor(step / steps, "linear", warmup=0.05))
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

from bertline.training.muon import Muon

TRAPEZOID_DECAY = 0.2  # share of the budget over which the trapezoid comes down
_SCALE = "scale"  # key of a parameter group: its share of the learning rate
BETAS, EPSILON = (0.9, 0.999), 1e-6  # as published for BERT (Devlin et al. 2019, appendix A.2, and their code)


def make_optimizer(
    model: nn.Module,
    name: str,
    *,
    learning_rate: float,
    weight_decay: float,
    scale: Callable[[str], float] = lambda _: 1.0,
    precision: str = "fp32",
) -> torch.optim.Optimizer:
    """An optimizer over the trainable parameters: "adamw" (Loshchilov & Hutter 2019; one fused kernel), "lamb", "muon".

    Weight decay is for matrices and embeddings; biases and layer norms, the vectors, have none, and LAMB gives them no
    trust ratio either, as its authors' code. Muon is for the matrices of hidden layers, and moves the rest as AdamW.

    Args:
        model: whose parameters are trained, those with `requires_grad`.
        name: adamw, lamb or muon.
        learning_rate: of the first step; `set_learning_rate` sets it for the others.
        weight_decay: of the matrices.
        scale: name of a parameter -> share of the learning rate that it moves with.
        precision: what Muon's own products are made in, "fp32" or "bf16".

    Raises:
        ValueError: no such optimizer.
    """
    if name not in ("adamw", "lamb", "muon"):
        raise ValueError(f"no optimizer named {name!r}; choose adamw, lamb or muon")
    alike: dict[tuple[float, bool, int], list[Tensor]] = {}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = (scale(key), parameter.ndim > 1, _matrices_in(key, parameter) if name == "muon" else 0)
            alike.setdefault(kind, []).append(parameter)
    groups: list[dict[str, Any]] = []
    for (share, decays, matrices), parameters in alike.items():
        groups.append({"params": parameters, "weight_decay": weight_decay if decays else 0.0})
        groups[-1] |= {} if share == 1.0 else {_SCALE: share}
        groups[-1] |= {"layer_adaptation": decays} if name == "lamb" else {}
        groups[-1] |= {"parts": matrices} if name == "muon" else {}
    optimizer: torch.optim.Optimizer
    if name == "lamb":
        optimizer = Lamb(groups, lr=learning_rate, betas=BETAS, eps=EPSILON)
    elif name == "muon":
        computed_in = torch.bfloat16 if precision == "bf16" else torch.float32
        optimizer = Muon(groups, kind=computed_in, lr=learning_rate, betas=BETAS, eps=EPSILON, fused=True)
    else:
        optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS, eps=EPSILON, fused=True)
    set_learning_rate(optimizer, learning_rate)
    return optimizer


def _matrices_in(name: str, parameter: Tensor) -> int:
    """How many matrices from hidden states to hidden states a parameter is; none: a vector, an embedding, a head."""
    if parameter.ndim != 2 or "embeddings" in name or name.startswith("nsp."):
        return 0
    return 3 if name.endswith("qkv.weight") else 1


class Lamb(torch.optim.Optimizer):
    """LAMB (You et al. 2020, "Large Batch Optimization for Deep Learning", algorithm 2), for batches of thousands.

    Adam's step with bias correction and decoupled weight decay, u, scaled for each tensor w by the trust ratio
    |w| / |u|, which is 1 when either norm is 0: w <- w - lr * (|w| / |u|) * u. The paper's phi is the identity, as in
    its experiments and in NVIDIA's FusedLAMB; gradients are clipped by the caller, by their norm over all parameters.

    The state is Adam's: exp_avg and exp_avg_sq of a parameter's shape, and step, a float32 scalar on the CPU, so that
    no step waits for a GPU.

    Args:
        params: parameters, or groups of them with options of their own.
        lr: learning rate, at least 0.
        betas: decay rates of the two moments, at least 0 and below 1.
        eps: added to the root of the second moment.
        weight_decay: at least 0.
        layer_adaptation: whether a group's steps are scaled by the trust ratio.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = BETAS,
        eps: float = EPSILON,
        weight_decay: float = 0.0,
        layer_adaptation: bool = True,
    ) -> None:
        for name, value in {"lr": lr, "eps": eps, "weight_decay": weight_decay}.items():
            if value < 0:
                raise ValueError(f"{name} must be at least 0, and is {value}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be at least 0 and below 1, and are {betas}")
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, options | {"layer_adaptation": layer_adaptation})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Change every parameter that has a gradient; return the loss that `closure`, if given, computes anew."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                updates = self._adam_updates(parameters, group)
                if group["weight_decay"]:
                    torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
                if group["layer_adaptation"]:
                    torch._foreach_mul_(updates, _trust_ratios(parameters, updates))
                torch._foreach_add_(parameters, updates, alpha=-group["lr"])
        return loss

    def _adam_updates(self, parameters: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """Count the step, move the moments, and return m / (sqrt(v) + eps), both with bias correction."""
        beta1, beta2 = group["betas"]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        states = [self._state_of(parameter) for parameter in parameters]
        steps, means, squares = ([state[key] for state in states] for key in ("step", "exp_avg", "exp_avg_sq"))
        torch._foreach_add_(steps, 1.0)
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        counts = [step.item() for step in steps]
        updates = torch._foreach_div(means, [1 - beta1**count for count in counts])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, [math.sqrt(1 - beta2**count) for count in counts])
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_div_(updates, roots)
        return list(updates)

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state


def _trust_ratios(parameters: list[Tensor], updates: list[Tensor]) -> list[Tensor]:
    """For each tensor the norm of its weights over that of its update, 1 where either is 0; scalars on the device."""
    weights, changes = (torch.stack(torch._foreach_norm(tensors)) for tensors in (parameters, updates))
    ratios = torch.where((weights > 0) & (changes > 0), weights / changes, 1.0)
    return list(ratios.unbind())


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every group for the next step: the share of it that the group moves with."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get(_SCALE, 1.0)


def learning_rate_factor(fraction: float, schedule: str, warmup: float) -> float:
    """The share of the peak learning rate to use, in [0, 1], after `fraction` of the budget.

    It rises linearly from 0 to 1 over the first `warmup` of the budget, and then falls to 0 at its end: along a line
    ("linear", as BERT), along half a cosine wave ("cosine", Loshchilov & Hutter 2017), or after a plateau along a line
    over the last fifth ("trapezoid", Hägele et al. 2024).

    Args:
        fraction: of the budget that is done; below 0 counts as 0, above 1 as 1.
        schedule: linear, cosine or trapezoid.
        warmup: share of the budget, at least 0 and below 1.

    Raises:
        ValueError: no such schedule.
    """
    fraction = min(max(fraction, 0.0), 1.0)
    if fraction < warmup:
        return fraction / warmup
    if schedule == "linear":
        return (1 - fraction) / (1 - warmup)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup))) / 2
    if schedule == "trapezoid":
        return min(1.0, (1 - fraction) / min(TRAPEZOID_DECAY, 1 - warmup))
    raise ValueError(f"no schedule named {schedule!r}; choose linear, cosine or trapezoid")
