"""Small, clean artefacts for the gates' tests, each as its stage would leave it, and ways to change them."""

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bertline.base.artifacts import Artifacts
from bertline.base.config import GateCorpus, GateTask, GateTokens, Params, Task, TaskData
from bertline.base.files import sha256_file, write_json, write_json_rows, write_jsonl

Row = dict[str, Any]
SCHEMA = pa.schema([*((name, pa.string()) for name in ("id", "source", "title")), ("sentences", pa.list_(pa.string()))])
WORDS = ["array", "value", "model", "shape", "input", "output", "index", "column", "number", "string", "result", "path"]
ENTRIES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *(f"word{n}" for n in range(100)),
    *(f"##s{n}" for n in range(23)),
]


def small_params() -> Params:
    """The defaults, with thresholds for small data."""
    params = Params()
    return replace(
        params,
        gate_corpus=replace(GateCorpus(), min_documents=100),
        gate_tokens=replace(GateTokens(), min_tokens=1000),
        gate_task=replace(GateTask(), min_rows=20),
        pretrain=replace(params.pretrain, budget=200),
        tasks={kind: Task(kind=kind, data=TaskData(builder=kind)) for kind in ROWS},
    )


def sentence(number: int, draw: random.Random) -> str:
    words = " ".join(draw.choices(WORDS, k=5))
    return f"Number {number} of the {words} is in the {draw.choice(WORDS)} and it was for this."


def make_documents(artifacts: Artifacts, train: int = 190, validation: int = 10) -> None:
    """Documents of three to six English sentences."""
    draw = random.Random(1)
    for split, count in (("train", train), ("validation", validation)):
        rows = [
            {
                "id": f"{split}-{number}",
                "source": "python-docs",
                "title": f"package.module.name{number}",
                "sentences": [sentence(1000 * number + place, draw) for place in range(draw.randint(3, 6))],
            }
            for number in range(count)
        ]
        write_documents(artifacts, split, rows)
    write_json(artifacts.metrics("documents"), {"train_documents": train, "validation_documents": validation})


def write_documents(artifacts: Artifacts, split: str, rows: list[Row], schema: pa.Schema = SCHEMA) -> None:
    artifacts.documents.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), artifacts.documents / f"{split}-00000.parquet")


def change_documents(artifacts: Artifacts, split: str, change: Callable[[list[Row]], Iterable[Row] | None]) -> None:
    """Rewrite the documents of a split, and the number of them that stage documents reports."""
    rows = pq.read_table(artifacts.documents / f"{split}-00000.parquet").to_pylist()
    rows = list(change(rows) or rows)
    write_documents(artifacts, split, rows)
    metrics = json.loads(artifacts.metrics("documents").read_text())
    write_json(artifacts.metrics("documents"), {**metrics, f"{split}_documents": len(rows)})


def make_tokens(artifacts: Artifacts) -> None:
    """A vocabulary of 128 entries, and stores of 40 and 10 documents with every entry in them."""
    write_vocab(artifacts, ENTRIES)
    write_json(artifacts.metrics("documents"), {"train_documents": 40, "validation_documents": 10})
    metrics: dict[str, Any] = {}
    for split, documents in (("train", 40), ("validation", 10)):
        draw = np.random.Generator(np.random.Philox(documents))
        ids = draw.integers(5, len(ENTRIES), size=documents * 60).astype(np.uint16)
        write_store(artifacts, split, ids, np.arange(0, len(ids) + 1, 12), np.arange(0, documents * 5 + 1, 5))
        metrics[f"{split}_tokens"] = len(ids)
        counts = np.bincount(ids)
        shares = counts[counts > 0] / len(ids)
        metrics["unigram_entropy"] = float(-(shares * np.log(shares)).sum())
    write_json(artifacts.metrics("encode"), metrics)


def write_vocab(artifacts: Artifacts, entries: list[str]) -> None:
    artifacts.vocab.mkdir(parents=True, exist_ok=True)
    (artifacts.vocab / "vocab.txt").write_text("\n".join(entries) + "\n")
    vocab = {token: place for place, token in enumerate(entries)}
    write_json(artifacts.vocab / "tokenizer.json", {"model": {"type": "WordPiece", "vocab": vocab}})


