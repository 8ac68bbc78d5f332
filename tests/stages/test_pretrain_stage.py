"""Stage pretrain: from tokens and vocabulary to a model directory and its reports."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer
from typer.testing import CliRunner

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params, Pretrain, SecondPhase
from bertline.base.errors import BertlineError
from bertline.base.files import exclusive_lock, read_json, sha256_directory, sha256_file, write_json
from bertline.base.params import write_params
from bertline.cli import app
from bertline.model.bert import BertForPreTraining
from bertline.model.hf import load_model
from bertline.pretraining.trainer import fingerprint
from bertline.stages.pretrain import run
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import load_tokenizer, write_tokenizer
from pretraining.tiny_corpus import topic_store

PARAMS = replace(
    Params(),
    pretrain=Pretrain(
        sequence_length=16,
        batch_size=8,
        budget=6,
        log_every=2,
        evaluate_every=3,
        evaluation_batches=2,
        perplexity_sequences=4,
        threads=1,
    ),
)
MEANS = {"mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy"}
ENDLESS = {"budget": 1_000_000, "evaluate_every": 1_000_000}
MEASURED = MEANS | {"pseudo_perplexity"}


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
    assert set(metrics["train"]) == set(metrics["validation"]) == MEASURED
    curve = read_json(artifacts.curve("pretrain"))
    assert [row["step"] for row in curve] == [2, 4, 6]
    assert set(curve[0]) == {"step", "tokens", "learning_rate", *MEANS}
    validation = read_json(artifacts.report("pretrain") / "validation_curve.json")
    assert [row["step"] for row in validation] == [0, 3, 6] and set(validation[0]) == {
        "step",
        "pseudo_perplexity",
        *MEANS,
    }
    model = load_model(BertForPreTraining, artifacts.pretrained)
    assert sum(parameter.numel() for parameter in model.parameters()) == metrics["parameters"]
    assert load_tokenizer(artifacts.pretrained).get_vocab_size() == model.config.vocab_size
    card = (artifacts.pretrained / "README.md").read_text(encoding="utf-8")
    assert f"{metrics['parameters']:,}" in card and f"{metrics['validation']['mlm_loss']:.3f}" in card
    assert set(metrics["intervals"]) == MEANS
    low, high = metrics["intervals"]["nsp_accuracy"]
    assert f"| {low:.1%} to {high:.1%} |\n" in card


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


def test_the_tokenizer_says_how_long_the_sequences_were_that_the_model_learned_from(artifacts: Artifacts) -> None:
    def said(**options: Any) -> int:
        run(replace(PARAMS, pretrain=replace(PARAMS.pretrain, budget=2, **options)), artifacts)
        return int(AutoTokenizer.from_pretrained(artifacts.pretrained).model_max_length)

    assert said() == 16
    assert said(second_phase=SecondPhase(share=0.5, sequence_length=24, batch_size=8)) == 24
    shutil.copytree(artifacts.pretrained, artifacts.data / "initial" / "mine")
    assert said(init_from="data/initial/mine") == 24, "what it learned before is not lost"


def test_tokens_of_another_vocabulary_are_refused(artifacts: Artifacts) -> None:
    meta = artifacts.tokens("validation") / "meta.json"
    write_json(meta, read_json(meta) | {"vocab_sha256": "0" * 64})
    with pytest.raises(BertlineError, match=r"validation: its ids were made with another vocabulary.*dvc repro encode"):
        run(PARAMS, artifacts)
    assert not artifacts.pretrained.exists()


def test_sigterm_ends_the_program_with_143_a_checkpoint_and_no_outputs(artifacts: Artifacts) -> None:
    with start(artifacts, **ENDLESS) as process:
        _wait_for_a_log(artifacts)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "run again to go on from there" in said
    assert list(artifacts.runs.glob("pretrain/*/step-*/manifest.json"))
    assert not artifacts.pretrained.exists() and not artifacts.metrics("pretrain").exists()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        pytest.param({"log_every": 1}, 0, id="to its end", marks=pytest.mark.slow),
        pytest.param(ENDLESS, 143, id="SIGTERM"),
    ],
)
def test_a_run_that_nobody_listens_to_any_more_goes_on(
    options: dict[str, Any], status: int, artifacts: Artifacts
) -> None:
    with start(artifacts, **options) as process:
        assert process.stdout is not None
        process.stdout.close()  # as where `… | tee log` was killed
        if status:
            _wait_for_a_log(artifacts)
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == status
    assert artifacts.metrics("pretrain").exists() == (status == 0)
    assert bool(list(artifacts.runs.glob("pretrain/*/step-*/manifest.json"))) == (status == 143)


def start(artifacts: Artifacts, **options: Any) -> subprocess.Popen[str]:
    """The stage as a program, with options of its own."""
    write_params(artifacts.params, replace(PARAMS, pretrain=replace(PARAMS.pretrain, **options)), "For a test.")
    command = [sys.executable, "-m", "bertline.stages.pretrain", "--root", str(artifacts.root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_two_processes_make_one_run_with_one_voice(artifacts: Artifacts) -> None:
    exact = {"precision": "fp32", "perplexity_sequences": 0}
    run(replace(PARAMS, pretrain=replace(PARAMS.pretrain, **exact)), artifacts)
    alone = read_json(artifacts.curve("pretrain"))
    process = start(artifacts, processes=2, **exact)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert said.count("100%") == 1 and said.count("pretrain: steps 6") == 1, said
    for one, two in zip(alone, read_json(artifacts.curve("pretrain")), strict=True):
        assert two == {key: pytest.approx(value, rel=1e-6, abs=1.1e-6) for key, value in one.items()}
    failed = start(artifacts, processes=2, batch_size=9)
    said, _ = failed.communicate(timeout=120)
    assert failed.returncode == 1
    assert said.count("error: ") == 1 and "9 sequences a step cannot be shared out among 2 processes" in said


@pytest.mark.slow
def test_what_the_main_process_alone_knows_is_told_once(artifacts: Artifacts) -> None:
    several = replace(PARAMS.pretrain, processes=2, budget=6.0)  # as it is read from params.yaml
    train, validation = (TokenStore.open(artifacts.tokens(split)) for split in ("train", "validation"))
    name = fingerprint(several, train, validation, artifacts.root)
    with exclusive_lock(artifacts.runs / "pretrain" / name / "lock", "a test"):
        process = start(artifacts, processes=2)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.count("error") == 1 and f"already running: process {os.getpid()}" in said, said


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_is_named(artifacts: Artifacts, rank: int) -> None:
    process = start(artifacts, processes=2, **ENDLESS)
    _wait_for_a_log(artifacts)
    workers = {int(_environment(child)["RANK"]): child for child in _children(process.pid)}
    os.kill(workers[rank], signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"a run in 2 processes: process {rank} was ended by SIGKILL" in said and "internal error" not in said, said


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _environment(process: int) -> dict[str, str]:
    entries = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def test_gpus_that_are_not_there_are_missed_before_any_process_starts(artifacts: Artifacts) -> None:
    count = torch.cuda.device_count()
    params = replace(PARAMS, pretrain=replace(PARAMS.pretrain, device="cuda", processes=count + 2))
    told = rf"pretrain\.processes: {count + 2} processes for {count} GPUs" if count else "no CUDA device is available"
    with pytest.raises(BertlineError, match=told):
        run(params, artifacts)


@pytest.mark.slow
def test_sigterm_to_the_launcher_ends_its_processes_with_a_checkpoint(artifacts: Artifacts) -> None:
    process = start(artifacts, processes=2, **ENDLESS)
    _wait_for_a_log(artifacts)
    process.terminate()
    said, _ = process.communicate(timeout=25)  # the launcher would kill after 30
    assert process.returncode == 143, said
    assert said.count("run again to go on from there") == 1, said
    assert list(artifacts.runs.glob("pretrain/*/step-*/manifest.json"))


@pytest.mark.slow
def test_sigterm_to_every_process_of_a_job_loses_no_checkpoint(artifacts: Artifacts) -> None:
    process = start(artifacts, processes=2, **ENDLESS)  # as systemd and Slurm signal it
    _wait_for_a_log(artifacts)
    for one in (process.pid, *_children(process.pid)):
        os.kill(one, signal.SIGTERM)
    said, _ = process.communicate(timeout=25)
    assert process.returncode == 143, said
    assert list(artifacts.runs.glob("pretrain/*/step-*/manifest.json"))


@pytest.mark.slow
def test_a_checkpoint_after_sigterm_may_take_longer_than_torch_would_wait(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = _with_a_main_process_that(artifacts, monkeypatch, _SAVES_SLOWLY, **ENDLESS)
    _wait_for_a_log(artifacts)
    process.terminate()
    said, _ = process.communicate(timeout=70)
    assert process.returncode == 143 and "error" not in said, said
    assert list(artifacts.runs.glob("pretrain/*/step-*/manifest.json"))


@pytest.mark.slow
def test_a_disk_that_fills_up_at_the_end_is_told_once(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    process = _with_a_main_process_that(artifacts, monkeypatch, _FINDS_THE_DISK_FULL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.count("error: ") == 1 and "model.safetensors: No space left on device" in said, said


_SAVES_SLOWLY = """
import time
from bertline.training import checkpoint
save = checkpoint.save
checkpoint.save = lambda *given: (time.sleep(35), save(*given))
"""
_FINDS_THE_DISK_FULL = """
import errno
import bertline.model.hf
def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device", "model.safetensors")
bertline.model.hf.save_file = full
"""


def _with_a_main_process_that(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch, does: str, **options: Any
) -> subprocess.Popen[str]:
    """The stage in two processes, the main one changed by some lines of Python before it begins."""
    site = artifacts.root / "site"
    site.mkdir()
    lines = "".join(f"    {line}\n" for line in does.splitlines())
    (site / "sitecustomize.py").write_text(f"import os\nif os.environ.get('RANK') == '0':\n{lines}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))
    return start(artifacts, processes=2, **options)


@pytest.mark.slow
def test_when_the_launcher_is_killed_nobody_holds_the_run(artifacts: Artifacts) -> None:
    process = start(artifacts, processes=2, **ENDLESS)
    _wait_for_a_log(artifacts)
    process.kill()
    process.communicate(timeout=20)  # its output ends with the last process that could write to it
    (lock,) = artifacts.runs.glob("pretrain/*/lock")
    with exclusive_lock(lock, "a test"):
        pass


def _wait_for_a_log(artifacts: Artifacts) -> None:
    limit = time.monotonic() + 60
    while not list(artifacts.runs.glob("pretrain/*/log.jsonl")) and time.monotonic() < limit:
        time.sleep(0.05)


def test_a_step_can_be_made_again_from_the_command_line(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    write_params(artifacts.params, PARAMS, "Small.")
    (artifacts.root / "dvc.yaml").touch()
    monkeypatch.chdir(artifacts.root)
    made = CliRunner().invoke(app, ["pretrain", "--replay", "3"])
    assert made.exit_code == 0, made.output
    assert "step 3 of seed 0, made again from the beginning" in made.output
    assert "  row " in made.output and "[CLS]" in made.output
    assert not artifacts.runs.exists() and not artifacts.pretrained.exists()
    beyond = CliRunner().invoke(app, ["pretrain", "--replay", "6"])
    assert beyond.exit_code == 1
    assert "--replay 6: the run has steps 0 to 5. Name one of them." in beyond.output


def test_going_on_from_a_model_keeps_its_shape_and_starts_where_it_was(artifacts: Artifacts) -> None:
    run(PARAMS, artifacts)
    first = read_json(artifacts.metrics("pretrain"))
    initial = artifacts.data / "initial" / "mine"
    shutil.copytree(artifacts.pretrained, initial)
    further = replace(PARAMS.pretrain, init_from="data/initial/mine", model="mini", learning_rate=1e-9)
    second = run(replace(PARAMS, pretrain=further), artifacts)
    assert second["parameters"] == first["parameters"]
    assert second["validation"]["mlm_loss"] == pytest.approx(first["validation"]["mlm_loss"], abs=1e-3)
    assert "pre-trained further" in (artifacts.pretrained / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_averaged_weights_are_the_mean_of_the_last_steps(artifacts: Artifacts) -> None:
    def weights(**options: Any) -> dict[str, torch.Tensor]:
        run(replace(PARAMS, pretrain=replace(PARAMS.pretrain, schedule="trapezoid", **options)), artifacts)
        return load_model(BertForPreTraining, artifacts.pretrained).state_dict()

    last = weights()
    averaged = weights(average_share=0.5, average_every=1)
    alone = weights(average_share=0.1, average_every=1)
    assert all(torch.equal(value, last[name]) for name, value in alone.items())  # of one snapshot, the last
    assert any(not torch.equal(value, last[name]) for name, value in averaged.items())
