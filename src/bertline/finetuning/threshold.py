"""What an answer may be: its longest length, and when to say nothing; both are chosen on the validation rows.

The longest answer of the training rows would be a poor limit: one row decides it, and a model that is not sure answers
with stretches of just that length. BERT's run_squad.py has a constant, 30 (https://github.com/google-research/bert).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bertline.evaluation.squad import best_thresholds, squad_scores
from bertline.finetuning.data import FinetuningData, answer_lengths
from bertline.inference.decode import Prediction, make_decoder
from bertline.inference.predictor import outputs_of
from bertline.inference.settings import InferenceSettings
from bertline.model.bert import BertWithHead

_SHARES = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5)  # of the training answers, that a limit lets through; of equals the first


def fitted_settings(model: BertWithHead, data: FinetuningData) -> InferenceSettings:
    """The inference settings of a fine-tuned model: for spans, length limit and null threshold with the best F1."""
    if data.task.kind != "span":
        return data.settings
    rows = data.validation_rows
    tried = [replace(data.settings, max_answer_tokens=limit) for limit in _limits(data)]
    decoders = [make_decoder(data.task, data.validation, rows, settings) for settings in tried]
    for batch, outputs in outputs_of(model, data.validation):
        for decoder in decoders:
            decoder.add(batch, outputs)
    golds = [[answer["text"] for answer in row["answers"]] for row in rows]
    fits = [_fit(settings, golds, decoder.finish()) for settings, decoder in zip(tried, decoders, strict=True)]
    return max(fits, key=lambda fit: fit[0])[1]


def _limits(data: FinetuningData) -> list[int]:
    """Lengths to try, the longest first: the least that let through so large a share of the training answers."""
    lengths = answer_lengths(data.train)
    if not len(lengths):
        return [data.settings.max_answer_tokens]
    return list(dict.fromkeys(np.quantile(lengths, _SHARES, method="inverted_cdf").tolist()))


def _fit(
    settings: InferenceSettings, golds: Sequence[Sequence[str]], predictions: Sequence[Prediction]
) -> tuple[float, InferenceSettings]:
    """F1 under these settings, and they; with its best null threshold where questions may go unanswered."""
    if not settings.may_be_unanswerable:
        return squad_scores(golds, [prediction["answer"] for prediction in predictions])["f1"], settings
    spans = [prediction["best_answer"] for prediction in predictions]
    found = best_thresholds(golds, spans, [prediction["null_difference"] for prediction in predictions])["f1"]
    return found.score, replace(settings, null_threshold=found.value)
