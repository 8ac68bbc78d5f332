"""Documents as ids: the tokenizers library's, whatever the number of workers, and what the filter drops."""

import itertools
from pathlib import Path

import pyarrow as pa
import pytest

from bertline.tokens.encoding import DocumentEncoder, encode_documents, encoders
from bertline.tokens.store import TokenStore, write_store
from bertline.tokens.tokenizer import load_tokenizer
from document_shards import write_shards

PROSE = ["The quick brown fox jumps over the lazy dog.", "The tokenization of tokenized text is quick."]
SYMBOLS = ["% & * ( ) + = < > / | ~ ^ ; : { } [ ]", "The fox."]
CHINESE = ["中文中文中文中文日本日本"]
DOCUMENTS = [PROSE, SYMBOLS, ["A café."], CHINESE, SYMBOLS, PROSE[:1]]


def encoded(directory: Path, documents: list[list[str]], limit: float) -> tuple[list[list[int]], int, int]:
    """The ids of each sentence kept, the words and the documents dropped."""
    sources = pa.array(["somewhere"] * len(documents))
    batch = DocumentEncoder(directory, limit).encode(pa.array(documents, pa.list_(pa.string())), sources)
    ends = batch.sentences.cumsum()
    parts = [batch.ids[end - length : end].tolist() for end, length in zip(ends, batch.sentences, strict=True)]
    assert len(batch.ids) == batch.sentences.sum()
    assert batch.documents.sum() == len(batch.sentences)
    assert len(batch.documents) + batch.dropped == len(documents)
    return parts, batch.words, batch.dropped


def expected(directory: Path, documents: list[list[str]]) -> list[list[int]]:
    tokenizer = load_tokenizer(directory)
    return [tokenizer.encode(text, add_special_tokens=False).ids for document in documents for text in document]


def test_all_documents_are_kept_without_a_limit(tokenizer_directory: Path) -> None:
    ids, words, dropped = encoded(tokenizer_directory, DOCUMENTS, 0)
    assert ids == expected(tokenizer_directory, DOCUMENTS)
    assert words == sum(len(text.split()) for document in DOCUMENTS for text in document)
    assert dropped == 0


def test_text_that_hardly_compresses_is_dropped_and_ideographs_are_not(tokenizer_directory: Path) -> None:
    kept = [PROSE, CHINESE, PROSE[:1]]
    ids, words, dropped = encoded(tokenizer_directory, [PROSE, SYMBOLS, CHINESE, SYMBOLS, PROSE[:1]], 0.4)
    assert ids == expected(tokenizer_directory, kept)
    assert words == sum(len(text.split()) for document in kept for text in document)
    assert dropped == 2


def test_a_document_at_the_very_limit_is_kept(tokenizer_directory: Path) -> None:
    assert encoded(tokenizer_directory, [["中中"], ["中"]], 0.25)[2] == 0


@pytest.mark.parametrize("text", ["The fox", "中中", "x" * 101])
def test_the_limit_is_in_tokens_a_character(tokenizer_directory: Path, text: str) -> None:
    tokens = len(load_tokenizer(tokenizer_directory).encode(text, add_special_tokens=False).ids)
    characters = 4 * len(text) if text == "中中" else len(text)
    assert encoded(tokenizer_directory, [[text]], tokens / characters * 1.01)[2] == 0
    assert encoded(tokenizer_directory, [[text]], tokens / characters * 0.99)[2] == 1


def test_any_number_of_workers_writes_the_same_bytes(
    tokenizer_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertline.corpus.parquet._GROUP_ROWS", 2)
    documents = [[f"Number {number}.", *DOCUMENTS[number % len(DOCUMENTS)]] for number in range(30)]
    sources = ["a"] * 7 + ["b"] * 12 + ["c"] * 10 + ["a"]
    write_shards(tmp_path, "train", documents, sources)
    metas = []
    for workers in ("1", "2", "3"):
        monkeypatch.setenv("BERTLINE_WORKERS", workers)
        with encoders(tokenizer_directory, 0.45) as pool:
            batches = encode_documents(pool, tmp_path, "train")
            metas.append(write_store(tmp_path / workers, batches, vocab_size=1200, vocab_sha256="", unknown_id=1))
    assert metas[0] == metas[1] == metas[2]
    assert 0 < metas[0]["dropped"] < 30
    store = TokenStore.open(tmp_path / "1")
    assert store.meta["documents"] == 30 - metas[0]["dropped"]
    dropped = [encoded(tokenizer_directory, [document], 0.45)[2] for document in documents]
    kept = [name for name, gone in zip(sources, dropped, strict=True) if not gone]
    assert store.meta["sources"] == [[name, len(list(run))] for name, run in itertools.groupby(kept)]
