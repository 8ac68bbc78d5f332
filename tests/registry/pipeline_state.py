"""A checkout as the pipeline leaves it before register: tiny models of every kind, reports, gates; an MLflow store."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind, Params, Task, TaskData
from bertline.base.files import read_json, write_json, write_json_rows, write_jsonl, write_text
from bertline.base.params import write_params
from bertline.base.register_config import Register
from bertline.evaluation.metrics import GOLD_COLUMNS
from bertline.inference.heads import PROBLEM_TYPES, build_model
from bertline.inference.settings import InferenceSettings
from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.model.hf import save_model
from bertline.registry.store import open_store
from bertline.tasks.batches import Batch
from bertline.tasks.features import encode_rows
from bertline.tasks.schema import METRICS, TaskInfo
from bertline.tokens.tokenizer import SPECIAL_TOKENS, load_tokenizer, write_tokenizer
from checkout import ROOT

WORDS = ["the", "mean", "of", "an", "array", "returns", "value", "plot", "axis", "shape", "what", "does", ".", "?", ":"]
VOCAB = [*SPECIAL_TOKENS, *WORDS, *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
CONFIG = BertConfig(len(VOCAB), hidden_size=16, layers=1, heads=2, intermediate_size=32, max_positions=64)
LABELS = {"classification": ("numpy", "torch"), "pair": ("no", "yes"), "tagging": ("B-name", "I-name", "O")}
TEXTS = {"the mean of an array": "numpy", "plot the shape, what does the axis do?": "torch"}
TASKS: dict[str, Kind] = {
    "topic": "classification",
    "pairs": "pair",
    "rating": "regression",
    "params": "tagging",
    "qa": "span",
}


def some_params(*names: str) -> Params:
    """Params with the tasks named, all kinds by default."""
    tasks = {name: Task(TASKS[name], TaskData(train="rows.jsonl")) for name in names or TASKS}
    if "topic" in tasks:
        tasks["topic"] = replace(tasks["topic"], finetune={"learning_rate": 1e-3})
    return Params(tasks=tasks, register=Register(min_gain_over_majority=0.1, tolerance=0.01))


def make_checkout(root: Path, params: Params) -> Artifacts:
    """Write a checkout whose store's schema is migrated, which takes a second: make it once and copy it."""
    shutil.copy(ROOT / "dvc.yaml", root)
    artifacts = Artifacts(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with open_store(artifacts, "only for the schema"):
            pass
    write_params(artifacts.params, params, "Test.")
    write_pretrained(artifacts, seed=0)
    for name in params.tasks:
        write_finetuned(artifacts, name, seed=1)
        write_scores(artifacts, name, primary=0.8)
    for gate in ("gate_corpus", "gate_task/topic"):
        write_json(artifacts.gate_report(gate), {"gate": gate, "passed": True, "expectations": 3})
    write_text(artifacts.scoreboard / "scoreboard.md", "| task | score |\n")
    write_text(artifacts.scoreboard / "report.html", "<!DOCTYPE html>\n")
    write_json(artifacts.scoreboard / "scoreboard.json", {"topic": {"pretrained": 0.8}})
    write_json(artifacts.runs / "stages" / "pretrain.json", {"stage": "pretrain", "seconds": 12.5, "peak_bytes": 1000})
    return artifacts


def write_pretrained(artifacts: Artifacts, seed: int) -> None:
    """The pre-trained model and its reports."""
    model = BertForPreTraining(CONFIG)
    initialize(model, seed)
    artifacts.pretrained.mkdir(parents=True, exist_ok=True)
    save_model(model, artifacts.pretrained)
    write_tokenizer(VOCAB, artifacts.pretrained, lowercase=True)
    config = artifacts.pretrained / "tokenizer_config.json"
    write_json(config, read_json(config) | {"model_max_length": 32})  # fewer than there are positions
    figures = {"mlm_loss": 4.0, "mlm_accuracy": 0.3, "nsp_loss": 0.5, "nsp_accuracy": 0.75}
    write_json(artifacts.metrics("encode"), {"unigram_entropy": 6.0, "vocab_used": 0.9})
    edges = {name: [value - 0.125, value + 0.125] for name, value in figures.items()}
    pretrained = {"steps": 40, "precision": "fp32", "train": figures, "validation": figures, "intervals": edges}
    write_json(artifacts.metrics("pretrain"), pretrained)
    rows = [{"step": step, "tokens": step * 64, "mlm_loss": 6.0 - step / 20} for step in (20, 40)]
    write_json_rows(artifacts.curve("pretrain"), rows)


def write_finetuned(artifacts: Artifacts, name: str, seed: int) -> None:
    """A model of a task, with random weights; that of `topic` has learned TEXTS."""
    kind, directory = TASKS[name], artifacts.finetuned(name)
    counts = {"train": 10, "validation": 5, "test": 4}
    metrics, labels = METRICS[kind], LABELS.get(kind, ())
    info = TaskInfo(name, kind, labels, metrics[0], metrics, kind == "pair", counts, "made up")
    model = build_model(info, CONFIG)
    initialize(model, seed)
    directory.mkdir(parents=True, exist_ok=True)
    write_tokenizer(VOCAB, directory, lowercase=True)
    if name == "topic":
        rows = [{"text": text, "label": label} for text, label in TEXTS.items()]
        learn(model, encode_rows(rows, info, load_tokenizer(directory), max_length=32, stride=8).batch([0, 1]))
    save_model(model, directory, labels=labels, problem_type=PROBLEM_TYPES[kind])
    info.write(directory)
    InferenceSettings(max_length=32, stride=8).write(directory)


def learn(model: torch.nn.Module, batch: Batch) -> None:
    """Train until a batch is known by heart."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    arrays = (batch.ids, batch.segments, batch.mask, batch.labels)
    ids, segments, mask, labels = (torch.from_numpy(array) for array in arrays)
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(model(ids, segments, mask), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def write_scores(
    artifacts: Artifacts, name: str, primary: float, rows: int = 4, others: tuple[float, ...] = ()
) -> None:
    """What stages finetune and evaluate report of a task: the kept seed's primary metric as given, on `rows` rows.

    `others`: that of the seeds that were not kept; the kept one is seed 0.
    """
    metrics = METRICS[TASKS[name]]
    scores: dict[str, Any] = {
        start: dict.fromkeys(metrics, value)
        for start, value in {"pretrained": primary, "from_random": 0.6, "majority": 0.5}.items()
    }
    scores |= {
        "kept": {"pretrained": 0, "from_random": 0},
        "seeds": {
            "pretrained": {str(seed): dict.fromkeys(metrics, value) for seed, value in enumerate((primary, *others))},
            "from_random": {"0": scores["from_random"]},
        },
        "intervals": {"pretrained": dict.fromkeys(metrics, (primary - 0.05, primary + 0.05))},
    }
    write_json(artifacts.metrics("evaluate", name), {"metric": metrics[0], "rows": rows, **scores})
    write_json(artifacts.metrics("finetune", name), {"pretrained": {"train_loss": 0.1, "kept_seed": 0}})
    write_json_rows(artifacts.curve("finetune", name), [{"step": 1, "epoch": 0.5, "pretrained_loss": 0.7}])
    judged = {GOLD_COLUMNS[TASKS[name]]: "a", "pretrained": "a", "from_random": "b"}
    part = {"slice": "1 to 9", "rows": rows, "scores": {metrics[0]: primary}}
    analysis: dict[str, Any] = {
        "slices": [{"by": "characters", "metrics": [metrics[0]], "slices": [part]}],
        "mistakes": [],
    }
    if TASKS[name] in ("classification", "pair"):
        analysis["calibration"] = {"expected_calibration_error": 0.125, "bins": []}
    write_json(artifacts.report("evaluate", name) / "analysis.json", analysis)
    gold = ({"id": f"{name}-{row}", **judged} for row in range(rows))
    write_jsonl(artifacts.report("evaluate", name) / "predictions.jsonl", gold)
    asked = {"text": "a", "text_pair": "b", "words": ["a"], "question": "a", "context": "b"}
    write_jsonl(artifacts.task(name) / "test.jsonl", ({"id": f"{name}-{row}", **asked} for row in range(rows)))
    write_text(artifacts.report("evaluate", name) / "confusion.csv", "actual,predicted\na,a\n")
