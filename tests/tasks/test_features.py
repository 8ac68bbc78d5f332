"""Rows to examples: nothing is lost, nothing is too long, and every target stands where its text stands."""

import itertools
import unicodedata
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from tokenizers.processors import TemplateProcessing

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.tasks.batches import IGNORED, Features
from bertline.tasks.features import answer_tokens, encode_rows, token_windows, truncate_pair, word_windows
from bertline.tasks.schema import TaskInfo

UNKNOWN, CLS, SEP = 1, 2, 3
TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
WORDS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=60)
fast = settings(max_examples=60)


def task(kind: Kind, *labels: str) -> TaskInfo:
    return TaskInfo("t", kind, labels, "", (), kind == "pair", {}, "")


def encode(
    rows: list[dict[str, Any]], info: TaskInfo, tokenizer: Tokenizer, max_length: int = 32, stride: int = 8
) -> Features:
    return encode_rows(rows, info, tokenizer, max_length=max_length, stride=stride)


@pytest.mark.parametrize("filler", [" " * 20_000, "\n" * 5_000, "x" * 20_000 + " "])
def test_a_text_is_read_on_behind_what_makes_no_tokens(tokenizer: Tokenizer, filler: str) -> None:
    rows = [{"id": "1", "text": f"{filler}abc"}, {"id": "2", "text": "abc"}]
    behind, alone = (example.ids.tolist() for example in encode(rows, task("classification", "x"), tokenizer).examples)
    assert len(alone) > 2
    assert behind == (alone if filler.isspace() else [CLS, UNKNOWN, *alone[1:]])


@pytest.mark.parametrize("kind", ["classification", "tagging", "span"])
def test_texts_that_are_encoded_in_parts_become_the_same_examples(
    kind: Kind, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{'ab ' * count}c{count}" for count in (3, 400, 5, 3, 60)]  # one is read on behind its head
    rows = {
        "classification": [{"id": text, "text": text} for text in texts],
        "tagging": [{"id": text, "words": text.split()} for text in texts],
        "span": [{"id": text, "question": text, "context": text} for text in texts],
    }[kind]
    at_once = encode(rows, task(kind, "x"), tokenizer).examples
    monkeypatch.setattr("bertline.tasks.features._TOGETHER", 2)
    in_parts = encode(rows, task(kind, "x"), tokenizer).examples
    assert [example.ids.tolist() for example in in_parts] == [example.ids.tolist() for example in at_once]
    assert [example.row for example in in_parts] == [example.row for example in at_once]


@pytest.mark.parametrize("letters", [101, 150, 199, 250])
def test_long_words_in_a_long_text_are_what_they_are_in_a_short_one(tokenizer: Tokenizer, letters: int) -> None:
    row = {"id": "a", "text": f"{'ab' * letters} "[-letters - 1 :] * 200}
    (example,) = encode([row], task("classification", "x"), tokenizer).examples
    assert example.ids.tolist() == [CLS, *[UNKNOWN] * 30, SEP]  # a word of more than a hundred letters is unknown


@given(TEXT, st.one_of(st.none(), TEXT), st.integers(8, 40))
@fast
def test_texts_become_what_transformers_would_make_of_them(
    tokenizer: Tokenizer, text: str, second: str | None, max_length: int
) -> None:
    row = {"id": "a", "text": text} | ({} if second is None else {"text_pair": second})
    (example,) = encode([row], task("pair", "x"), tokenizer, max_length).examples
    reference = Tokenizer.from_str(tokenizer.to_str())
    specials = [("[CLS]", CLS), ("[SEP]", SEP)]
    reference.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=specials
    )
    reference.enable_truncation(max_length)
    expected = reference.encode(text, second)
    assert example.ids.tolist() == expected.ids
    segments = [int(place >= example.second) for place in range(len(example.ids))]
    assert segments == expected.type_ids
    assert example.labels is None