def write_store(artifacts: Artifacts, split: str, ids: Any, sentences: Any, documents: Any, **meta: Any) -> None:
    """A token store with a meta.json that tells the truth, but for what `meta` says."""
    directory = artifacts.tokens(split)
    directory.mkdir(parents=True, exist_ok=True)
    arrays = {"ids": ids, "sentences": sentences.astype(np.int64), "documents": documents.astype(np.int64)}
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)
    truth = {
        "tokens": len(ids),
        "sentences": len(sentences) - 1,
        "documents": len(documents) - 1,
        "words": int(len(ids) / 1.4),
        "unknown": int((ids == 1).sum()),
        "vocab_size": len(ENTRIES),
        "vocab_sha256": sha256_file(artifacts.vocab / "vocab.txt"),
        "sha256": {f"{name}.npy": sha256_file(directory / f"{name}.npy") for name in arrays},
    }
    write_json(directory / "meta.json", {**truth, **meta})


def make_pretraining(artifacts: Artifacts, nsp: bool = True) -> None:
    """A run of 200 steps, losing 4 nats."""
    points = []
    for step in range(10, 201, 10):
        point: Row = {"step": step, "tokens": step * 4096, "learning_rate": 1e-3 * (1 - step / 201)}
        point |= {"mlm_loss": 4 + 4 * math.exp(-step / 50), "mlm_accuracy": 0.2}
        points.append(point | ({"nsp_loss": 0.5, "nsp_accuracy": 0.7} if nsp else {}))
    write_json_rows(artifacts.curve("pretrain"), points)
    scores: Row = {"mlm_loss": 4.2, "mlm_accuracy": 0.3}
    scores |= {"nsp_loss": 0.5, "nsp_accuracy": 0.75} if nsp else {"nsp_loss": None, "nsp_accuracy": None}
    metrics = {"steps": 200, "tokens": 819200, "parameters": 4_000_000, "train": scores, "validation": scores}
    write_json(artifacts.metrics("pretrain"), metrics)
    write_json(artifacts.metrics("encode"), {"unigram_entropy": 6.3})


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file in place; NaN may be written, as a careless program would."""
    value = json.loads(path.read_text())
    changed = change(value)
    path.write_text(json.dumps(value if changed is None else changed))


def _classification(number: int, draw: random.Random) -> Row:
    label = ("cat", "dog", "fish")[int(hashlib.sha256(str(number).encode()).hexdigest(), 16) % 3]
    text = f"Text {number} of the {label}food and {label}house, {' '.join(draw.choices(WORDS, k=4))}."
    return {"text": text, "label": label}


def _pair(number: int, draw: random.Random) -> Row:
    row = _classification(number, draw)
    return {"text": row["text"], "text_pair": f"A second one, {number}.", "label": row["label"]}


def _regression(number: int, draw: random.Random) -> Row:
    return {"text": f"Text {number}.", "text_pair": f"Other {number}.", "label": round(5 * draw.random(), 2)}


def _tagging(number: int, draw: random.Random) -> Row:
    return {
        "words": ["Here", f"Ann{number}", "Lee", "met", "Bob", "."],
        "tags": ["O", "B-PER", "I-PER", "O", "B-PER", "O"],
    }


def _span(number: int, draw: random.Random) -> Row:
    context = f"The value of x{number} is the {draw.choice(WORDS)} of all."
    answers = [] if number % 5 == 0 else [{"text": f"x{number}", "start": 13}]
    return {"question": "What has a value?", "context": context, "answers": answers}


ROWS = {
    "classification": _classification,
    "pair": _pair,
    "regression": _regression,
    "tagging": _tagging,
    "span": _span,
}


def make_task(artifacts: Artifacts, kind: str, train: int = 300) -> None:
    """A task named like its kind, of `train`, 40 and 40 rows."""
    draw = random.Random(2)
    counts = {"train": train, "validation": 40, "test": 40}
    labels: set[str] = set()
    number = 0
    for split, count in counts.items():
        rows = [{"id": f"{split}-{place}", **ROWS[kind](number + place, draw)} for place in range(count)]
        number += count
        if kind in ("classification", "pair"):
            labels |= {row["label"] for row in rows}
        if kind == "tagging":
            labels |= {tag for row in rows for tag in row["tags"]}
        write_jsonl(artifacts.task(kind) / f"{split}.jsonl", rows)
    info = {"name": kind, "kind": kind, "labels": sorted(labels), "metric": "accuracy", "metrics": ["accuracy"]}
    write_json(
        artifacts.task(kind) / "task.json", {**info, "pair": kind == "pair", "rows": counts, "source": "made up"}
    )


def change_rows(artifacts: Artifacts, kind: str, split: str, change: Callable[[list[Row]], list[Row] | None]) -> None:
    """Rewrite the rows of a split, and the number of them in task.json."""
    path = artifacts.task(kind) / f"{split}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    changed = change(rows)
    rows = rows if changed is None else changed
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    change_json(artifacts.task(kind) / "task.json", lambda info: info["rows"].update({split: len(rows)}))
