"""Encoding: the ids of the tokenizers library, whatever the text, and tokenizer files that others load."""

import warnings
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from bertline.base.errors import BertlineError
from bertline.tokens.encoder import Encoder
from bertline.tokens.tokenizer import (
    SPECIAL_TOKENS,
    SpecialIds,
    copy_tokenizer,
    load_tokenizer,
    read_vocab,
    write_tokenizer,
)
from tricky_text import texts

FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")


def reference(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of the tokenizers library, special tokens in the text read as plain text."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.encode_special_tokens = True
    return list(copy.encode(text, add_special_tokens=False).ids)


def encoded(encoder: Encoder, sentences: list[str]) -> list[list[int]]:
    ids, lengths = encoder.encode(sentences)
    parts, at = [], 0
    for length in lengths:
        parts.append(ids[at : at + length].tolist())
        at += length
    assert at == len(ids)
    return parts


@settings(max_examples=150)
@given(sentences=st.lists(texts, max_size=5))
@example(["the\x1cquick", "a\u0301 \u0301b", "[MASK] the [CLS]", "", " ", "x" * 101, "中文the"])
def test_ids_equal_those_of_the_tokenizers_library(tokenizer_directory: Path, sentences: list[str]) -> None:
    tokenizer = load_tokenizer(tokenizer_directory)
    assert encoded(Encoder(tokenizer), sentences) == [reference(tokenizer, sentence) for sentence in sentences]


@settings(max_examples=30)
@given(batches=st.lists(st.lists(texts, max_size=4), max_size=4), limit=st.sampled_from([0, 3, 20]))
def test_ids_do_not_depend_on_batches_or_on_what_is_remembered(
    tokenizer_directory: Path, batches: list[list[str]], limit: int
) -> None:
    tokenizer = load_tokenizer(tokenizer_directory)
    forgetful, fresh = Encoder(tokenizer, remember=limit), Encoder(tokenizer)
    one_by_one = [ids for batch in batches for ids in encoded(forgetful, batch)]
    assert one_by_one == encoded(fresh, [sentence for batch in batches for sentence in batch])


def test_special_tokens_in_the_text_stay_text_in_the_corpus_and_masks_for_a_user(tokenizer_directory: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_directory)
    special = SpecialIds.of(read_vocab(tokenizer_directory))
    ids, _ = Encoder(tokenizer).encode(["the [MASK] fox"])
    assert not {special.pad, special.cls, special.sep, special.mask} & set(ids.tolist())
    assert tokenizer.encode("the [MASK] fox").ids.count(special.mask) == 1


def test_a_megabyte_without_a_space_is_encoded(tokenizer_directory: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_directory)
    text = "fox," * 250_000
    assert encoded(Encoder(tokenizer), [text]) == [reference(tokenizer, text)]


@settings(max_examples=50)
@given(words=st.lists(st.sampled_from(["the", "quick", "brown", "fox", "lazy", "dog", "tokenize"]), min_size=1))
def test_known_words_come_back_when_decoded(tokenizer_directory: Path, words: list[str]) -> None:
    tokenizer = load_tokenizer(tokenizer_directory)
    ids, _ = Encoder(tokenizer).encode([" ".join(words)])
    assert tokenizer.decode(ids.tolist()) == " ".join(words)


def test_autotokenizer_gives_a_fast_bert_tokenizer_with_our_ids(tokenizer_directory: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = AutoTokenizer.from_pretrained(tokenizer_directory)
    ours = load_tokenizer(tokenizer_directory)
    text, pair = "The quick Café tokenizes", "12,345 foxes 中文"
    assert type(theirs).__name__ == "BertTokenizer"
    assert theirs.is_fast
    assert theirs(text, pair)["input_ids"] == ours.encode(text, pair).ids
    assert theirs(text, pair)["token_type_ids"] == ours.encode(text, pair).type_ids
    assert theirs.unk_token_id not in theirs("the quick brown fox")["input_ids"]
    assert len(theirs) == ours.get_vocab_size()
    assert theirs.model_max_length == 512
    special = [theirs.pad_token, theirs.unk_token, theirs.cls_token, theirs.sep_token, theirs.mask_token]
    assert theirs.convert_tokens_to_ids(special) == list(astuple(SpecialIds.of(read_vocab(tokenizer_directory))))
    assert tuple(special) == SPECIAL_TOKENS


def test_an_uncased_tokenizer_lowers_case_and_strips_accents_and_a_cased_one_does_not(tmp_path: Path) -> None:
    vocab = [*SPECIAL_TOKENS, "cafe", "Café"]
    ids = {}
    for lowercase in (True, False):
        directory = tmp_path / str(lowercase)
        directory.mkdir()
        write_tokenizer(vocab, directory, lowercase=lowercase)
        ids[lowercase] = load_tokenizer(directory).encode("Café", add_special_tokens=False).ids
    assert ids == {True: [5], False: [6]}


def test_limits_that_a_tokenizer_brings_along_are_not_kept(tokenizer_directory: Path, tmp_path: Path) -> None:
    copy_tokenizer(tokenizer_directory, tmp_path)
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.enable_truncation(max_length=8)
    theirs.enable_padding(length=16)
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours, whole = (load_tokenizer(folder) for folder in (tmp_path, tokenizer_directory))
    for text in ("the", "the value of the array " * 20):
        assert ours.encode(text).ids == whole.encode(text).ids


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("vocab.txt", lambda text: text + "extra\n", "differ from the"),
        ("vocab.txt", lambda text: text.replace("[CLS]", "[cls]"), r"vocab\.txt: no \[CLS\]"),
        ("tokenizer.json", lambda text: text[:500], "not a tokenizer"),
        ("tokenizer_config.json", lambda text: text[:5], "not valid JSON"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    tokenizer_directory: Path, tmp_path: Path, name: str, damage: object, problem: str
) -> None:
    copy_tokenizer(tokenizer_directory, tmp_path)
    (tmp_path / name).write_text(damage((tmp_path / name).read_text()))  # type: ignore[operator]
    (tmp_path / "copy").mkdir()
    with pytest.raises(BertlineError, match=problem):
        copy_tokenizer(tmp_path, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_missing_tokenizer_file_is_named(tokenizer_directory: Path, tmp_path: Path, name: str) -> None:
    copy_tokenizer(tokenizer_directory, tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / "copy").mkdir()
    with pytest.raises(BertlineError, match="file not found") as caught:
        copy_tokenizer(tmp_path, tmp_path / "copy")
    assert caught.value.where.endswith(name)


@pytest.mark.parametrize(
    ("vocab", "problem"),
    [
        (["[UNK]", "[PAD]", *SPECIAL_TOKENS[2:]], r"\[PAD\] is id 1, and only 0 is supported"),
        ([*SPECIAL_TOKENS[:4], "a"], r"no \[MASK\]"),
        ([*SPECIAL_TOKENS, "a", "[SEP]"], r"\[SEP\] is there 2 times"),
        ([*SPECIAL_TOKENS, "a", "a"], "occurs twice"),
    ],
)
def test_a_vocabulary_that_cannot_work_is_not_written(tmp_path: Path, vocab: list[str], problem: str) -> None:
    with pytest.raises(BertlineError, match=problem):
        write_tokenizer(vocab, tmp_path, lowercase=True)
    assert list(tmp_path.iterdir()) == []
