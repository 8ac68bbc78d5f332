"""Vocabulary training: deterministic, the right shape, and no [UNK] for what it was trained on."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bertline.base.errors import BertlineError
from bertline.tokens.counting import WordCounts, count_words
from bertline.tokens.tokenizer import SPECIAL_TOKENS, build_tokenizer
from bertline.tokens.wordpiece import train_vocab

_TRAIN = """
from bertline.tokens.counting import count_words
from bertline.tokens.wordpiece import train_vocab
text = [" ".join(f"w{i * 7919 % 101}x{i * j % 37}ing" for j in range(20)) for i in range(200)]
print(chr(10).join(train_vocab(count_words(set(text), lowercase=True), size=512)))
"""


def test_special_tokens_come_first_and_every_entry_is_unique(vocab: list[str]) -> None:
    assert tuple(vocab[:5]) == SPECIAL_TOKENS
    assert len(set(vocab)) == len(vocab)


@pytest.mark.parametrize(("asked", "made"), [(256, 256), (257, 320), (300, 320)])
def test_the_size_is_rounded_up_to_a_multiple_of_64(asked: int, made: int) -> None:
    words = Counter({f"{a}{b}{c}": 3 for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvwx"})
    learned = train_vocab(WordCounts.of(words), size=asked)
    assert len(learned) == made
    assert not any(piece.startswith("[unused") for piece in learned)


def test_a_corpus_too_small_for_the_size_leaves_unused_entries() -> None:
    learned = train_vocab(WordCounts.of(Counter({"hug": 10, "pug": 5})), size=256)
    assert len(learned) == 256
    assert learned[-1].startswith("[unused")
    assert learned[5:11] == ["##g", "##u", "h", "p", "hug", "pug"]
    assert "##ug" in learned[11 : learned.index("[unused0]")]


def test_single_characters_stand_in_the_order_of_their_code_points_however_common_they_are() -> None:
    assert train_vocab(WordCounts.of({"zz": 9, "a": 1}), size=256)[5:8] == ["##z", "a", "z"]


def test_frequent_words_are_entries_of_their_own_and_rare_ones_are_pieces() -> None:
    words = Counter({"token": 1000, "tokens": 500, "ize": 300, "tokenize": 2, "zebra": 1})
    learned = train_vocab(WordCounts.of(words), size=256)
    assert {"token", "tokens", "ize"} <= set(learned)
    tokenizer = build_tokenizer(learned, lowercase=True)
    assert tokenizer.encode("tokenizebra", add_special_tokens=False).tokens[0].startswith("token")


@settings(max_examples=30)
@given(st.lists(st.text(st.sampled_from("abcdeéß中ü1,.- "), max_size=30), min_size=1, max_size=8))
def test_nothing_that_it_was_trained_on_becomes_unknown(sentences: list[str]) -> None:
    words = count_words(sentences, lowercase=True)
    if not len(words.words):
        return
    tokenizer = build_tokenizer(train_vocab(words, size=256), lowercase=True)
    tokens = [token for sentence in sentences for token in tokenizer.encode(sentence, add_special_tokens=False).tokens]
    assert "[UNK]" not in tokens
    assert "".join(token.removeprefix("##") for token in tokens) == "".join(_words(sentences))


def _words(sentences: list[str]) -> list[str]:
    normaliser, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    return [word for text in sentences for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(text))]


def test_of_many_words_the_commonest_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"common": 50, "rarely": 2, "seldom": 1}
    assert "seldom" in train_vocab(WordCounts.of(words), size=256)
    monkeypatch.setattr("bertline.tokens.wordpiece.MAX_WORDS", 2)
    learned = train_vocab(WordCounts.of(words), size=256)
    assert {"common", "rarely", "s", "##d"} <= set(learned)
    assert "seldom" not in learned


def test_the_rarest_characters_are_left_out_when_the_alphabet_would_fill_the_vocabulary() -> None:
    words = Counter({chr(0x4E00 + number): 1000 - number for number in range(400)})
    learned = train_vocab(WordCounts.of(words), size=256)
    assert len(learned) == 256
    assert chr(0x4E00 + 127) in learned
    assert chr(0x4E00 + 128) not in learned, "half of the vocabulary is left for longer pieces"


@pytest.mark.parametrize(("length", "learned"), [(100, True), (101, False)])
def test_of_a_word_that_an_encoder_cuts_into_nothing_nothing_is_learned(length: int, learned: bool) -> None:
    vocab = train_vocab(WordCounts.of({"ab": 1, "x" * length: 1}), size=256)
    assert ("x" in vocab) is learned
    tokens = build_tokenizer(vocab, lowercase=True).encode("x" * length, add_special_tokens=False).tokens
    assert (tokens != ["[UNK]"]) is learned


def test_no_words_is_an_error() -> None:
    with pytest.raises(BertlineError, match="no words to learn from"):
        train_vocab(WordCounts.of(Counter()), size=256)


def test_fresh_processes_with_other_hash_seeds_write_the_same_bytes() -> None:
    digests = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        made = subprocess.run(
            [sys.executable, "-c", _TRAIN], capture_output=True, check=True, env=environment, cwd=Path.cwd()
        )
        assert len(made.stdout.splitlines()) == 512
        digests.add(hashlib.sha256(made.stdout).hexdigest())
    assert len(digests) == 1
