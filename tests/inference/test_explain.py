"""What an answer rests on: each word hidden in turn, and the words that decide are found."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.finetuning.data import prepare_data
from bertline.finetuning.save import save_finetuned
from bertline.finetuning.trainer import finetune
from bertline.inference.explain import explain
from bertline.inference.predictor import Predictor
from bertline.tokens.tokenizer import load_tokenizer
from toy_tasks import RECIPE, SHAPE, toy_task

Directory = Callable[[Kind], Path]


@pytest.fixture(scope="module")
def trained(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model that has learned to name the colour of a text."""
    info, rows = toy_task("classification")
    data = prepare_data(info, rows["train"], rows["validation"], load_tokenizer(pretrained), RECIPE)
    model, _ = finetune(data, SHAPE, RECIPE)
    directory = tmp_path_factory.mktemp("trained") / "model"
    save_finetuned(directory, model, data, data.settings, tokenizer_source=pretrained)
    return Predictor(directory)


@pytest.mark.parametrize("colour", ["red", "blue", "green", "white"])
def test_the_word_that_decides_weighs_most(trained: Predictor, colour: str) -> None:
    explanation = explain(trained, f"the very {colour} here")
    assert explanation.label == colour
    assert max(explanation.words, key=lambda word: word.weight).word == colour


def test_a_word_that_speaks_against_the_answer_weighs_below_nothing(trained: Predictor) -> None:
    explanation = explain(trained, "red red red near blue")
    other = next(word for word in explanation.words if word.word == ("blue" if explanation.label == "red" else "red"))
    assert other.weight < 0


def test_weights_are_log_odds_lost_behind_the_mask(model_directory: Directory) -> None:
    predictor = Predictor(model_directory("classification"))
    text = "The red, cat; sat!"
    explanation = explain(predictor, text)
    [whole] = predictor.predict([text])
    assert (explanation.label, explanation.score) == (whole["label"], whole["score"])
    assert [text[word.start : word.end] for word in explanation.words] == ["The", "red", "cat", "sat"]
    for word in explanation.words:
        [hidden] = predictor.predict([text[: word.start] + "[MASK]" + text[word.end :]])
        chance = hidden["scores"][explanation.label]
        assert word.without == pytest.approx(chance, abs=2e-6)
        odds = [math.log(p / (1 - p)) for p in (explanation.score, chance)]
        assert word.weight == pytest.approx(odds[0] - odds[1], abs=1e-3)


def test_both_texts_of_a_pair_are_weighed(model_directory: Directory) -> None:
    predictor = Predictor(model_directory("pair"))
    explanation = explain(predictor, {"text": "the cat", "text_pair": "some dog"})
    assert [(word.word, word.column) for word in explanation.words] == [
        *(("the", "text"), ("cat", "text")),
        *(("some", "text_pair"), ("dog", "text_pair")),
    ]
    for word, text, pair in zip(
        explanation.words[1:3], ("the [MASK]", "the cat"), ("some dog", "[MASK] dog"), strict=True
    ):
        [hidden] = predictor.predict([{"text": text, "text_pair": pair}])
        assert word.without == pytest.approx(hidden["scores"][explanation.label], abs=2e-6)


def test_of_a_number_the_weight_is_what_it_falls_by(model_directory: Directory) -> None:
    predictor = Predictor(model_directory("regression"))
    explanation = explain(predictor, "red cat")
    assert explanation.label is None
    assert explanation.score == pytest.approx(predictor.predict(["red cat"])[0]["value"], abs=1e-4)
    values = [predictor.predict([text])[0]["value"] for text in ("[MASK] cat", "red [MASK]")]
    assert [word.without for word in explanation.words] == pytest.approx(values, abs=1e-4)
    losses = [explanation.score - value for value in values]
    assert [word.weight for word in explanation.words] == pytest.approx(losses, abs=2e-4)


def test_words_beyond_what_the_model_reads_are_left_out(model_directory: Directory) -> None:
    predictor = Predictor(model_directory("classification"))  # reads 24 tokens
    explanation = explain(predictor, "red " * 60)
    assert len(explanation.words) == 22
    assert all(word.word == "red" for word in explanation.words)


def test_of_two_texts_those_words_are_weighed_that_the_model_reads_of_both(model_directory: Directory) -> None:
    predictor = Predictor(model_directory("pair"))  # reads 24 tokens, three of them special
    explanation = explain(predictor, {"text": "red " * 60, "text_pair": "some dog"})
    assert [word.column for word in explanation.words] == ["text"] * 19 + ["text_pair"] * 2


@pytest.mark.parametrize("lengths", [(60, 40), (40, 60), (40, 40)])
def test_of_two_long_texts_the_very_words_are_weighed_that_decide(
    lengths: tuple[int, int], model_directory: Directory
) -> None:
    """Each word hidden behind [MASK] changes the answer; one that the model does not read would not."""
    predictor = Predictor(model_directory("pair"))
    explanation = explain(predictor, {"text": "red " * lengths[0], "text_pair": "dog " * lengths[1]})
    assert len(explanation.words) == 21
    assert all(word.without != explanation.score for word in explanation.words)


@pytest.mark.parametrize("kind", ["tagging", "span"])
def test_kinds_without_one_answer_a_text_are_refused(kind: Kind, model_directory: Directory) -> None:
    with pytest.raises(BertlineError, match="are not explained"):
        explain(Predictor(model_directory(kind)), {"question": "which", "context": "a cat", "text": "a cat"})


def test_a_text_of_signs_alone_has_an_answer_and_no_words(model_directory: Directory) -> None:
    explanation = explain(Predictor(model_directory("classification")), "?!")
    assert explanation.words == ()
    assert explanation.label is not None
