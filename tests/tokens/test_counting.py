"""Counting words: as BERT cuts them, whatever the text, the batches and the number of workers."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bertline.tokens import counting
from bertline.tokens.counting import WordCounts, count_documents, count_words
from document_shards import write_shards
from tricky_text import texts

TEXT = ["The fox and the Fox, the naïve café.", "An end of 12,345 中文 words.", "", "the fox"]


def as_dict(counts: WordCounts) -> dict[str, int]:
    return dict(zip(counts.words.to_pylist(), counts.counts.tolist(), strict=True))


def expected(sentences: list[str], *, lowercase: bool) -> Counter[str]:
    normaliser, splitter = BertNormalizer(lowercase=lowercase), BertPreTokenizer()
    return Counter(word for text in sentences for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(text)))


@settings(max_examples=100)
@given(st.lists(texts, max_size=6), st.booleans())
def test_words_are_counted_as_bert_cuts_them(sentences: list[str], lowercase: bool) -> None:
    counted = count_words(sentences, lowercase=lowercase)
    assert as_dict(counted) == expected(sentences, lowercase=lowercase)
    assert counted.words.to_pylist() == sorted(counted.words.to_pylist())


def write_documents(directory: Path, sentences: list[str]) -> Path:
    return write_shards(directory, "train", [[sentence, "the fox"] for sentence in sentences])


@pytest.mark.parametrize("workers", ["1", "2", "3"])
@pytest.mark.parametrize("held", [3, 2_000_000])
def test_documents_count_the_same_whatever_the_workers_and_what_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str, held: int
) -> None:
    monkeypatch.setenv("BERTLINE_WORKERS", workers)
    monkeypatch.setattr("bertline.corpus.parquet._GROUP_ROWS", 1)
    monkeypatch.setattr(counting, "_ROWS", held)
    counted = count_documents(write_documents(tmp_path, TEXT), "train", lowercase=True)
    assert as_dict(counted) == expected([*TEXT, *["the fox"] * len(TEXT)], lowercase=True)


def test_of_too_many_distinct_words_the_rarest_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MAX_DISTINCT", 3)
    assert as_dict(count_words(["a a a b b c d e"], lowercase=True)) == {"a": 3, "b": 2}


def test_totals_and_occurrences() -> None:
    counts = count_words(["a a b", "c"], lowercase=True)
    assert (counts.total(), counts.occurrences(["a", "c", "x"])) == (4, 3)
    assert count_words([], lowercase=True).total() == 0
