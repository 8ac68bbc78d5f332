"""The loss of each kind of head: what one batch says about how wrong the network is."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bertline.base.config import Kind
from bertline.tasks.batches import IGNORED, Batch


def batch_loss(kind: Kind, outputs: Any, batch: Batch) -> Tensor:
    """Mean loss of a batch with targets, in fp32: a number that can be differentiated.

    Classification and pair: cross-entropy. Regression: squared error. Tagging: cross-entropy over the words that count.
    Span: cross-entropy of first and last token, averaged, over [CLS] (no answer here) and the tokens of the context
    (Devlin et al. 2019, sections 4.2 and 4.3); question and padding cannot be chosen.

    Raises:
        ValueError: the batch has no targets.
    """
    if batch.labels is None:
        raise ValueError("a batch without targets has no loss")
    if kind == "span":
        return _span_loss(outputs, batch)
    labels = torch.from_numpy(batch.labels).to(outputs.device, non_blocking=True)  # or the GPU would be waited for
    if kind == "regression":
        return functional.mse_loss(outputs[:, 0].float(), labels.float())
    if kind == "tagging":
        total = functional.cross_entropy(
            outputs.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        # A batch of windows may have no word that counts: its loss is 0, not 0 / 0.
        return total / max(counted(kind, batch), 1)
    return functional.cross_entropy(outputs.float(), labels)


def counted(kind: Kind, batch: Batch) -> int:
    """What the loss of a batch is the mean over: its words that count (tagging), or its examples."""
    if kind != "tagging" or batch.labels is None:
        return len(batch.rows)
    return int((batch.labels != IGNORED).sum())


def _span_loss(outputs: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
    assert batch.offsets is not None and batch.labels is not None
    possible = torch.from_numpy(batch.offsets[:, :, 0] >= 0)
    possible[:, 0] = True
    device = outputs[0].device
    possible, labels = (each.to(device, non_blocking=True) for each in (possible, torch.from_numpy(batch.labels)))
    first, last = (
        functional.cross_entropy(logits.float().masked_fill(~possible, -torch.inf), labels[:, end])
        for end, logits in enumerate(outputs)
    )
    return (first + last) / 2
