"""A fine-tuned model on disk: everything that prediction needs, in one directory."""

from pathlib import Path

from bertline.base.files import atomic_directory
from bertline.finetuning.data import FinetuningData
from bertline.inference.heads import PROBLEM_TYPES
from bertline.inference.settings import InferenceSettings
from bertline.model.bert import BertWithHead
from bertline.model.hf import save_model
from bertline.tokens.tokenizer import copy_tokenizer


def save_finetuned(
    destination: Path,
    model: BertWithHead,
    data: FinetuningData,
    settings: InferenceSettings,
    *,
    tokenizer_source: Path,
) -> None:
    """Write weights and config.json, tokenizer files, task.json and inference.json, all or nothing.

    Args:
        destination: the directory; what it held is replaced.
        model: the fine-tuned network.
        data: what it was fine-tuned on.
        settings: that it predicts with, as fitted_settings gives them.
        tokenizer_source: directory with the tokenizer it was fine-tuned with.

    Raises:
        BertlineError: the tokenizer files are missing or do not belong together.
    """
    with atomic_directory(destination) as directory:
        save_model(model, directory, labels=data.task.labels, problem_type=PROBLEM_TYPES[data.task.kind])
        copy_tokenizer(tokenizer_source, directory, max_length=settings.max_length)
        data.task.write(directory)
        settings.write(directory)
