"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): orthogonal steps for hidden layers.

optimizer = Muon([{"params": matrices, "parts": 1}, {"params": others}], lr=1e-3)

A gradient of a hidden layer's matrix has few large directions, which are all that Adam's step follows; here every
direction of the momentum is given the same length, so that rare ones are learned too. The pooler and the transform of
the MLM head are such layers; embeddings, which are the output of the tokens too, the next-sentence head and vectors are
moved as by AdamW. Steps are scaled to the size that AdamW's usually have (Liu et al. 2025, "Muon is scalable for LLM
training", section 2.2), so that one learning rate serves all. `torch.optim.Muon` has the same rule, but not for several
matrices in one, nor beside AdamW, and it always computes in bfloat16, which many CPUs must emulate.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, and how often it is applied: as its author chose them
_ITERATIONS = 5
_MOMENTUM = 0.95
_USUAL_SIZE = 0.2  # root mean square of AdamW's steps, in learning rates
_TINY = 1e-7


class Muon(torch.optim.AdamW):
    """AdamW whose groups with `parts` step by orthogonalized Nesterov momentum.

    The state of such a matrix is `momentum`, of its shape, and a `step` as AdamW counts it.

    Args:
        groups: of parameters. One with `parts` above 0 holds matrices, each of so many stacked on one another (queries,
            keys and values are three).
        kind: what the orthogonalization computes in: bfloat16 where that is fast.
        options: AdamW's, for all groups: the learning rate and the weight decay serve matrices too.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, kind: torch.dtype = torch.float32, **options: Any) -> None:
        super().__init__([{"parts": 0} | group for group in groups], **options)
        self._kind = kind

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Change every parameter that has a gradient, and forget the gradients of the matrices; return the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["parts"]:
                self._step_matrices(group)
        super().step()  # of the others: it passes over what has no gradient
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        """Those of one shape at once: many small products in one are faster."""
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for matrix in group["params"]:
            if matrix.grad is not None:
                by_shape.setdefault(matrix.shape, []).append(matrix)
        for shape, matrices in by_shape.items():
            directions = torch.stack([self._direction(matrix) for matrix in matrices]).to(self._kind)
            steps = orthogonalized(directions.view(-1, shape[0] // group["parts"], shape[1]))
            size = _USUAL_SIZE * math.sqrt(max(steps.shape[1:]))
            for matrix, step in zip(matrices, steps.view(-1, *shape), strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(step.to(matrix.dtype), alpha=-group["lr"] * size)
                matrix.grad = None

    def _direction(self, matrix: Tensor) -> Tensor:
        """Add the gradient to the momentum; Nesterov's look ahead from there."""
        gradient, state = matrix.grad, self.state[matrix]
        assert gradient is not None
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=matrix.device)
            state["momentum"] = torch.zeros_like(matrix, memory_format=torch.preserve_format)
        state["step"] += 1
        state["momentum"].mul_(_MOMENTUM).add_(gradient)
        return gradient.add(state["momentum"], alpha=_MOMENTUM)


def orthogonalized(matrices: Tensor) -> Tensor:
    """Matrices with all singular values near 1 (0.7 to 1.2) in place of their own: (n, rows, columns) to the same.

    Five steps of a Newton-Schulz iteration, products alone. Directions a thousand times weaker than the strongest stay
    below that.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    matrices = matrices.mT if tall else matrices
    matrices = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=_TINY)
    linear, cubic, quintic = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = matrices @ matrices.mT
        rest = torch.baddbmm(gram, gram, gram, beta=cubic, alpha=quintic)
        matrices = torch.baddbmm(matrices, rest, matrices, beta=linear)
    return matrices.mT if tall else matrices
