"""Fine-tuning learns each kind of task, is the recipe written out, and tells when it cannot go on."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_directory
from bertline.evaluation.metrics import score
from bertline.finetuning import trainer
from bertline.finetuning.data import FinetuningData, prepare_data
from bertline.finetuning.losses import batch_loss
from bertline.finetuning.save import save_finetuned
from bertline.finetuning.trainer import History, finetune, step_seed
from bertline.finetuning.validation import Validation, validate
from bertline.inference.heads import build_model
from bertline.inference.predictor import Predictor, predict_rows
from bertline.model.bert import BertConfig, BertWithHead, initialize
from bertline.model.packing import Packing, pack
from bertline.tasks.batches import Batch
from bertline.tokens.tokenizer import load_tokenizer
from bertline.training import device
from device_waits import GPU, Waits
from toy_tasks import KINDS, RECIPE, SHAPE, SHORT, Prepare, toy_task

Learned = Callable[[Kind], tuple[FinetuningData, BertWithHead, History]]


@pytest.fixture(scope="module")
def learned(prepare: Prepare, pretrained: Path) -> Learned:
    """A model that was trained on all rows of a kind's toy task; made once."""

    @cache
    def make(kind: Kind) -> tuple[FinetuningData, BertWithHead, History]:
        data = prepare(kind, RECIPE, 320)
        return data, *finetune(data, SHAPE, RECIPE, encoder=pretrained)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_head_learns_its_toy_task(kind: Kind, learned: Learned, pretrained: Path) -> None:
    info, rows = toy_task(kind)
    data, model, history = learned(kind)
    predictions = predict_rows(model, load_tokenizer(pretrained), info, rows["test"], data.settings)
    assert score(info, rows["test"], predictions)[info.metric] > 0.95
    assert history.validation[-1][info.metric] > 0.95
    assert len(history.validation) == RECIPE.epochs and not model.training
    assert history.train_loss < 0.3 * history.losses[0]


def test_numbers_come_out_in_the_unit_of_the_labels(learned: Learned, pretrained: Path) -> None:
    info, rows = toy_task("regression")
    data, model, _ = learned("regression")
    predictions = predict_rows(model, load_tokenizer(pretrained), info, rows["test"], data.settings)
    errors = [abs(row["label"] - guess["value"]) for row, guess in zip(rows["test"], predictions, strict=True)]
    assert max(errors) < 5  # labels are 100, 110, 120, 130


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "regression"])
def test_the_validation_loss_is_that_of_the_model(kind: Kind, learned: Learned) -> None:
    data, model, history = learned(kind)
    again = validate(model, data)
    assert history.validation_losses[-1] == pytest.approx(again.loss, rel=1e-5)
    assert history.scores == again.scores
    assert history.validation_losses[-1] < 0.5 * history.losses[0]


def test_the_validation_loss_of_numbers_is_in_the_unit_of_the_training_loss(learned: Learned) -> None:
    _, _, history = learned("regression")
    assert history.validation_losses[-1] < 0.1  # labels are 100 to 130; standardised, guessing the mean gives 1


