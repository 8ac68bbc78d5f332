"""Early stopping: which epoch's weights are kept, and when there is no more to hope for.

stopping = EarlyStopping(config.patience)
for epoch in …:
    …
    if stopping.after_epoch(score, model):
        break
kept = stopping.restore(model)
"""

import torch
from torch import Tensor, nn


class EarlyStopping:
    """Watches the validation score; with a patience of 0 it never stops, and the last epoch's weights stay.

    Args:
        patience: epochs without a better score than the best one, after which the training stops; 0: off.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._epochs = 0
        self._best = -float("inf")
        self._best_epoch = 0
        self._weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def after_epoch(self, score: float, model: nn.Module) -> bool:
        """Take an epoch's validation score, higher is better, and say whether to stop; of equals the first is kept."""
        self._epochs += 1
        if not self._patience:
            return False
        if score > self._best:
            self._best, self._best_epoch = score, self._epochs
            self._weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        return self._epochs - self._best_epoch >= self._patience

    def restore(self, model: nn.Module) -> int:
        """Give the model the weights that are kept; return their epoch, from 1."""
        if not self._weights:
            return self._epochs
        model.load_state_dict(self._weights)
        return self._best_epoch
