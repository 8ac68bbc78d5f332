"""Stage finetune@T: a task's model from the pre-trained encoder and, beside it, from random weights, a run a seed.

Writes data/models/finetuned/T/ (the model of the median seed by validation score: Hugging Face format, tokenizer,
task.json, inference.json, a model card), data/predictions/T/finetune/ (what every start and seed answers to the test
rows, which are read without their labels), data/reports/finetune/T/metrics.json and curve.json. Interrupt it as you
like: finished seeds are kept in data/runs/finetune/ until the stage has succeeded.
"""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import atomic_directory, write_json, write_json_rows, write_text
from bertline.base.stage import main
from bertline.evaluation.predictions import write_predictions
from bertline.finetuning.frozen import frozen_baseline
from bertline.finetuning.material import Material, load_checkpoint, load_material
from bertline.finetuning.model_card import finetuned_card
from bertline.finetuning.protocol import Start, run_all
from bertline.finetuning.report import curve_rows, keep_predictions, start_metrics
from bertline.finetuning.runs import Runs
from bertline.finetuning.tuning import check_tuning


def run(params: Params, artifacts: Artifacts, task: str) -> Mapping[str, Any]:
    """Fine-tune a task's model with several seeds, from the pre-trained encoder and from random weights."""
    config = params.finetune_for(task)
    check_tuning(config)
    with Runs(artifacts.runs / "finetune" / task) as runs:
        material = load_material(artifacts.task(task), artifacts.pretrained, config)
        checkpoint = None
        if config.baseline_checkpoint:
            directory = artifacts.root / config.baseline_checkpoint
            checkpoint = load_checkpoint(artifacts.task(task), directory, config)
        starts = run_all(runs, material, config, checkpoint)
        metrics = _write(starts, material, artifacts, params)
        runs.discard()
    return metrics


def _write(starts: Sequence[Start], material: Material, artifacts: Artifacts, params: Params) -> dict[str, Any]:
    info = material.data.task
    task = info.name
    config = params.finetune_for(task)
    with atomic_directory(artifacts.finetuned(task)) as directory:
        shutil.copytree(starts[0].kept.model, directory, dirs_exist_ok=True)
        write_text(directory / "README.md", finetuned_card(starts, config, params.tasks[task].data.builder))
    features, chosen = frozen_baseline(material, config)
    with atomic_directory(artifacts.predictions(task, "finetune")) as directory:
        keep_predictions(starts, directory, {"features": 0} if features else {})
        for split, predictions in features.items():
            rows = material.test[split].rows
            write_predictions(directory / split / "features-0.jsonl", info.kind, rows, predictions)
    write_json_rows(artifacts.curve("finetune", task), curve_rows(starts))
    metrics = start_metrics(starts) | ({"features": {"kept_seed": 0, **chosen}} if chosen else {})
    write_json(artifacts.metrics("finetune", task), metrics)
    return metrics


if __name__ == "__main__":
    main(run)
