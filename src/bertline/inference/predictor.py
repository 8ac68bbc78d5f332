"""A fine-tuned model that answers people.

    predictor = Predictor(Path("data/models/finetuned/docs_topic"))
    predictor.predict(["How to plot two lines in one figure"])
    # [{"label": "matplotlib", "score": 0.97, "scores": {"matplotlib": 0.97, …}}]

Inputs are described in inputs.py, predictions in decode.py. Long texts are cut; long word lists and contexts are read
in overlapping windows, so that no word and no answer is lost. Predictions are the same from run to run, and but for the
last digit of a few also whatever the batch size; fp32 is the default for that reason: rounding to bf16 lets a row's
scores depend on its neighbours.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from bertline.base.config import Device, Precision
from bertline.inference.decode import Prediction, make_decoder
from bertline.inference.heads import HEADS, check_labels
from bertline.inference.inputs import Input, as_rows
from bertline.inference.settings import InferenceSettings
from bertline.inference.vocabulary import check_vocabulary
from bertline.model.bert import BertForSequenceClassification, BertModel, BertWithHead
from bertline.model.hf import load_model
from bertline.tasks.batches import CPU_TOKENS, Batch, Features
from bertline.tasks.features import encode_rows
from bertline.tasks.schema import TaskInfo
from bertline.tokens.tokenizer import load_tokenizer
from bertline.training.device import autocast, find_device

_EXACT = 1e-4  # of the length of a regression head's weights; batches change values by a thousandth of that


class Predictor:
    """A model directory as stage finetune writes it, loaded and ready to answer.

    Attributes:
        task: what it was fine-tuned for.
    """

    def __init__(
        self, directory: Path, *, device: Device = "cpu", batch_size: int = 64, precision: Precision = "fp32"
    ) -> None:
        """Load weights, tokenizer, task.json and inference.json.

        Args:
            directory: of the model.
            device: where to compute; the process's threads and settings are left as they are.
            batch_size: examples a forward pass, at most; on a CPU fewer where they are long.
            precision: of matrix products; bf16 is faster where the processor has it, and scores are then less exact.

        Raises:
            BertlineError: a file is missing or malformed, the parts do not belong together, or there is no such device.
        """
        found = find_device(device)
        self.task = TaskInfo.read(directory)
        self.settings = InferenceSettings.read(directory)
        self.tokenizer = load_tokenizer(directory)
        self.model = load_model(HEADS[self.task.kind], directory).to(found)
        check_vocabulary(self.model.config.vocab_size, self.tokenizer, str(directory))
        check_labels(self.task, directory)
        self._batch_size = batch_size
        self._precision = precision

    def predict(self, inputs: Sequence[Input], *, n_best: int = 0) -> list[Prediction]:
        """Answer every input, in their order; `n_best`: list so many answers to each question (span).

        Raises:
            BertlineError: an input has not what the kind of the task needs.
        """
        return predict_rows(
            self.model,
            self.tokenizer,
            self.task,
            inputs,
            replace(self.settings, n_best=n_best),
            batch_size=self._batch_size,
            precision=self._precision,
        )


def predict_rows(
    model: BertWithHead,
    tokenizer: Tokenizer,
    task: TaskInfo,
    inputs: Sequence[Input],
    settings: InferenceSettings,
    *,
    batch_size: int = 64,
    precision: Precision = "fp32",
) -> list[Prediction]:
    """Answer inputs with a model in memory, where it is; rows of a task are inputs, their labels are not looked at."""
    rows = as_rows(task, inputs, punctuation_words=settings.punctuation_words)
    features = encode_rows(rows, task, tokenizer, max_length=settings.max_length, stride=settings.stride)
    return predict_features(model, task, rows, features, settings, batch_size=batch_size, precision=precision)


def predict_features(
    model: BertWithHead,
    task: TaskInfo,
    rows: Sequence[Mapping[str, Any]],
    features: Features,
    settings: InferenceSettings,
    *,
    batch_size: int = 64,
    precision: Precision = "fp32",
) -> list[Prediction]:
    """Answer rows that are encoded already: `features` are those of `rows`. The model is left in the mode it was in."""
    decimals = _decimals(model) if task.kind == "regression" else None
    decoder = make_decoder(task, features, rows, settings, decimals=decimals)
    for batch, outputs in outputs_of(model, features, batch_size=batch_size, precision=precision):
        decoder.add(batch, outputs)
    return decoder.finish()


@torch.no_grad()
def _decimals(model: BertWithHead) -> int | None:
    """Of a regression's values: as many as hold whatever the batch; None where the head has no weights to go by.

    The weights are in the unit of the labels' deviation. Their mean is the bias, which is added last and counts not.
    """
    assert isinstance(model, BertForSequenceClassification)
    exact = _EXACT * float(model.classifier.weight.double().norm())
    return -math.floor(math.log10(exact)) if 0 < exact < math.inf else None


@torch.inference_mode()
def outputs_of(
    model: BertWithHead | BertModel, features: Features, *, batch_size: int = 64, precision: Precision = "fp32"
) -> Iterator[tuple[Batch, Any]]:
    """Every batch of some examples with the network's outputs, which know no gradient.

    The model is in evaluation mode meanwhile, and then in the mode it was in.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    tokens = CPU_TOKENS if device.type == "cpu" else sys.maxsize
    try:
        for indices in features.evaluation_batches(batch_size, tokens):
            batch = features.batch(indices)
            ids, segments = (torch.from_numpy(array).to(device) for array in (batch.ids, batch.segments))
            mask = None if batch.mask.all() else torch.from_numpy(batch.mask).to(device)
            with autocast(device, precision):
                outputs = model(ids, segments, mask)
            yield batch, outputs
    finally:
        model.train(training)
