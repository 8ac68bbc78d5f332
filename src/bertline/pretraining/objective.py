"""What pre-training minimises, as sums over a batch that add up over micro-batches, processes and steps.

sums = objective_sums(model, batch, pairs=True)     # tensor (6,), in the order of SUMS
loss = total_loss(sums, predictions=640, sequences=64)
means(sums.tolist(), pairs=True)                    # {"mlm_loss": …, "mlm_accuracy": …, "nsp_loss": …, …}
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bertline.model.bert import BertForPreTraining
from bertline.pretraining.cross_entropy import cross_entropy
from bertline.pretraining.examples import Batch, ExampleSource
from bertline.training.device import autocast

SUMS = ("mlm_loss", "mlm_correct", "predictions", "nsp_loss", "nsp_correct", "sequences")
Means = dict[str, float | None]


def objective_sums(model: BertForPreTraining, batch: Batch, precision: str) -> Tensor:
    """Losses (in nats) and right answers of both tasks, summed over a batch: fp32 (6,), in the order of SUMS.

    Logits are turned into losses in fp32, whatever the precision of the model.
    """
    with autocast(batch.ids.device, precision):
        mlm_logits, nsp_logits = model(batch.ids, batch.segments, batch.mask, batch.positions)
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


def total_loss(sums: Tensor, *, predictions: float, sequences: float, pairs: bool) -> Tensor:
    """The mean MLM loss a prediction, plus the mean NSP loss a sequence (Devlin et al. 2019, appendix A.2).

    `predictions` and `sequences` are those of the whole optimizer step, so that the losses of its micro-batches add up.
    """
    mlm = sums[0] / max(predictions, 1)
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


@torch.no_grad()
def evaluate(
    model: BertForPreTraining, source: ExampleSource, batches: int, precision: str, interrupted: Callable[[], bool]
) -> Means | None:
    """Mean losses and accuracies over the first batches of a source, without dropout; None when interrupted."""
    model.eval()
    total = [0.0] * len(SUMS)
    for step in range(batches):
        if interrupted():
            return None
        sums = objective_sums(model, source.batch(step).to(model.mlm_bias.device), precision)
        total = [have + new for have, new in zip(total, sums.tolist(), strict=True)]
    return means(total, pairs=source.pairs)
