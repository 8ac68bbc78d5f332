"""The token store: what is written is what is read, and damage is noticed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.base.errors import BertlineError
from bertline.base.files import sha256_file
from bertline.tokens.store import FILES, TokenBatch, TokenStore, write_store
from bertline.tokens.usage import token_counts, unigram_entropy, vocab_used

Corpus = list[list[list[int]]]  # documents of sentences of ids
sentences = st.lists(st.integers(0, 99), max_size=6)
corpora = st.lists(st.lists(sentences, min_size=1, max_size=4), min_size=1, max_size=8)


def batch_of(documents: Corpus) -> TokenBatch:
    flat = [sentence for document in documents for sentence in document]
    ids = np.array([token for sentence in flat for token in sentence], np.uint32)
    lengths = np.array([len(sentence) for sentence in flat], np.int64)
    return TokenBatch(ids, lengths, np.array([len(document) for document in documents], np.int64), len(ids))


def read_back(store: TokenStore) -> Corpus:
    spans = [range(start, end) for start, end in zip(store.documents, store.documents[1:], strict=False)]
    return [[store.ids[store.sentences[s] : store.sentences[s + 1]].tolist() for s in span] for span in spans]


def write(directory: Path, *batches: Corpus, size: int = 100) -> dict[str, Any]:
    """A store of these documents, a batch after the other; [UNK] is 1."""
    made = [batch_of(documents) for documents in batches]
    return write_store(directory, made, vocab_size=size, vocab_sha256="ab", unknown_id=1)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write(tmp_path / "train", [[[5, 6], [7]], [[8, 1]]])
    return tmp_path / "train"


@given(documents=corpora, cut=st.integers(0, 8))
def test_documents_come_back_however_they_were_batched(
    tmp_path_factory: pytest.TempPathFactory, documents: Corpus, cut: int
) -> None:
    directory = tmp_path_factory.mktemp("store") / "train"
    batches = documents[:cut], documents[cut:]
    if not any(token for document in documents for token in document):
        with pytest.raises(BertlineError, match="no tokens"):
            write(directory, *batches)
        assert not directory.exists()
        return
    meta = write(directory, *batches)
    opened = TokenStore.open(directory)
    assert meta["sha256"] == {name: sha256_file(directory / name) for name in FILES}
    assert read_back(opened) == documents
    assert meta["documents"] == len(documents)
    assert meta["unknown"] == sum(sentence.count(1) for document in documents for sentence in document)


@pytest.mark.parametrize(("size", "expected"), [(100, np.uint16), (65_536, np.uint16), (65_537, np.uint32)])
def test_ids_are_as_narrow_as_the_vocabulary_allows(tmp_path: Path, size: int, expected: type) -> None:
    write(tmp_path / "train", [[[size - 1]]], size=size)
    opened = TokenStore.open(tmp_path / "train")
    assert opened.ids.dtype == expected
    assert opened.ids[0] == size - 1


def test_an_id_outside_the_vocabulary_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(BertlineError, match="token id 100 in a vocabulary of 100"):
        write(tmp_path / "train", [[[5]]], [[[100]]])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ids.npy", "sentences.npy", "documents.npy"])
def test_a_file_cut_short_does_not_open(store: Path, name: str) -> None:
    (store / name).write_bytes((store / name).read_bytes()[:-2])
    with pytest.raises(BertlineError, match=name):
        TokenStore.open(store)


def test_a_missing_file_and_a_foreign_file_do_not_open(store: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", [[[5]]])
    ids = (store / "ids.npy").read_bytes()
    (store / "ids.npy").write_bytes((tmp_path / "other" / "ids.npy").read_bytes())
    with pytest.raises(BertlineError, match="1 tokens in the files, 5 in"):
        TokenStore.open(store)
    (store / "ids.npy").write_bytes(ids)
    (store / "documents.npy").unlink()
    with pytest.raises(BertlineError, match="file not found"):
        TokenStore.open(store)


@pytest.mark.parametrize(("name", "end"), [("sentences.npy", 4), ("documents.npy", 2)])
def test_offsets_that_end_elsewhere_do_not_open(store: Path, name: str, end: int) -> None:
    offsets = np.load(store / name)
    offsets[-1] = end
    np.save(store / name, offsets)
    with pytest.raises(BertlineError, match="offsets do not end where the ids end"):
        TokenStore.open(store)


def test_meta_counts_words_tokens_and_unknowns(store: Path) -> None:
    meta = json.loads((store / "meta.json").read_text())
    assert {key: meta[key] for key in ("tokens", "sentences", "documents", "words", "unknown")} == {
        "tokens": 5,
        "sentences": 3,
        "documents": 2,
        "words": 5,
        "unknown": 1,
    }
    assert set(meta["sha256"]) == {"ids.npy", "sentences.npy", "documents.npy"}


def test_the_entropy_of_four_equally_frequent_tokens_is_ln_4(tmp_path: Path) -> None:
    write(tmp_path / "train", [[[5, 6, 7, 8] * 3]], size=16)
    opened = TokenStore.open(tmp_path / "train")
    assert unigram_entropy(opened) == pytest.approx(np.log(4))
    assert vocab_used(opened) == 4 / 16
    assert token_counts(opened)[5:9].tolist() == [3, 3, 3, 3]
