"""What asks to be registered: each task's fine-tuned model and the pre-trained encoder, with scores and card."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind, Params
from bertline.base.files import read_json, read_jsonl, sha256_directory, sha256_file, sha256_json
from bertline.base.register_config import ENCODER
from bertline.evaluation.metrics import GOLD_COLUMNS
from bertline.evaluation.seeds import spread
from bertline.inference.inputs import input_columns
from bertline.registry.lineage import dvc_outs
from bertline.registry.model_card import encoder_card, task_card
from bertline.registry.promotion import Scores
from bertline.tasks.schema import TaskInfo

FILL_MASK = "fill-mask"
_VALIDATION = (
    *("objective", "sequence_length", "batch_size", "evaluation_batches"),
    *("mask_rate", "whole_word", "short_rate"),
)
"""Options of pre-training that its validation loss is measured with: under others the same weights have another one."""


@dataclass(frozen=True)
class Contender:
    """A model that asks to be registered.

    Attributes:
        name: of the registered model: PREFIX-TASK or PREFIX-encoder.
        stage: title of the stage that made it.
        kind: of the task, or fill-mask.
        pair: rows have a second text.
        directory: the model in Hugging Face format.
        content: sha256 of the directory; a version a content.
        scores: what it scored, and on what.
        majority: the baseline that the floor is measured from.
        card: the model card, in Markdown.
        tags: lineage of a version, beside the run's.
    """

    name: str
    stage: str
    kind: str
    pair: bool
    directory: Path
    content: str
    scores: Scores
    majority: Mapping[str, float]
    card: str
    tags: Mapping[str, str]


def contenders(params: Params, artifacts: Artifacts, lineage: Mapping[str, str]) -> Iterator[Contender]:
    """Every model of a pipeline run, tasks first.

    Args:
        params: the configuration they were trained with.
        artifacts: paths.
        lineage: tags of the run, for the model cards.

    Raises:
        BertlineError: a model or one of its reports is missing.
    """
    outs = dvc_outs(artifacts)
    for task in params.tasks:
        yield _task_contender(task, params, artifacts, lineage, outs)
    yield _encoder_contender(params, artifacts, lineage, outs)


def _task_contender(
    task: str, params: Params, artifacts: Artifacts, lineage: Mapping[str, str], outs: Mapping[Path, str]
) -> Contender:
    directory = artifacts.finetuned(task)
    info = TaskInfo.read(directory)
    figures = read_json(artifacts.metrics("evaluate", task))
    rows = artifacts.report("evaluate", task) / "predictions.jsonl"
    content = sha256_directory(directory)
    by_seed, metric = figures["seeds"]["pretrained"], figures["metric"]
    noise = spread([values[metric] for values in by_seed.values()]).deviation
    own = by_seed[str(figures["kept"]["pretrained"])]
    return Contender(
        name=params.register.model_name(task),
        stage=f"finetune@{task}",
        kind=info.kind,
        pair=info.pair,
        directory=directory,
        content=content,
        scores=Scores(metric, own, _sha256_of_gold(rows, info.kind), noise, _sha256_of_inputs(artifacts, info)),
        majority=figures["majority"],
        card=task_card(info, figures, params, artifacts, {**lineage, "content sha256": content}),
        tags=_version_tags(content, outs.get(directory)) | {"bertline.task": task, "bertline.kind": info.kind},
    )


def _encoder_contender(
    params: Params, artifacts: Artifacts, lineage: Mapping[str, str], outs: Mapping[Path, str]
) -> Contender:
    """The pre-trained model; its majority baseline is the unigram distribution, its score the gain over it in nats."""
    directory = artifacts.pretrained
    figures = read_json(artifacts.metrics("pretrain"))
    validation = figures["validation"]
    encoded = artifacts.metrics("encode")
    gain = read_json(encoded)["unigram_entropy"] - validation["mlm_loss"]
    accuracies = {name: value for name, value in validation.items() if name.endswith("accuracy") and value is not None}
    content = sha256_directory(directory)
    measured_on = sha256_json([sha256_file(encoded), {name: getattr(params.pretrain, name) for name in _VALIDATION}])
    return Contender(
        name=params.register.model_name(ENCODER),
        stage="pretrain",
        kind=FILL_MASK,
        pair=False,
        directory=directory,
        content=content,
        scores=Scores("gain_over_unigram", {"gain_over_unigram": gain, **accuracies}, measured_on),
        majority={"gain_over_unigram": 0.0},
        card=encoder_card(figures, gain, params, artifacts, {**lineage, "content sha256": content}),
        tags=_version_tags(content, outs.get(directory)) | {"bertline.kind": FILL_MASK},
    )


def _version_tags(content: str, md5: str | None) -> dict[str, str]:
    return {"bertline.content.sha256": content} | ({"dvc.out.md5": md5} if md5 else {})


def _sha256_of_gold(predictions: Path, kind: Kind) -> str:
    """What the scores were measured on: the ids and right answers of the test rows."""
    return _sha256_of_rows([row["id"], row[GOLD_COLUMNS[kind]]] for row in read_jsonl(predictions))


def _sha256_of_inputs(artifacts: Artifacts, info: TaskInfo) -> str:
    """What the model was asked: other texts under the same ids and labels are another test."""
    columns = input_columns(info.kind, info.pair)
    rows = read_jsonl(artifacts.task(info.name) / "test.jsonl")
    return _sha256_of_rows([row[column] for column in columns] for row in rows)


def _sha256_of_rows(rows: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
