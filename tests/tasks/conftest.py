"""What the tests of the tasks share: a small raw corpus and a tokenizer small enough to read."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bertline.base.artifacts import Artifacts
from tasks.docs_corpus import raw_rows, write_raw


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """A checkout's data with a raw corpus of three packages, 40 modules each, and an empty data/sources."""
    made = write_raw(tmp_path, raw_rows())
    (made.data / "sources").mkdir()
    return made


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """WordPiece over single letters and a few words, lower-casing, as BERT's."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,:;()_-'\"?!"]
    pieces = special + letters + [f"##{letter}" for letter in letters] + ["the", "of", "word", "##ing"]
    made = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made
