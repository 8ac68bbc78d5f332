"""Validation: loss and scores of a model in training, in one pass over the validation rows."""

from typing import NamedTuple

from bertline.evaluation.metrics import score
from bertline.finetuning.data import FinetuningData
from bertline.finetuning.losses import batch_loss, counted
from bertline.inference.decode import make_decoder
from bertline.inference.predictor import outputs_of
from bertline.model.bert import BertWithHead


class Validation(NamedTuple):
    """What the validation rows said.

    Attributes:
        loss: mean over the examples (tagging: the words), without dropout, in the unit of the training loss.
        scores: metric -> value.
    """

    loss: float
    scores: dict[str, float]


def validate(model: BertWithHead, data: FinetuningData) -> Validation:
    """Predict the validation rows of a task with a model in training; it is left as it was."""
    total, terms = 0.0, 0
    decoder = make_decoder(data.task, data.validation, data.validation_rows, data.settings)
    for batch, outputs in outputs_of(model, data.validation):
        decoder.add(batch, outputs)
        own = counted(data.task.kind, batch)
        total += float(batch_loss(data.task.kind, outputs, batch)) * own
        terms += own
    return Validation(total / max(terms, 1), score(data.task, data.validation_rows, decoder.finish()))
