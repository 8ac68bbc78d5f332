"""What pre-training minimises, as sums over a batch that add up over micro-batches, processes and steps.

sums = objective_sums(model, batch, "bf16")     # tensor (6,), in the order of SUMS
loss = total_loss(sums, predictions=640, sequences=64, pairs=True)
means(sums.tolist(), pairs=True)                # {"mlm_loss": …, "mlm_accuracy": …, "nsp_loss": …, …}
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bertline.model.packing import Packing
from bertline.pretraining.cross_entropy import cross_entropy
from bertline.pretraining.examples import Batch
from bertline.training.device import autocast

SUMS = ("mlm_loss", "mlm_correct", "predictions", "nsp_loss", "nsp_correct", "sequences")
Means = dict[str, float | None]
# A BertForPreTraining, or what runs it.
Network = Callable[[Tensor, Tensor, Tensor | Packing, Tensor], tuple[Tensor, Tensor]]


def objective_sums(network: Network, batch: Batch, precision: str) -> Tensor:
    """Losses (in nats) and right answers of both tasks, summed over a batch: fp32 (6,), in the order of SUMS.

    Logits are turned into losses in fp32, whatever the precision of the model.
    """
    with autocast(batch.ids.device, precision):
        mlm_logits, nsp_logits = network(batch.ids, batch.segments, batch.mask, batch.positions)
    weights = batch.weights.flatten()
    mlm_losses, mlm_right = cross_entropy(mlm_logits.flatten(0, 1), batch.targets.flatten())
    nsp_loss = functional.cross_entropy(nsp_logits.float(), batch.labels, reduction="sum")
    nsp_right = nsp_logits.detach().argmax(dim=-1) == batch.labels
    return torch.stack(
        (
            (mlm_losses * weights).sum(),
            (mlm_right * weights).sum(),
            weights.sum(),
            nsp_loss,
            nsp_right.sum().float(),
            torch.full_like(nsp_loss, len(batch.labels)),
        )
    )


def total_loss(sums: Tensor, *, predictions: Tensor | float, sequences: int, pairs: bool) -> Tensor:
    """The mean MLM loss a prediction, plus the mean NSP loss a sequence (Devlin et al. 2019, appendix A.2).

    `predictions` (at least 1) and `sequences` are those of the whole optimizer step, so that the losses of its
    micro-batches add up.
    """
    mlm = sums[0] / predictions
    return mlm + sums[3] / sequences if pairs else mlm


def means(sums: Sequence[float], *, pairs: bool) -> Means:
    """Mean losses and accuracies from sums in the order of SUMS; without pairs those of NSP are None (null)."""
    mlm_loss, mlm_correct, predictions, nsp_loss, nsp_correct, sequences = sums
    predictions, sequences = max(predictions, 1), max(sequences, 1)
    return {
        "mlm_loss": round(mlm_loss / predictions, 6),
        "mlm_accuracy": round(mlm_correct / predictions, 6),
        "nsp_loss": round(nsp_loss / sequences, 6) if pairs else None,
        "nsp_accuracy": round(nsp_correct / sequences, 6) if pairs else None,
    }