def test_batches_of_long_sequences_are_cut_into_more_parts_and_teach_the_same(
    prepare: Prepare, pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []

    def spy(mask: Tensor, parts: int) -> Packing:
        packed = pack(mask, parts)
        seen[-1].append(len(packed.parts))
        return packed

    monkeypatch.setattr(trainer, "pack", spy)
    data, recipe = prepare("span"), replace(SHORT, dropout=0.0)
    losses = []
    for scores in (trainer._SCORES_OF_A_PART, 64):  # the latter: as if these rows were hundreds of tokens long
        monkeypatch.setattr(trainer, "_SCORES_OF_A_PART", scores)
        seen.append([])
        losses.append(finetune(data, SHAPE, recipe, encoder=pretrained)[1].losses)
    assert set(seen[0]) == {2} and min(seen[1]) > 4
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("start", ["pretrained", "random"])
def test_two_runs_give_the_same_bytes(start: str, prepare: Prepare, pretrained: Path, tmp_path: Path) -> None:
    encoder = pretrained if start == "pretrained" else None
    hashes = []
    for seed, run in enumerate(("one", "two")):
        torch.manual_seed(seed)  # whatever the global state was
        data = prepare("tagging")
        model, _ = finetune(data, SHAPE, SHORT, encoder=encoder)
        save_finetuned(tmp_path / run, model, data, data.settings, tokenizer_source=pretrained)
        hashes.append(sha256_directory(tmp_path / run))
    assert hashes[0] == hashes[1]


def test_global_random_numbers_are_left_as_they_were(prepare: Prepare) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    finetune(prepare("pair", train_rows=16), SHAPE, SHORT)
    assert torch.equal(torch.rand(3), expected)


def test_both_starts_share_head_order_and_dropout(
    prepare: Prepare, pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[tuple[list[int], tuple[float, ...]]]] = []
    heads: list[Tensor] = []

    def spy(kind: Kind, outputs: Tensor, batch: Batch) -> Tensor:
        if not seen[-1]:
            heads.append(models[-1].classifier.weight.detach().clone())
        seen[-1].append((batch.examples.tolist(), tuple(torch.rand(2).tolist())))
        return batch_loss(kind, outputs, batch)

    models: list = []
    build = trainer.build_model
    monkeypatch.setattr(trainer, "build_model", lambda *arguments: models.append(build(*arguments)) or models[-1])
    monkeypatch.setattr(trainer, "batch_loss", spy)
    losses = []
    for encoder in (pretrained, None):
        seen.append([])
        losses.append(finetune(prepare("classification"), SHAPE, SHORT, encoder=encoder)[1].losses)
    assert seen[0] == seen[1]
    assert torch.equal(*heads)
    assert losses[0] != losses[1]
    seen.append([])
    finetune(prepare("classification"), SHAPE, replace(SHORT, seed=1), encoder=pretrained)
    orders = [[rows for rows, _ in run] for run in seen]
    assert orders[0] != orders[2], "another seed, another order"
    dropout = [numbers for run in (seen[0], seen[2]) for _, numbers in run]
    assert len(set(dropout)) == len(dropout), "no step draws what another does"


@pytest.mark.parametrize("changed", [{"seed": 1}, {"dropout": 0.3}, {"learning_rate": 1e-3}, {"precision": "fp32"}])
def test_an_option_changes_the_run(changed: dict, prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "BF16_ON_CPU", True)  # whatever this processor has: emulated, if need be
    data = prepare("classification")
    usual = finetune(data, SHAPE, SHORT)[1].losses
    assert finetune(data, SHAPE, replace(SHORT, **changed))[1].losses != usual


def test_the_learning_rate_warms_up_and_decays(prepare: Prepare) -> None:
    _, history = finetune(prepare("classification"), SHAPE, replace(SHORT, epochs=10, warmup=0.25))
    rates = np.array(history.learning_rates)
    assert len(rates) == 40
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    assert 0 < rates[-1] < rates[0] < rates.max() <= SHORT.learning_rate


def test_a_run_is_the_recipe_written_out(prepare: Prepare) -> None:
    config = replace(SHORT, epochs=3, dropout=0.0, precision="fp32", clip=0.2, warmup=0.25, learning_rate=1e-2, seed=1)
    config = replace(config, weight_decay=0.3)
    data = prepare("classification", config)
    model, _ = finetune(data, SHAPE, config)
    expected = build_model(data.task, SHAPE)
    initialize(expected, config.seed)
    decayed = [weight for weight in expected.parameters() if weight.ndim > 1]
    others = [weight for weight in expected.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, eps=1e-6, foreach=False)
    norms: list[float] = []
    for step in range(12):
        order = list(data.train.training_batches(16, seed=config.seed, epoch=step // 4))
        batch = data.train.batch(order[step % 4])
        done = (step + 0.5) / 12
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (done / 0.25 if done < 0.25 else (1 - done) / 0.75)
        optimizer.zero_grad()
        logits = expected(*(torch.from_numpy(array) for array in (batch.ids, batch.segments, batch.mask)))
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels)).backward()
        norm = torch.cat([weight.grad.flatten() for weight in expected.parameters()]).norm()
        norms.append(norm.item())
        for weight in expected.parameters():
            weight.grad *= min(1.0, 0.2 / (norm.item() + 1e-6))
        optimizer.step()
    assert min(norms) < config.clip < max(norms)
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)


