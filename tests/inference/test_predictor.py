"""Predictions of a model directory: those of transformers, in any batches, and told when it is broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.inference.predictor import Predictor
from bertline.model.bert import BertConfig, BertForSequenceClassification
from toy_tasks import KINDS, VOCAB, toy_rows, write_pretrained

Directory = Callable[[Kind], Path]
TEXTS = ["the red cat", "blue near green then white", "a", "very very very very very very very very very red " * 4]


@pytest.mark.parametrize("kind", ["classification", "pair"])
def test_probabilities_are_those_of_transformers(kind: Kind, model_directory: Directory) -> None:
    directory = model_directory(kind)
    rows = [{"text": text, "text_pair": "some dog"} for text in TEXTS]
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    second = ["some dog"] * len(TEXTS) if kind == "pair" else None
    inputs = tokenizer(TEXTS, second, padding=True, truncation=True, max_length=24, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits.softmax(-1)
    for prediction, row in zip(Predictor(directory).predict(rows), expected, strict=True):
        theirs = {model.config.id2label[place]: value for place, value in enumerate(row.tolist())}
        assert prediction["scores"] == pytest.approx(theirs, abs=1e-4)
        assert prediction["label"] == max(theirs, key=theirs.__getitem__)
        assert prediction["score"] == max(prediction["scores"].values())


def test_numbers_are_those_of_transformers(model_directory: Directory) -> None:
    directory = model_directory("regression")
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    inputs = AutoTokenizer.from_pretrained(directory)(TEXTS[:3], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits[:, 0].tolist()
    values = [prediction["value"] for prediction in Predictor(directory).predict(TEXTS[:3])]
    assert values == pytest.approx(expected, abs=1e-4)


def test_tags_are_those_of_transformers_at_first_pieces(model_directory: Directory) -> None:
    directory = model_directory("tagging")
    words = ["ann", "xyz", "saw", "new", "york", "."]
    inputs = AutoTokenizer.from_pretrained(directory)([words], is_split_into_words=True, return_tensors="pt")
    model = AutoModelForTokenClassification.from_pretrained(directory).eval()
    with torch.no_grad():
        chances, best = (found.tolist() for found in model(**inputs).logits[0].softmax(-1).max(-1))
    first = [inputs.word_ids(0).index(word) for word in range(len(words))]
    [prediction] = Predictor(directory).predict([{"words": words}])
    assert prediction["words"] == words
    assert prediction["tags"] == [model.config.id2label[best[place]] for place in first]
    assert prediction["scores"] == pytest.approx([chances[place] for place in first], abs=1e-4)


def test_the_answer_is_the_best_span_of_transformers_logits(model_directory: Directory) -> None:
    directory = model_directory("span")
    question, context = "which animal ?", "the red cat near york"
    tokenizer = AutoTokenizer.from_pretrained(directory)
    inputs = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets, [segments] = inputs.pop("offset_mapping")[0].tolist(), inputs["token_type_ids"].tolist()
    with torch.no_grad():
        outputs = AutoModelForQuestionAnswering.from_pretrained(directory).eval()(**inputs)
    start, end = outputs.start_logits[0].tolist(), outputs.end_logits[0].tolist()
    predictor = Predictor(directory)
    longest = predictor.settings.max_answer_tokens
    inside = [place for place, segment in enumerate(segments) if segment and offsets[place][1]]
    spans = {(i, j): start[i] + end[j] for i in inside for j in inside if 0 <= j - i < longest}
    first, last = max(spans, key=spans.__getitem__)
    [prediction] = predictor.predict([{"question": question, "context": context}])
    assert (prediction["start"], prediction["end"]) == (offsets[first][0], offsets[last][1])
    share = torch.tensor(list(spans.values())).softmax(-1).max().item()
    assert prediction["score"] == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_the_same_whatever_the_batch_size_and_the_order(kind: Kind, model_directory: Directory) -> None:
    rows = toy_rows(kind, 40, seed=9)
    large = Predictor(model_directory(kind)).predict(rows)
    assert Predictor(model_directory(kind)).predict(rows) == large
    for size in (1, 7):
        other = Predictor(model_directory(kind), batch_size=size).predict(rows[::-1])[::-1]
        for ours, theirs in zip(large, other, strict=True):
            assert without_scores(ours) == without_scores(theirs)
            for key, last_digit in (("score", 1e-6), ("value", 1e-3)):
                assert ours.get(key) == pytest.approx(theirs.get(key), abs=5 * last_digit)


@pytest.mark.parametrize(("deviation", "mean"), [(1.0, 0.0), (1e-9, 0.0), (3.0, 2.5), (2.0, 1e4)])
def test_a_number_is_nearly_always_the_same_alone_and_among_others(
    deviation: float, mean: float, model_directory: Directory
) -> None:
    predictor = Predictor(model_directory("regression"))
    assert isinstance(predictor.model, BertForSequenceClassification)
    with torch.no_grad():  # as finetuning/trainer.py folds the labels' unit into the head
        predictor.model.classifier.weight.mul_(deviation)
        predictor.model.classifier.bias.mul_(deviation).add_(mean)
    rows = toy_rows("regression", 64, seed=9)
    many = [prediction["value"] for prediction in predictor.predict(rows)]
    alone = [predictor.predict([row])[0]["value"] for row in rows]
    assert sum(one == other for one, other in zip(alone, many, strict=True)) >= 61
    assert many == pytest.approx(alone, abs=1e-3 * deviation)
    assert len(set(many)) == len({row["text"] for row in rows}), "different texts are no ties"


def without_scores(prediction: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in prediction.items() if key not in ("score", "scores", "value")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_comes_along_changes_nothing(kind: Kind, model_directory: Directory) -> None:
    rows = toy_rows(kind, 5, seed=9)
    bare = [{key: value for key, value in row.items() if key not in ("label", "tags", "answers", "id")} for row in rows]
    predictor = Predictor(model_directory(kind))
    assert predictor.predict(bare) == predictor.predict(rows)


def test_a_string_and_a_mapping_are_the_same_text(model_directory: Directory) -> None:
    predictor = Predictor(model_directory("classification"))
    assert predictor.predict(["the red cat"]) == predictor.predict([{"text": "the red cat"}])


def test_entities_of_a_text_are_given_with_their_characters(model_directory: Directory) -> None:
    text = "  Ann, then (Bob)\tnear  new york."
    [prediction] = Predictor(model_directory("tagging")).predict([text])
    # The toy task's words know no punctuation marks, so they are not tagged.
    assert prediction["words"] == ["Ann", "then", "Bob", "near", "new", "york"]
    assert prediction["entities"]
    for entity in prediction["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]
        assert {entity["type"]} <= {"PER", "LOC"}


def test_entities_of_words_are_given_in_the_words_joined_by_spaces(model_directory: Directory) -> None:
    words = ["ann", "near", "new", "york", "dog"]
    [prediction] = Predictor(model_directory("tagging")).predict([{"words": words}])
    for entity in prediction["entities"]:
        assert " ".join(words)[entity["start"] : entity["end"]] == entity["text"]


def test_every_word_of_a_long_text_gets_a_tag(model_directory: Directory) -> None:
    words = ["ann", "unfathomable", "dog"] * 40
    [prediction] = Predictor(model_directory("tagging")).predict([{"words": words}])
    assert len(prediction["tags"]) == len(words)
    assert all(prediction["tags"])


def test_an_answer_far_into_a_long_context_is_verbatim(model_directory: Directory) -> None:
    predictor = Predictor(model_directory("span"))
    contexts = [" ".join(["very"] * before + ["Red,  CAT"] + ["then"] * 30) for before in (0, 25, 90)]
    for context, prediction in zip(
        contexts, predictor.predict([{"question": "which animal?", "context": text} for text in contexts]), strict=True
    ):
        assert prediction["answer"] == context[prediction["start"] : prediction["end"]] != ""


def test_a_context_without_any_token_has_no_answer(model_directory: Directory) -> None:
    [prediction] = Predictor(model_directory("span")).predict([{"question": "what?", "context": "\x00\x01"}])
    assert prediction == {"answer": "", "start": 0, "end": 0, "score": 0.0}


def test_no_inputs_have_no_predictions(model_directory: Directory) -> None:
    assert Predictor(model_directory("pair")).predict([]) == []


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        ("classification", [{"txt": "x"}], "input 1: no 'text'. Give a text, or {\"text\": a text} (task toy_classi"),
        ("classification", ["x", 5], "input 2: is a int. Give a text"),
        ("classification", ["x", " "], "input 2: text is empty"),
        ("classification", "x", "inputs: one input alone. Put it into a list"),
        ("pair", ["x"], 'input 1: is a str. Give {"text": a text, "text_pair": a text} (task toy_pair, pair)'),
        ("pair", [{"text": "x", "text_pair": None}], "text_pair is None, not a text"),
        ("span", [{"question": "x"}], 'input 1: no \'context\'. Give {"question": a text, "context": a text}'),
        ("tagging", [{"words": "ann"}], "words is 'ann', not a list"),
        ("tagging", [{"words": ["ann", 3]}], "word is 3, not a text"),
        ("tagging", [{"words": []}], "words is empty"),
        ("tagging", [{}], "input 1: no 'words'. Give a text, or {\"words\": [a list of words]}"),
    ],
)
def test_a_wrong_input_is_told_what_was_expected(
    kind: Kind, wrong: Any, message: str, model_directory: Directory
) -> None:
    with pytest.raises(BertlineError) as error:
        Predictor(model_directory(kind)).predict(wrong)
    assert message in str(error.value)


def test_a_tokenizer_of_another_model_is_refused(model_directory: Directory, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(model_directory("classification"), tmp_path / "model"))
    write_pretrained(tmp_path / "other", shape=BertConfig(99, 32, 1, 1, 32), vocab=[*VOCAB, "more"])
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "other" / name, directory / name)
    with pytest.raises(
        BertlineError,
        match=rf"has {len(VOCAB)} token embeddings, its tokenizer {len(VOCAB) + 1} entries\. Put .* beside it\.$",
    ):
        Predictor(directory)


@pytest.mark.parametrize("labels", [["blue", "green", "white", "red"], ["blue", "green", "red"]])
def test_the_labels_of_another_model_are_refused(labels: list[str], model_directory: Directory, tmp_path: Path) -> None:
    """As where a copy was cut short: every answer would have the name of another one."""
    directory = Path(shutil.copytree(model_directory("classification"), tmp_path / "model"))
    info = json.loads((directory / "task.json").read_text())
    (directory / "task.json").write_text(json.dumps(info | {"labels": labels}))
    told = r"model: the labels of task\.json \(blue, green, .*are not those of config\.json \(blue, green, red, white\)"
    with pytest.raises(BertlineError, match=told):
        Predictor(directory)


@pytest.mark.parametrize("content", [{"max_length": 8}, {"max_length": 8, "stride": 2, "more": 1}, [1]])
def test_settings_that_are_none_are_refused(content: Any, model_directory: Directory, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(model_directory("classification"), tmp_path / "model"))
    (directory / "inference.json").write_text(json.dumps(content))
    with pytest.raises(BertlineError, match=r"inference\.json: not the settings of a fine-tuned model"):
        Predictor(directory)
