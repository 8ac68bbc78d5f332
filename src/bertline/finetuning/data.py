"""The rows of a task made ready for fine-tuning, once for both starts: examples, targets and inference settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bertline.base.config import Finetune
from bertline.inference.inputs import has_punctuation_words
from bertline.inference.settings import InferenceSettings
from bertline.tasks.batches import Features
from bertline.tasks.features import encode_rows
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]


@dataclass(frozen=True)
class FinetuningData:
    """What a fine-tuning reads.

    Attributes:
        task: what task.json says.
        train_rows: with labels.
        train: examples of the training rows, with targets; those of regression have mean 0 and deviation 1.
        validation_rows: with labels, to score against.
        validation: examples of the validation rows, with targets of the same unit.
        settings: go with the model as inference.json.
        mean, deviation: of the regression labels; 0 and 1 otherwise.
    """

    task: TaskInfo
    train_rows: Sequence[Row]
    train: Features
    validation_rows: Sequence[Row]
    validation: Features
    settings: InferenceSettings
    mean: float = 0.0
    deviation: float = 1.0


def prepare_data(
    task: TaskInfo, train: Sequence[Row], validation: Sequence[Row], tokenizer: Tokenizer, config: Finetune
) -> FinetuningData:
    """Encode the rows of a task; each row is encoded once, whatever the number of models trained on it."""
    length, stride = config.max_length, config.stride
    features, validation_features = (
        encode_rows(rows, task, tokenizer, max_length=length, stride=stride) for rows in (train, validation)
    )
    settings = InferenceSettings(length, stride)
    mean, deviation = 0.0, 1.0
    if task.kind == "regression":
        values = np.array([row["label"] for row in train], dtype=np.float64)
        mean, deviation = float(values.mean()), float(values.std()) or 1.0
        features = _standardised(features, mean, deviation)
        validation_features = _standardised(validation_features, mean, deviation)
    elif task.kind == "span":
        settings = replace(
            settings,
            max_answer_tokens=int(answer_lengths(features).max(initial=1)),
            may_be_unanswerable=any(not row["answers"] for row in train),
        )
    elif task.kind == "tagging":
        settings = replace(settings, punctuation_words=has_punctuation_words(train))
    return FinetuningData(task, train, features, validation, validation_features, settings, mean, deviation)


def _standardised(features: Features, mean: float, deviation: float) -> Features:
    """Targets with mean 0 and deviation 1: a head starts near 0, and its learning rate then fits any unit."""
    examples = [
        example if example.labels is None else replace(example, labels=(example.labels - mean) / deviation)
        for example in features.examples
    ]
    return Features(features.kind, examples, features.pad)


def answer_lengths(features: Features) -> npt.NDArray[np.int64]:
    """How many tokens each answer has that a window shows; windows without one, which point to [CLS], do not count."""
    labels = [example.labels for example in features.examples if example.labels is not None]
    return np.array([last - first + 1 for first, last in labels if first > 0], dtype=np.int64)
