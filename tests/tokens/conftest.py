"""A throwaway vocabulary, learned in the test process."""

from pathlib import Path

import pytest

from bertline.tokens.counting import count_words
from bertline.tokens.tokenizer import write_tokenizer
from bertline.tokens.wordpiece import train_vocab
from their_bert import as_bert_base

TEXT = [
    "The quick brown fox jumps over the lazy dog.",
    "Tokenizers tokenize tokens; the tokenization of tokenized text is quick.",
    "Café naïve façade: 12,345 numbers and 42 foxes.",
    "中文 and 日本 are split a character at a time.",
]


@pytest.fixture(scope="session")
def vocab() -> list[str]:
    return train_vocab(count_words(TEXT * 3, lowercase=True), size=256)


@pytest.fixture(
    scope="session",
    params=[(True, "ours"), (False, "ours"), (True, "theirs")],
    ids=["uncased", "cased", "uncased as bert-base"],
)
def tokenizer_directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tokenizer")
    lowercase, layout = request.param
    learned = train_vocab(count_words(TEXT * 3, lowercase=lowercase), size=256)
    vocab = learned if layout == "ours" else as_bert_base([piece for piece in learned if not piece.startswith("[")])
    write_tokenizer(vocab, directory, lowercase=lowercase)
    return directory
