"""What both trainers step with: AdamW with BERT's decay groups, and the learning-rate schedules.

optimizer = make_adamw(model, learning_rate=1e-3, weight_decay=0.01)
set_learning_rate(optimizer, 1e-3 * learning_rate_factor(step / steps, "linear", warmup=0.05))
"""

import math

import torch
from torch import nn

TRAPEZOID_DECAY = 0.2  # share of the budget over which the trapezoid comes down


def make_adamw(model: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) over the trainable parameters, as one fused kernel on CPU and GPU.

    Weight decay is for matrices and embeddings; biases and layer norms, the vectors, have none. Betas 0.9 and 0.999 and
    epsilon 1e-6 as published for BERT (Devlin et al. 2019, appendix A.2, and their code).
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trainable if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.999), eps=1e-6, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every group for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


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
