"""Stage pretrain: from tokens and vocabulary to a model directory and its reports."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params, Pretrain
from bertline.base.errors import BertlineError
from bertline.base.files import read_json, sha256_directory, sha256_file, write_json
from bertline.base.params import write_params
from bertline.model.bert import BertForPreTraining
from bertline.model.hf import load_model
from bertline.stages.pretrain import run
from bertline.tokens.encoder import load_tokenizer, write_tokenizer
from pretraining.tiny_corpus import topic_store

PARAMS = replace(
    Params(),
    pretrain=Pretrain(
        sequence_length=16, batch_size=8, budget=6, log_every=2, evaluate_every=3, evaluation_batches=2, threads=1
    ),
)
MEANS = {"mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy"}


@pytest.fixture(autouse=True)
def _stock_settings() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    made = Artifacts(tmp_path)
    for seed, split in enumerate(("train", "validation")):
        _, vocabulary = topic_store(made.tokens(split), documents=20, seed=seed)
    made.vocab.mkdir(parents=True)
    write_tokenizer(vocabulary, made.vocab, lowercase=True)
    for split in ("train", "validation"):
        meta = made.tokens(split) / "meta.json"
        write_json(meta, read_json(meta) | {"vocab_sha256": sha256_file(made.vocab / "vocab.txt")})
    return made


def test_it_writes_a_model_its_card_its_metrics_and_its_curves(artifacts: Artifacts) -> None:
    metrics = run(PARAMS, artifacts)
    assert metrics == read_json(artifacts.metrics("pretrain"))
    assert metrics["steps"] == 6 and metrics["tokens"] == 6 * 8 * 16
    assert set(metrics["train"]) == set(metrics["validation"]) == MEANS
    curve = read_json(artifacts.curve("pretrain"))
    assert [row["step"] for row in curve] == [2, 4, 6]
    assert set(curve[0]) == {"step", "tokens", "learning_rate", *MEANS}
    validation = read_json(artifacts.report("pretrain") / "validation_curve.json")
    assert [row["step"] for row in validation] == [0, 3, 6] and set(validation[0]) == {"step", *MEANS}
    model = load_model(BertForPreTraining, artifacts.pretrained)
    assert sum(parameter.numel() for parameter in model.parameters()) == metrics["parameters"]
    assert load_tokenizer(artifacts.pretrained).get_vocab_size() == model.config.vocab_size
    card = (artifacts.pretrained / "README.md").read_text(encoding="utf-8")
    assert f"{metrics['parameters']:,}" in card and f"{metrics['validation']['mlm_loss']:.3f}" in card


def test_run_again_it_trains_again_and_gives_the_same_bytes(artifacts: Artifacts) -> None:
    run(PARAMS, artifacts)
    folders = (artifacts.pretrained, artifacts.report("pretrain"))
    before = [sha256_directory(folder) for folder in folders]
    (directory,) = (artifacts.runs / "pretrain").iterdir()
    assert sorted(path.name for path in directory.iterdir()) == ["curve.jsonl", "lock", "log.jsonl"]
    logged = (directory / "log.jsonl").read_bytes()
    run(PARAMS, artifacts)
    assert [sha256_directory(folder) for folder in folders] == before
    assert len((directory / "log.jsonl").read_bytes()) > len(logged)


def test_tokens_of_another_vocabulary_are_refused(artifacts: Artifacts) -> None:
    meta = artifacts.tokens("validation") / "meta.json"
    write_json(meta, read_json(meta) | {"vocab_sha256": "0" * 64})
    with pytest.raises(BertlineError, match=r"validation: its ids were made with another vocabulary.*dvc repro encode"):
        run(PARAMS, artifacts)
    assert not artifacts.pretrained.exists()


def test_sigterm_ends_the_program_with_143_a_checkpoint_and_no_outputs(artifacts: Artifacts) -> None:
    endless = replace(PARAMS, pretrain=replace(PARAMS.pretrain, budget=1_000_000, evaluate_every=1_000_000))
    write_params(artifacts.params, endless, "Without end.")
    command = [sys.executable, "-m", "bertline.stages.pretrain", "--root", str(artifacts.root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 60
        while not list(artifacts.runs.glob("pretrain/*/log.jsonl")) and time.monotonic() < limit:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "run again to go on from there" in said
    assert list(artifacts.runs.glob("pretrain/*/step-*/manifest.json"))
    assert not artifacts.pretrained.exists() and not artifacts.metrics("pretrain").exists()