def test_labels_are_class_numbers_and_values(tokenizer: Tokenizer) -> None:
    rows = [{"id": "a", "text": "x", "label": "no"}, {"id": "b", "text": "y", "label": "yes"}]
    batch = encode(rows, task("classification", "no", "yes"), tokenizer).batch([1, 0])
    assert batch.labels is not None
    assert (batch.labels.tolist(), batch.labels.dtype) == ([1, 0], np.int64)
    values = [{"id": "a", "text": "x", "label": 2.5}]
    batch = encode(values, task("regression"), tokenizer).batch([0])
    assert batch.labels is not None
    assert (batch.labels.tolist(), batch.labels.dtype) == ([2.5], np.float32)


def test_a_text_of_megabytes_costs_no_more_than_its_head(tokenizer: Tokenizer) -> None:
    class Counting:
        characters = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
            self.characters += sum(map(len, texts))
            return tokenizer.encode_batch_fast(texts, **options)

    counting: Any = Counting()
    (example,) = encode([{"id": "a", "text": "word " * 1_000_000}], task("classification", "x"), counting).examples
    assert len(example.ids) == 32
    assert counting.characters < 10_000


@given(st.lists(st.integers(1, 20), min_size=1, max_size=80), st.integers(0, 10))
@fast
def test_word_windows_cover_every_word_within_the_room_and_each_reaches_further(
    lengths: list[int], overlap: int
) -> None:
    windows = word_windows(lengths, 20, overlap)
    assert {word for start, end in windows for word in range(start, end)} == set(range(len(lengths)))
    assert all(sum(lengths[start:end]) <= 20 for start, end in windows)
    for (first, first_end), (second, second_end) in pairwise(windows):
        assert first < second <= first_end < second_end
        assert sum(lengths[second:first_end]) <= overlap


