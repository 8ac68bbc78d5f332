"""The token embeddings that the training rows use, trained apart from all the others.

    used = UsedTokens(model, data.train)     # before the optimizer is made: the model has a smaller table now
    … model(ids of used.batch(batch)) …
    used.after_step(optimizer)
    with used.whole(): …                     # the model with its whole table, to predict any text
    used.finish()

Most of a small BERT's weights are token embeddings, and the rows of a task use some thousands of them: every step would
fill, measure, scale and apply a gradient of zeros for all the others, a third of the time of a step over short texts.
A token that has no gradient has no momentum either: AdamW only decays it, which is done in one go when the whole table
is wanted. The weights are the same, to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from bertline.model.bert import BertWithHead
from bertline.tasks.batches import Batch, Features, Ints


class UsedTokens:
    """Puts a table of the used tokens in the place of a model's whole one; frozen embeddings are left as they are."""

    def __init__(self, model: BertWithHead, features: Features) -> None:
        """`features` are the examples that the model will be trained on."""
        self._embedding = model.bert.token_embeddings
        self._whole = self._embedding.weight
        rows = len(self._whole)
        used = np.zeros(rows, dtype=np.bool_)
        used[features.pad] = True
        for example in features.examples:
            used[example.ids] = True
        if not self._whole.requires_grad:
            used[:] = True
        self._places: Ints = np.cumsum(used) - 1  # id -> row of the smaller table
        self._used = torch.from_numpy(np.flatnonzero(used)).to(self._whole.device)
        self._unused = torch.from_numpy(np.flatnonzero(~used)).to(self._whole.device)
        self._decayed = 1.0  # what the unused rows are still to be multiplied by
        self._table = self._whole
        if len(self._unused):
            self._table = nn.Parameter(self._whole.detach()[self._used])
            self._embedding.weight = self._table

    def batch(self, batch: Batch) -> Batch:
        """The batch with its ids as rows of the smaller table."""
        return replace(batch, ids=self._places[batch.ids])

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Note the weight decay of a step."""
        for group in optimizer.param_groups:
            if any(parameter is self._table for parameter in group["params"]):
                self._decayed *= 1 - group["lr"] * group["weight_decay"]

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Within it the model has its whole table, as it is after the steps so far."""
        self.finish()
        try:
            yield
        finally:
            self._embedding.weight = self._table

    @torch.no_grad()
    def finish(self) -> None:
        """Give the model its whole table back."""
        if len(self._unused):
            self._whole[self._used] = self._table
            self._whole[self._unused] *= self._decayed
            self._decayed = 1.0
        self._embedding.weight = self._whole
