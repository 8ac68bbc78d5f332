"""Texts as vectors: the same as transformers pools, whatever stands beside them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel, BertTokenizerFast

from bertline.base.errors import BertlineError
from bertline.inference import predictor
from bertline.inference.embedding import embed, pooled_vectors
from bertline.model import hf
from bertline.model.bert import BertForPreTraining
from bertline.tasks.features import encode_rows
from bertline.tasks.schema import TaskInfo
from bertline.tokens.tokenizer import load_tokenizer
from toy_tasks import RECIPE, write_toy_task

TEXTS = ["the cat", "the red cat sat near the dog and the bird", "a dog"]


@pytest.fixture
def encoder(pretrained: Path) -> BertForPreTraining:
    return hf.load_model(BertForPreTraining, pretrained).eval()


@torch.inference_mode()
def test_vectors_are_the_means_of_transformers(encoder: BertForPreTraining, pretrained: Path) -> None:
    found = embed(encoder.bert, load_tokenizer(pretrained), TEXTS)
    tokenizer, theirs = BertTokenizerFast.from_pretrained(pretrained), BertModel.from_pretrained(pretrained).eval()
    for text, vector in zip(TEXTS, found, strict=True):
        hidden = theirs(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(vector, hidden.mean(dim=0), atol=1e-4)
        assert np.abs(hidden.mean(dim=0) - hidden[0]).max() > 1e-2, "the mean could be told from [CLS]"


@torch.inference_mode()
def test_rows_of_two_texts_have_vectors_too(encoder: BertForPreTraining, pretrained: Path, tmp_path: Path) -> None:
    write_toy_task(tmp_path, "pair")
    task, rows = TaskInfo.read(tmp_path), [{"text": "the cat", "text_pair": text} for text in TEXTS]
    tokenizer = load_tokenizer(pretrained)
    features = encode_rows(rows, task, tokenizer, max_length=RECIPE.max_length, stride=0)
    vectors = pooled_vectors(encoder.bert, features)
    theirs = BertModel.from_pretrained(pretrained).eval()
    fast = BertTokenizerFast.from_pretrained(pretrained)
    for place, text in enumerate(TEXTS):
        hidden = theirs(**fast("the cat", text, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(vectors["cls"][place], hidden[0], atol=1e-4)
        np.testing.assert_allclose(vectors["mean"][place], hidden.mean(dim=0), atol=1e-4)


def test_a_vector_does_not_depend_on_what_stands_beside_it(encoder: BertForPreTraining, pretrained: Path) -> None:
    tokenizer = load_tokenizer(pretrained)
    together = embed(encoder.bert, tokenizer, TEXTS * 50)
    assert together.dtype == np.float32
    for place, text in enumerate(TEXTS):
        np.testing.assert_allclose(together[place], embed(encoder.bert, tokenizer, [text])[0], atol=2e-6)


def test_texts_are_batched_as_rows_to_answer_are(
    encoder: BertForPreTraining, pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "CPU_TOKENS", 1)
    batches: list[int] = []
    encoder.bert.register_forward_hook(lambda _model, _inputs, hidden: batches.append(len(hidden)))
    embed(encoder.bert, load_tokenizer(pretrained), TEXTS)
    assert batches == [1, 1, 1]


def test_a_text_beyond_the_models_positions_is_cut(encoder: BertForPreTraining, pretrained: Path) -> None:
    tokenizer, most = load_tokenizer(pretrained), encoder.config.max_positions
    long, longer = ("cat " * length for length in (most - 2, 5 * most))
    assert np.array_equal(embed(encoder.bert, tokenizer, [long]), embed(encoder.bert, tokenizer, [longer]))


def test_an_empty_text_is_named(encoder: BertForPreTraining, pretrained: Path) -> None:
    with pytest.raises(BertlineError, match="input 2: text is empty"):
        embed(encoder.bert, load_tokenizer(pretrained), ["the cat", " "])
    assert embed(encoder.bert, load_tokenizer(pretrained), []).shape == (0, encoder.config.hidden_size)