def test_a_loss_that_is_not_finite_stops_the_training(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "batch_loss", lambda *arguments: batch_loss(*arguments) * float("inf"))
    with pytest.raises(
        BertlineError, match=r"task toy_span, step 4: the loss is (inf|nan): training has diverged\. Lower"
    ):
        finetune(prepare("span"), SHAPE, SHORT)


def test_a_loss_that_was_finite_for_long_stops_the_training_all_the_same(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[float] = []

    def late(*arguments: Any) -> torch.Tensor:
        taken.append(1.0 if len(taken) < 25 else math.inf)
        return batch_loss(*arguments) * taken[-1]

    monkeypatch.setattr(trainer, "batch_loss", late)
    with pytest.raises(BertlineError, match=r"step 28: the loss is (inf|nan)"):
        finetune(prepare("classification"), SHAPE, replace(SHORT, epochs=8))


def test_sequences_longer_than_the_encoder_are_refused(prepare: Prepare) -> None:
    with pytest.raises(BertlineError, match="max_length is 65, and the encoder has 64 positions"):
        finetune(prepare("pair"), SHAPE, replace(SHORT, max_length=65))


def test_an_encoder_of_another_vocabulary_is_refused(prepare: Prepare, pretrained: Path) -> None:
    other = BertConfig(SHAPE.vocab_size + 64, 32, 2, 2, 64, max_positions=64)
    with pytest.raises(BertlineError, match="vocab_size"):
        finetune(prepare("pair"), other, SHORT, encoder=pretrained)


def test_what_is_saved_predicts_what_was_trained(prepare: Prepare, pretrained: Path, tmp_path: Path) -> None:
    info, rows = toy_task("span")
    data = prepare("span")
    model, _ = finetune(data, SHAPE, SHORT, encoder=pretrained)
    save_finetuned(tmp_path / "model", model, data, data.settings, tokenizer_source=pretrained)
    predictor = Predictor(tmp_path / "model")
    assert predictor.task == info
    assert predictor.settings == data.settings
    expected = predict_rows(model, load_tokenizer(pretrained), info, rows["test"], data.settings)
    assert predictor.predict(rows["test"]) == expected


def test_looking_at_the_validation_rows_does_not_change_the_training(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, twice = prepare("classification"), replace(SHORT, epochs=2)
    looked = finetune(data, SHAPE, twice)[1].losses
    monkeypatch.setattr(trainer, "validate", lambda *arguments: Validation(0.0, {"accuracy": 0.0}))
    assert finetune(data, SHAPE, twice)[1].losses == looked


def test_inference_settings_follow_the_training_rows(pretrained: Path) -> None:
    info, rows = toy_task("span")
    tokenizer = load_tokenizer(pretrained)
    settings = prepare_data(info, rows["train"], [], tokenizer, RECIPE).settings
    assert (settings.max_length, settings.stride) == (32, 8)
    assert (settings.max_answer_tokens, settings.may_be_unanswerable) == (1, False)
    [first, *_] = rows["train"]
    long = {**first, "answers": [{"text": first["context"], "start": 0}]}
    more = prepare_data(info, [long, {**first, "answers": []}], [], tokenizer, RECIPE).settings
    assert more.max_answer_tokens == len(first["context"].split())
    assert more.may_be_unanswerable
    tagging, rows = toy_task("tagging")
    assert not prepare_data(tagging, rows["train"], [], tokenizer, RECIPE).settings.punctuation_words
    marks = [{"words": ["ann", "."], "tags": ["B-PER", "O"]}]
    assert prepare_data(tagging, marks, [], tokenizer, RECIPE).settings.punctuation_words


def test_a_model_learns_that_some_questions_have_no_answer(pretrained: Path) -> None:
    info, rows = toy_task("span")

    def ask_what_is_not_there(row: dict) -> dict:
        return {**row, "question": "which york ?", "answers": []}

    changed = [ask_what_is_not_there(row) if place % 3 == 0 else row for place, row in enumerate(rows["train"])]
    tokenizer = load_tokenizer(pretrained)
    data = prepare_data(info, changed, rows["validation"], tokenizer, RECIPE)
    model, _ = finetune(data, SHAPE, RECIPE, encoder=pretrained)
    test = [ask_what_is_not_there(row) if place % 2 else row for place, row in enumerate(rows["test"])]
    assert score(info, test, predict_rows(model, tokenizer, info, test, data.settings))["exact_match"] > 0.95


def test_a_batch_without_a_word_that_counts_has_loss_zero(prepare: Prepare) -> None:
    data = prepare("tagging")
    batch = data.train.batch([0, 1])
    assert batch.labels is not None
    nothing = replace(batch, labels=np.full_like(batch.labels, -100))
    outputs = torch.randn(*batch.ids.shape, len(data.task.labels), requires_grad=True)
    assert batch_loss("tagging", outputs, nothing).item() == 0
    expected = functional.cross_entropy(outputs.flatten(0, 1), torch.from_numpy(batch.labels).flatten())
    torch.testing.assert_close(batch_loss("tagging", outputs, batch), expected)


def test_a_batch_without_targets_is_refused(prepare: Prepare) -> None:
    batch = replace(prepare("classification").train.batch([0]), labels=None)
    with pytest.raises(ValueError, match="without targets"):
        batch_loss("classification", torch.zeros(1, 4), batch)


def test_question_and_padding_cannot_be_the_answer(prepare: Prepare) -> None:
    data = prepare("span")
    batch = data.train.batch(range(8))
    assert batch.offsets is not None
    start = torch.zeros(batch.ids.shape)
    tempting = start.clone()
    tempting[torch.from_numpy(batch.offsets[:, :, 0] < 0)] = 100.0
    tempting[:, 0] = 0.0
    loss = batch_loss("span", (start, start), batch)
    assert torch.equal(loss, batch_loss("span", (tempting, tempting), batch))
    first, last = torch.randn(2, *batch.ids.shape)
    both = [batch_loss("span", (logits, logits), batch) for logits in (first, last)]  # answers here are of one token
    torch.testing.assert_close(batch_loss("span", (first, last), batch), (both[0] + both[1]) / 2)
    possible = 1 + (batch.offsets[:, 1:, 0] >= 0).sum(axis=1)  # [CLS] is no answer; each is as likely here
    torch.testing.assert_close(loss, torch.from_numpy(np.log(possible)).mean().float())


@pytest.mark.filterwarnings("ignore:.*autograd kernel was not registered")
@pytest.mark.parametrize("kind", KINDS)
def test_no_step_waits_for_a_gpu(kind: Kind, prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at every so many steps, and kept busy in between."""
    data, config = prepare(kind), replace(SHORT, precision="fp32")
    model = build_model(data.task, SHAPE).to(GPU)
    optimizer = torch.optim.SGD(model.parameters())
    batch = data.train.batch(next(data.train.training_batches(16, seed=0, epoch=0)))
    assert not batch.mask.all()
    with Waits() as waits:
        loss = trainer._step(model, batch, data, config, optimizer, GPU)
    assert loss.device == GPU and not waits.seen


def test_dropout_seeds_do_not_repeat() -> None:
    seeds = {step_seed(seed, step) for seed in range(5) for step in range(200)}
    assert len(seeds) == 1000


def test_progress_is_lines_where_there_is_no_terminal(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    finetune(prepare("classification"), SHAPE, replace(SHORT, epochs=2, precision="fp32"), title="finetune@toy")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["finetune@toy: epoch 1/2", "finetune@toy: epoch 2/2"]
    assert all("validation accuracy 0." in line and "\r" not in line for line in lines)
