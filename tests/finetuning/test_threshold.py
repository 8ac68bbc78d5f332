"""What an answer may be is chosen on the validation rows: its length, and when there is none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertline.evaluation.squad import best_thresholds, squad_scores
from bertline.finetuning import runs
from bertline.finetuning.data import FinetuningData, answer_lengths, prepare_data
from bertline.finetuning.material import Material
from bertline.finetuning.runs import Runs
from bertline.finetuning.threshold import fitted_settings
from bertline.finetuning.trainer import History
from bertline.inference.heads import build_model
from bertline.inference.predictor import predict_features
from bertline.inference.settings import InferenceSettings
from bertline.model.bert import BertWithHead
from bertline.tasks.schema import TaskInfo
from bertline.tokens.tokenizer import load_tokenizer
from toy_tasks import COLOURS, RECIPE, SHAPE, randomize

LIMITS = [9, 5, 4, 3, 2, 1]  # the longest of all answers, of 99 in 100, of 95, of 90, of 75, of 50


def rows(count: int, *, context: int = 20) -> list[dict[str, Any]]:
    """Answers of 1 to 5 words, and a single one of 9: half of one word, a quarter of two, and so on."""
    random = np.random.Generator(np.random.Philox(3))
    lengths = [1] * 50 + [2] * 25 + [3] * 15 + [4] * 5 + [5] * 4 + [9]
    made = []
    for number in range(count):
        words = [COLOURS[place] for place in random.integers(0, 4, context)]
        first, length = int(random.integers(0, context - 9)), lengths[number % 100]
        start = len(" ".join([*words[:first], ""]))
        text = " ".join(words[first : first + length])
        answers = [{"text": text, "start": start}]
        made.append({"id": str(number), "question": "which ?", "context": " ".join(words), "answers": answers})
    return made


def prepared(
    pretrained: Path, train: list[dict[str, Any]], validation: list[dict[str, Any]] | None = None
) -> FinetuningData:
    """The examples of such rows; without validation rows of their own the training rows are those too."""
    validation = train if validation is None else validation
    info = TaskInfo.of("spans", "span", {"train": train, "validation": validation, "test": validation}, "made up")
    return prepare_data(info, train, validation, load_tokenizer(pretrained), RECIPE)


def with_unanswerable(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, and a tenth of them once more without an answer."""
    return [*some, *({**row, "id": f"none-{row['id']}", "answers": []} for row in some[::10])]


def unsure(data: FinetuningData, seed: int) -> BertWithHead:
    """A network that knows nothing, but takes one place for likelier than another."""
    model = build_model(data.task, SHAPE)
    randomize(model, seed)
    return model


def f1(model: BertWithHead, data: FinetuningData, settings: InferenceSettings) -> float:
    """Of the validation rows, under these settings."""
    predictions = predict_features(model, data.task, data.validation_rows, data.validation, settings)
    golds = [[answer["text"] for answer in row["answers"]] for row in data.validation_rows]
    if not settings.may_be_unanswerable:
        return squad_scores(golds, [prediction["answer"] for prediction in predictions])["f1"]
    spans = [prediction["best_answer"] for prediction in predictions]
    return best_thresholds(golds, spans, [prediction["null_difference"] for prediction in predictions])["f1"].score


@pytest.mark.parametrize("unanswerable", [False, True])
def test_no_answer_is_longer_than_what_does_best_on_the_validation_rows(pretrained: Path, unanswerable: bool) -> None:
    extended = with_unanswerable if unanswerable else list
    data = prepared(pretrained, extended(rows(100)), extended(rows(60)))
    chosen = set()
    for seed in range(6):
        model = unsure(data, seed)
        scores = {limit: f1(model, data, replace(data.settings, max_answer_tokens=limit)) for limit in LIMITS}
        settings = fitted_settings(model, data)
        best = max(scores.values())
        assert scores[settings.max_answer_tokens] == best
        assert settings.max_answer_tokens == max(limit for limit, score in scores.items() if score == best)
        predictions = predict_features(model, data.task, data.validation_rows, data.validation, settings)
        golds = [[answer["text"] for answer in row["answers"]] for row in data.validation_rows]
        assert squad_scores(golds, [prediction["answer"] for prediction in predictions])["f1"] == pytest.approx(best)
        chosen.add(settings.max_answer_tokens)
    assert len(chosen) > 1


def test_of_limits_that_do_equally_well_the_longest_is_taken(pretrained: Path) -> None:
    data = prepared(pretrained, rows(100), rows(60))
    wrong = [{**row, "answers": [{"text": "mouse", "start": 0}]} for row in data.validation_rows]
    assert fitted_settings(unsure(data, 0), replace(data, validation_rows=wrong)).max_answer_tokens == LIMITS[0]


def test_a_model_that_is_sure_of_long_answers_may_give_them(pretrained: Path) -> None:
    train = [{**row, "answers": [{"text": row["context"], "start": 0}]} for row in rows(8)]
    data = prepared(pretrained, train)
    assert fitted_settings(unsure(data, 0), data).max_answer_tokens == 20


def test_windows_without_the_answer_do_not_count_as_short_answers(pretrained: Path) -> None:
    train = rows(100, context=60)
    data = prepared(pretrained, train)
    assert len(data.train) > 2 * len(train)
    lengths = answer_lengths(data.train)
    assert (lengths > 1).mean() == pytest.approx(0.5, abs=0.1)
    assert lengths.max() == data.settings.max_answer_tokens == 9


def test_without_any_answer_in_the_training_rows_there_is_nothing_to_choose(pretrained: Path) -> None:
    train = [{**row, "answers": []} for row in rows(10)]
    data = prepared(pretrained, train)
    model = unsure(data, 0)
    settings = fitted_settings(model, data)
    assert settings.max_answer_tokens == 1
    assert {p["answer"] for p in predict_features(model, data.task, train, data.validation, settings)} == {""}


def test_it_is_chosen_on_the_device_that_trained(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepared(pretrained, rows(4))
    model, moved, found = unsure(data, 0), [torch.device("cpu")], []
    monkeypatch.setattr(model, "to", moved.append)
    monkeypatch.setattr(runs, "finetune", lambda *_, **__: (model, History((), (), 1, (), (), 1)))
    monkeypatch.setattr(runs, "fitted_settings", lambda *_: found.append(moved[-1]) or data.settings)
    with Runs(tmp_path / "task") as kept:
        kept.train(Material(pretrained, SHAPE, data, {}, ""), replace(RECIPE, device="cuda"), encoder=None)
    assert found == [torch.device("cuda")]
