"""Which network answers which kind of task: the one table that trainer and predictor share."""

from collections.abc import Mapping

from bertline.base.config import Kind
from bertline.model.bert import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertWithHead,
)
from bertline.tasks.schema import TaskInfo

HEADS: Mapping[Kind, type[BertWithHead]] = {
    "classification": BertForSequenceClassification,
    "pair": BertForSequenceClassification,
    "regression": BertForSequenceClassification,
    "tagging": BertForTokenClassification,
    "span": BertForQuestionAnswering,
}

PROBLEM_TYPES: Mapping[Kind, str] = {
    "classification": "single_label_classification",
    "pair": "single_label_classification",
    "regression": "regression",
    "tagging": "",
    "span": "",
}
"""`problem_type` of config.json, by which transformers chooses its loss."""


def build_model(task: TaskInfo, config: BertConfig) -> BertWithHead:
    """A network for a task, with the weights not yet set: one output a label, or one for a number."""
    if task.kind == "tagging":
        return BertForTokenClassification(config, len(task.labels))
    if task.kind == "span":
        return BertForQuestionAnswering(config)
    return BertForSequenceClassification(config, len(task.labels) or 1)
