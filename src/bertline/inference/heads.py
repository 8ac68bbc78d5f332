"""Which network answers which kind of task, and what it is for: the tables that trainer, predictor and cards share."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.model.bert import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertWithHead,
)
from bertline.model.hf import read_labels
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

PIPELINE_TAGS: Mapping[Kind, str] = {
    "classification": "text-classification",
    "pair": "text-classification",
    "regression": "text-classification",
    "tagging": "token-classification",
    "span": "question-answering",
}
"""`pipeline_tag` of a model card, by which the Hugging Face Hub sorts models."""

USES: Mapping[Kind, str] = {
    "classification": "gives a text one of the labels below",
    "pair": "gives a pair of texts one of the labels below",
    "regression": "gives a text, or a pair of texts, a number",
    "tagging": "marks spans of a text with the labels below",
    "span": "finds the answer to a question in a context, as a span of it",
}
"""What a model card says that it does."""


def in_markdown(labels: Sequence[str]) -> str:
    """The labels of a model card, each as code: a part of speech of the Penn Treebank is two backticks."""
    return ", ".join(map(_code, labels))


def _code(text: str) -> str:
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text}{room}{fence}"


def reading(kind: Kind, max_length: int) -> str:
    """How much of an input a model reads, as its card says it: it reads …"""
    if kind in ("tagging", "span"):
        return f"reads all, {max_length} tokens at a time"
    return f"reads the first tokens alone, {max_length} at most"


def check_labels(task: TaskInfo, directory: Path) -> None:
    """Refuse a model whose outputs are named otherwise than the task's labels: its answers would be others' names.

    Raises:
        BertlineError: task.json and config.json have different labels.
    """
    named = read_labels(directory)
    if task.labels and named != list(task.labels):
        what = f"the labels of task.json ({', '.join(task.labels):.60}) are not those of config.json"
        raise BertlineError(f"{what} ({', '.join(named):.60})", where=str(directory), fix="Take all files of one model")


def build_model(task: TaskInfo, config: BertConfig) -> BertWithHead:
    """A network for a task, with the weights not yet set: one output a label, or one for a number."""
    if task.kind == "tagging":
        return BertForTokenClassification(config, len(task.labels))
    if task.kind == "span":
        return BertForQuestionAnswering(config)
    return BertForSequenceClassification(config, len(task.labels) or 1)