@given(st.integers(0, 300), st.integers(2, 40), st.data())
@fast
def test_token_windows_cover_every_token_and_share_the_stride(tokens: int, room: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, room // 2))
    windows = token_windows(tokens, room, overlap)
    assert {token for start, end in windows for token in range(start, end)} == set(range(tokens))
    assert all(end - start <= room for start, end in windows)
    assert all(left[1] - right[0] == overlap for left, right in pairwise(windows))


@given(st.lists(st.tuples(WORDS, st.randoms(use_true_random=False)), min_size=1, max_size=3), st.integers(8, 40))
@fast
def test_every_word_is_predicted_exactly_once_on_its_first_piece(
    tokenizer: Tokenizer, drawn: list[Any], max_length: int
) -> None:
    rows = [
        {"id": str(number), "words": words, "tags": [random.choice(["B-X", "O"]) for _ in words]}
        for number, (words, random) in enumerate(drawn)
    ]
    features = encode(rows, task("tagging", "B-X", "O"), tokenizer, max_length)
    seen: dict[int, list[int]] = {number: [] for number in range(len(rows))}
    for example in features.examples:
        assert len(example.ids) <= max_length
        assert example.words is not None
        assert example.labels is not None
        row = rows[example.row]
        for token in np.flatnonzero(example.words >= 0):
            word = int(example.words[token])
            seen[example.row].append(word)
            pieces = tokenizer.encode(row["words"][word], add_special_tokens=False).ids or [UNKNOWN]
            assert example.ids[token] == pieces[0]
            assert example.labels[token] == ["B-X", "O"].index(row["tags"][word])
        assert ((example.labels != IGNORED) == (example.words >= 0)).all()
    assert {row: sorted(words) for row, words in seen.items()} == {
        number: list(range(len(row["words"]))) for number, row in enumerate(rows)
    }


def test_a_word_counts_where_most_is_around_it(tokenizer: Tokenizer) -> None:
    words = list("abcdefghijklmnopqrst")
    first, second, *_ = encode([{"id": "a", "words": words}], task("tagging", "O"), tokenizer, 14, 6).examples
    assert first.words is not None
    assert second.words is not None
    assert first.ids.tolist()[1:13] == [tokenizer.token_to_id(letter) for letter in words[:12]]
    assert first.words.tolist()[1:13] == [0, 1, 2, 3, 4, 5, 6, 7, 8, -1, -1, -1]
    assert second.words.max() >= 9


def with_marks(text: str, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Where tokens stand, each with the combining marks behind it that no token stands for."""
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    found = []
    for place, (start, own) in enumerate(offsets):
        following = offsets[place + 1][0] if place + 1 < len(offsets) else len(text)
        marks = itertools.takewhile(lambda at: unicodedata.category(text[at]).startswith("M"), range(own, following))
        found.append((start, own + len(list(marks))))
    return found


@given(TEXT, TEXT, st.data(), st.integers(10, 40), st.integers(1, 39))
@fast
def test_every_token_of_the_answer_is_inside_the_span(
    tokenizer: Tokenizer, question: str, context: str, data: st.DataObject, max_length: int, stride: int
) -> None:
    start = data.draw(st.integers(0, max(len(context) - 1, 0)))
    text = context[start : start + data.draw(st.integers(1, 20))]
    answers = [{"text": text, "start": start}] if text else []
    row = {"id": "a", "question": question, "context": context, "answers": answers}
    examples = encode([row], task("span"), tokenizer, max_length, stride).examples
    whole = np.array(with_marks(context, tokenizer)).reshape(-1, 2)
    wanted = answer_tokens(whole, answers)
    for example in examples:
        assert len(example.ids) <= max_length
        assert example.labels is not None
        assert example.offsets is not None
        first, last = example.labels.tolist()
        inside = [
            place
            for place, (left, right) in enumerate(example.offsets.tolist())
            if left >= 0 and right > start and left < start + len(text)
        ]
        if wanted is None or (first, last) == (0, 0):
            assert wanted is None or len(inside) < wanted[1] - wanted[0] + 1
        else:
            assert (inside[0], inside[-1]) == (first, last)
            assert len(inside) == last - first + 1 == wanted[1] - wanted[0] + 1


@given(TEXT, st.integers(10, 40))
@fast
def test_every_token_of_a_context_counts_in_exactly_one_window(
    tokenizer: Tokenizer, context: str, max_length: int
) -> None:
    row = {"id": "a", "question": "a b", "context": context}
    examples = encode([row], task("span"), tokenizer, max_length, 30).examples
    counted: list[tuple[int, int]] = []
    for example in examples:
        assert example.labels is None
        assert example.offsets is not None
        assert example.counts is not None
        assert not example.counts[: example.second].any()
        counted += [tuple(pair) for pair in example.offsets[example.counts].tolist()]
        assert example.ids[example.second - 1] == example.ids[-1] == SEP
    assert sorted(counted) == sorted(with_marks(context, tokenizer))


def test_a_long_question_leaves_room_for_the_context(tokenizer: Tokenizer) -> None:
    row = {"id": "a", "question": "word " * 200, "context": "the answer is word", "answers": []}
    for example in encode([row], task("span"), tokenizer, 24, 8).examples:
        assert len(example.ids) - example.second >= 8


def test_the_longer_text_is_cut_first() -> None:
    assert truncate_pair([1] * 2, [2] * 9, 6) == ([1] * 2, [2] * 4)
    assert truncate_pair([1] * 9, [2] * 2, 6) == ([1] * 4, [2] * 2)
    assert truncate_pair([1] * 9, [2] * 9, 7) == ([1] * 3, [2] * 4)


def test_a_tokenizer_without_special_tokens_is_refused() -> None:
    with pytest.raises(BertlineError, match=r"no token \[PAD\]"):
        encode([{"id": "a", "text": "x"}], task("classification", "x"), Tokenizer(models.WordPiece({"x": 0})))
