"""Stage finetune@T: the task's model, from the pre-trained encoder and, as a baseline, from random weights.

Writes data/models/{finetuned,from_random}/T/ (Hugging Face format, tokenizer, task.json, inference.json),
data/reports/finetune/T/metrics.json and curve.json. The test rows are not read here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import write_json, write_json_rows
from bertline.base.stage import main
from bertline.finetuning.data import prepare_data
from bertline.finetuning.report import curve_rows, history_metrics
from bertline.finetuning.save import save_finetuned
from bertline.finetuning.trainer import finetune
from bertline.inference.vocabulary import check_vocabulary
from bertline.model.hf import read_config
from bertline.tasks.schema import TaskInfo, read_rows
from bertline.tokens.tokenizer import load_tokenizer


def run(params: Params, artifacts: Artifacts, task: str) -> Mapping[str, Any]:
    """Fine-tune a task's model from the pre-trained encoder and from random weights."""
    config = params.finetune_for(task)
    source, pretrained = artifacts.task(task), artifacts.pretrained
    info = TaskInfo.read(source)
    tokenizer, shape = load_tokenizer(pretrained), read_config(pretrained)
    check_vocabulary(shape.vocab_size, tokenizer, str(pretrained))
    data = prepare_data(info, read_rows(source, "train"), read_rows(source, "validation"), tokenizer, config)
    starts: tuple[tuple[str, Path | None, Path], ...] = (
        ("pretrained", pretrained, artifacts.finetuned(task)),
        ("from_random", None, artifacts.from_random(task)),
    )
    histories = {}
    for start, encoder, destination in starts:
        title = f"finetune@{task} {start}"
        model, histories[start] = finetune(data, shape, config, encoder=encoder, title=title)
        save_finetuned(destination, model, data, tokenizer_source=pretrained)
    metrics = history_metrics(data, histories)
    write_json_rows(artifacts.curve("finetune", task), curve_rows(histories))
    write_json(artifacts.metrics("finetune", task), metrics)
    return metrics


if __name__ == "__main__":
    main(run)
