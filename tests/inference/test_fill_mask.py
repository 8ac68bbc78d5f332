"""The guesses for [MASK] are those of transformers, wherever the special tokens have their ids."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertline.base.errors import BertlineError
from bertline.inference.fill_mask import FillMask
from bertline.tokens.tokenizer import copy_tokenizer
from their_bert import as_bert_base, save_model, save_tokenizer
from toy_tasks import VOCAB


@pytest.fixture(scope="module")
def fill_mask(pretrained: Path) -> FillMask:
    return FillMask(pretrained)


def test_guesses_are_those_of_transformers(fill_mask: FillMask, pretrained: Path) -> None:
    text = "the [MASK] cat near a [MASK] dog"
    tokenizer = AutoTokenizer.from_pretrained(pretrained)
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        logits = AutoModelForMaskedLM.from_pretrained(pretrained).eval()(**inputs).logits[0]
    guesses = fill_mask.fill(text, top=3)
    assert [guess["mask"] for guess in guesses] == [0, 0, 0, 1, 1, 1]
    places = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
    for number, place in enumerate(places):
        scores, tokens = logits[place].softmax(-1).topk(3)
        ours = guesses[3 * number : 3 * number + 3]
        assert [guess["score"] for guess in ours] == pytest.approx(scores.tolist(), abs=1e-4)
        assert [guess["token"] for guess in ours] == tokenizer.convert_ids_to_tokens(tokens.tolist())


def test_special_tokens_are_found_wherever_they_stand(tmp_path: Path) -> None:
    vocab = as_bert_base(["the", "cat", "dog", "near", "a"])
    save_tokenizer(tmp_path, vocab)
    theirs = save_model("BertForPreTraining", tmp_path, len(vocab))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    inputs = tokenizer("the cat near a [MASK]", return_tensors="pt")
    with torch.no_grad():
        score, token = theirs(**inputs).prediction_logits[0, 5].softmax(-1).max(-1)
    [guess] = FillMask(tmp_path).fill("the cat near a [MASK]", top=1)
    assert guess["token"] == vocab[int(token)]
    assert guess["score"] == pytest.approx(float(score), abs=1e-5)


def test_the_whole_vocabulary_adds_up_to_one(fill_mask: FillMask) -> None:
    guesses = fill_mask.fill("a [MASK]", top=10_000)
    assert len(guesses) == len(VOCAB)
    assert sum(guess["score"] for guess in guesses) == pytest.approx(1, abs=1e-4)


def test_the_text_is_filled_where_the_mask_stood(fill_mask: FillMask) -> None:
    filled = {guess["token"]: guess["text"] for guess in fill_mask.fill("The  [MASK], New York.", top=10_000)}
    assert filled["cat"] == "The  cat, New York."
    assert filled["##s"] == "Thes, New York."


def test_one_of_several_masks_is_filled_at_a_time(fill_mask: FillMask) -> None:
    first, second = fill_mask.fill("[MASK] and [MASK]", top=1)
    assert first["text"] == f"{first['token']} and [MASK]"
    assert second["text"].startswith("[MASK] and")


def test_a_mask_beyond_the_models_positions_is_filled_from_what_surrounds_it(fill_mask: FillMask) -> None:
    before, after = ["red"] * 200, ["blue"] * 200
    [guess] = fill_mask.fill(" ".join([*before, "[MASK]", *after]), top=1)
    [near] = fill_mask.fill(" ".join([*before[:31], "[MASK]", *after[:30]]), top=1)
    assert guess["score"] == pytest.approx(near["score"], abs=1e-5)
    assert guess["token"] == near["token"]


@pytest.mark.parametrize(
    ("before", "after", "read"), [(20, 20, (4, 3)), (20, 1, (6, 1)), (20, 0, (7, 0)), (2, 20, (2, 5)), (0, 20, (0, 7))]
)
def test_as_much_is_read_at_a_time_as_the_model_was_trained_on_and_no_more(
    before: int, after: int, read: tuple[int, int], pretrained: Path, tmp_path: Path
) -> None:
    def text(before: int, after: int) -> str:
        return " ".join(["red"] * before + ["[MASK]"] + ["blue"] * after)

    short = tmp_path / "short"
    shutil.copytree(pretrained, short)
    copy_tokenizer(pretrained, short, max_length=10)
    [guess] = FillMask(short).fill(text(before, after), top=1)
    [near] = FillMask(pretrained).fill(text(*read), top=1)
    assert guess["score"] == pytest.approx(near["score"], abs=1e-5)


def test_a_hundred_masks_are_filled(fill_mask: FillMask) -> None:
    assert fill_mask.fill("[MASK] " * 100, top=1)[-1]["mask"] == 99


@pytest.mark.parametrize(
    ("text", "top", "message"),
    [
        ("no gap", 5, r"no \[MASK\] in 'no gap'"),
        ("[MASK]", 0, "0 is too few"),
        ("[MASK] " * 101, 1, r"text: 101 \[MASK\] are too many in .*\. Ask for 100 at most, in several texts"),
    ],
)
def test_what_cannot_be_filled_is_said(text: str, top: int, message: str, fill_mask: FillMask) -> None:
    with pytest.raises(BertlineError, match=message):
        fill_mask.fill(text, top)
