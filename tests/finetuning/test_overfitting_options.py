"""The options against overfitting: layer-wise learning rates, frozen layers, early stopping; the validation loss."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bertline.base.config import Finetune
from bertline.base.errors import BertlineError
from bertline.finetuning import trainer
from bertline.finetuning.data import FinetuningData
from bertline.finetuning.trainer import finetune
from bertline.finetuning.validation import Validation, validate
from bertline.inference import predictor
from bertline.inference.heads import build_model
from bertline.model.bert import BertWithHead, initialize
from bertline.model.hf import load_encoder
from toy_tasks import RECIPE, SHAPE, Prepare, randomize

ONE_STEP = replace(RECIPE, epochs=1, batch_size=64, weight_decay=0.0, warmup=0.0, learning_rate=1e-3)
HALF = 0.5  # of the peak learning rate: the only step is in the middle of the decay


def start(data: FinetuningData, config: Finetune, encoder: Path | None) -> dict[str, Tensor]:
    model = build_model(data.task, SHAPE)
    initialize(model, config.seed)
    if encoder:
        load_encoder(model, encoder)
    return dict(model.named_parameters())


def moved(data: FinetuningData, config: Finetune, encoder: Path | None) -> dict[str, float]:
    """How far the weight of each matrix that moved most is from where it started."""
    model, _ = finetune(data, SHAPE, config, encoder=encoder)
    before = start(data, config, encoder)
    return {
        name: float((weight - before[name]).abs().max().detach())
        for name, weight in model.named_parameters()
        if name.endswith("weight")
    }


@pytest.mark.parametrize("start_from", ["pretrained", "random"])
def test_lower_layers_learn_more_slowly_by_a_factor_a_layer(
    prepare: Prepare, pretrained: Path, start_from: str
) -> None:
    # From random weights too: a rate that suits the head would move the embeddings so far that they learn nothing.
    encoder = pretrained if start_from == "pretrained" else None
    distances = moved(prepare("tagging"), replace(ONE_STEP, layer_decay=0.5), encoder)
    # The first step of Adam moves a weight by the learning rate, whatever its gradient.
    rate = ONE_STEP.learning_rate * HALF
    for name, distance in distances.items():
        below = 3 if "embedding" in name else 2 if "layers.0" in name else 1 if "layers.1" in name else 0
        assert distance == pytest.approx(rate * 0.5**below, rel=0.02), name


def test_frozen_layers_stay_as_pre_trained_and_the_others_learn(prepare: Prepare, pretrained: Path) -> None:
    distances = moved(prepare("classification"), replace(ONE_STEP, frozen_layers=1), pretrained)
    still = {name for name, distance in distances.items() if not distance}
    assert still == {name for name in distances if "embedding" in name or "layers.0" in name}
    assert any("pooler" in name for name in distances.keys() - still)


def test_random_weights_are_never_frozen(prepare: Prepare) -> None:
    data = prepare("classification")
    usual = finetune(data, SHAPE, ONE_STEP)[0].state_dict()
    held = finetune(data, SHAPE, replace(ONE_STEP, frozen_layers=2))[0].state_dict()
    assert all(bool((usual[name] == held[name]).all()) for name in usual)


def test_more_frozen_layers_than_there_are_is_one_clear_line(prepare: Prepare, pretrained: Path) -> None:
    with pytest.raises(BertlineError, match="frozen_layers is 3, and the encoder has 2 layers"):
        finetune(prepare("pair"), SHAPE, replace(ONE_STEP, frozen_layers=3), encoder=pretrained)


def test_training_stops_after_patience_and_keeps_the_best_epoch(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.7, 0.7, 0.6, 0.9])
    seen: list[dict[str, Tensor]] = []

    def scripted(model: BertWithHead, _: FinetuningData) -> Validation:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return Validation(1.0, {"accuracy": next(scores)})

    monkeypatch.setattr(trainer, "validate", scripted)
    model, history = finetune(prepare("classification"), SHAPE, replace(ONE_STEP, epochs=5, patience=2))
    assert [each["accuracy"] for each in history.validation] == [0.5, 0.7, 0.7, 0.6]
    assert (history.kept_epoch, history.scores["accuracy"], len(history.losses)) == (2, 0.7, 4)
    assert all(bool((value == seen[1][name]).all()) for name, value in model.state_dict().items())
    assert history.train_loss == history.losses[1]


def test_an_epoch_whose_score_is_no_number_is_not_the_best_one(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([float("nan"), 0.5, 0.4])
    monkeypatch.setattr(trainer, "validate", lambda *_: Validation(1.0, {"accuracy": next(scores)}))
    _, history = finetune(prepare("classification"), SHAPE, replace(ONE_STEP, epochs=3, patience=2))
    assert (history.kept_epoch, history.scores) == (2, {"accuracy": 0.5})


def test_without_patience_the_last_epoch_is_kept_whatever_its_score(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.1, 0.2])
    monkeypatch.setattr(trainer, "validate", lambda *_: Validation(1.0, {"accuracy": next(scores)}))
    _, history = finetune(prepare("classification"), SHAPE, replace(ONE_STEP, epochs=3))
    assert (history.kept_epoch, history.scores) == (3, {"accuracy": 0.2})


def test_the_validation_loss_is_the_mean_over_the_examples(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "CPU_TOKENS", 64)  # several batches, of different sizes
    data = prepare("classification")
    model = build_model(data.task, SHAPE).eval()
    randomize(model, 0)
    batch = data.validation.batch(range(len(data.validation)))
    logits = model(*(torch.from_numpy(array) for array in (batch.ids, batch.segments, batch.mask)))
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels)).item()
    assert validate(model, data).loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("tokens", [1, 64])
def test_the_validation_loss_of_a_tagger_is_the_mean_over_the_words_however_they_are_batched(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    data = prepare("tagging")
    model = build_model(data.task, SHAPE).eval()
    randomize(model, 0)
    batch = data.validation.batch(range(len(data.validation)))
    logits = model(*(torch.from_numpy(array) for array in (batch.ids, batch.segments, batch.mask)))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(batch.labels).flatten()).item()
    monkeypatch.setattr(predictor, "CPU_TOKENS", tokens)
    assert validate(model, data).loss == pytest.approx(expected, rel=1e-5)
