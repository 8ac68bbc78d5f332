"""When to say nothing: the threshold of tasks with questions that have no answer, chosen on the validation rows."""

from dataclasses import replace

from bertline.evaluation.squad import best_thresholds
from bertline.finetuning.data import FinetuningData
from bertline.inference.predictor import predict_features
from bertline.inference.settings import InferenceSettings
from bertline.model.bert import BertWithHead


def fitted_settings(model: BertWithHead, data: FinetuningData) -> InferenceSettings:
    """The inference settings of a fine-tuned model: those of its data, and the null threshold with the best F1."""
    if not data.settings.may_be_unanswerable:
        return data.settings
    rows = data.validation_rows
    predictions = predict_features(model, data.task, rows, data.validation, data.settings)
    golds = [[answer["text"] for answer in row["answers"]] for row in rows]
    spans = [prediction["best_answer"] for prediction in predictions]
    found = best_thresholds(golds, spans, [prediction["null_difference"] for prediction in predictions])
    return replace(data.settings, null_threshold=found["f1"].value)
