"""From logits to answers: the best spans, the scores told, the places of entities."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.inference.decode import make_decoder
from bertline.inference.inputs import as_rows
from bertline.inference.settings import InferenceSettings
from bertline.tasks.batches import Features
from bertline.tasks.features import encode_rows
from bertline.tokens.tokenizer import SPECIAL_TOKENS, build_tokenizer
from toy_tasks import FILLERS, VOCAB, toy_task

TASK, _ = toy_task("span")
TOKENIZER = build_tokenizer(VOCAB, lowercase=True)
LENGTH, STRIDE = 12, 4


def span_features(words: int) -> tuple[list[dict[str, str]], Features]:
    """A short context and one of `words` words, in windows of 6 tokens."""
    contexts = ["the cat", " ".join(FILLERS[place % len(FILLERS)] for place in range(words))]
    rows = [{"question": "which animal ?", "context": context} for context in contexts]
    return rows, encode_rows(rows, TASK, TOKENIZER, max_length=LENGTH, stride=STRIDE)


def random_logits(features: Features, seed: int) -> list[np.ndarray]:
    """Of each window, its start and end logits."""
    random = np.random.Generator(np.random.Philox(seed))
    return [random.normal(0, 3, (2, LENGTH)).astype(np.float32) for _ in features.examples]


def by_hand(
    features: Features, row: int, logits: list[np.ndarray], most: int, unanswerable: bool
) -> tuple[tuple[int, int], float]:
    """The best (first, last character) of a row and its probability, by trying every span."""
    scores: dict[tuple[int, int, int], float] = {}
    empty = math.inf
    for number, (example, (start, end)) in enumerate(zip(features.examples, logits, strict=True)):
        if example.row != row:
            continue
        assert example.offsets is not None and example.counts is not None
        empty = min(empty, start[0] + end[0])
        for first in range(len(example.ids)):
            for last in range(first, min(first + most, len(example.ids))):
                if example.counts[first] and example.offsets[last, 0] >= 0:
                    scores[number, first, last] = start[first] + end[last]
    best = max(scores, key=scores.__getitem__)
    answer = (int(features.examples[best[0]].offsets[best[1], 0]), int(features.examples[best[0]].offsets[best[2], 1]))
    top, total = scores[best], sum(math.exp(score) for score in scores.values())
    if unanswerable:
        total += math.exp(empty)
        if empty >= top:
            answer, top = (0, 0), empty
    return answer, math.exp(top) / total


def decode(rows: list[dict[str, str]], features: Features, inference: InferenceSettings, seed: int) -> list[dict]:
    """Predictions from random logits of the features, decoded in batches of 3."""
    logits = random_logits(features, seed)
    decoder = make_decoder(TASK, features, rows, inference)
    for indices in features.evaluation_batches(3):
        batch = features.batch(indices)
        length = batch.ids.shape[1]
        start, end = (np.stack([logits[index][side][:length] for index in indices]) for side in (0, 1))
        decoder.add(batch, (torch.from_numpy(start), torch.from_numpy(end)))
    return decoder.finish()


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(2, 30), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_n_best_answers_are_different_verbatim_and_ranked(
    words: int, n_best: int, unanswerable: bool, seed: int
) -> None:
    rows, features = span_features(words)
    inference = InferenceSettings(LENGTH, STRIDE, max_answer_tokens=4, may_be_unanswerable=unanswerable)
    one = decode(rows, features, inference, seed)
    for row, single, many in zip(
        rows, one, decode(rows, features, replace(inference, n_best=n_best), seed), strict=True
    ):
        listed = many.pop("n_best")
        assert many == single
        assert 1 <= len(listed) <= n_best
        assert len({answer["answer"] for answer in listed}) == len(listed)
        further = [answer["score"] for answer in listed[not unanswerable :]]
        assert further[unanswerable:] == sorted(further[unanswerable:], reverse=True)
        assert all(row["context"][answer["start"] : answer["end"]] == answer["answer"] for answer in listed)
        assert sum(answer["score"] for answer in listed) <= 1 + 1e-5
        if not unanswerable:
            assert listed[0] == single


def test_as_many_answers_are_listed_as_are_asked_for_where_there_are_so_many() -> None:
    rows = [{"question": "which animal ?", "context": "b c d e f g h i j k l m"}]
    features = encode_rows(rows, TASK, TOKENIZER, max_length=24, stride=STRIDE)
    batch = features.batch([0])
    inference = InferenceSettings(24, STRIDE, max_answer_tokens=4, n_best=35)
    decoder = make_decoder(TASK, features, rows, inference)
    decoder.add(batch, (torch.randn(batch.ids.shape), torch.randn(batch.ids.shape)))
    [prediction] = decoder.finish()
    assert len({answer["answer"] for answer in prediction["n_best"]}) == 35  # of 12 + 11 + 10 + 9 spans


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_text_that_stands_there_several_times_takes_the_place_of_no_other_answer(seed: int) -> None:
    rows = [{"question": "which animal ?", "context": "cat cat cat red dog"}]
    features = encode_rows(rows, TASK, TOKENIZER, max_length=LENGTH, stride=STRIDE)
    inference = InferenceSettings(LENGTH, STRIDE, max_answer_tokens=1)
    [single], [many] = (decode(rows, features, replace(inference, n_best=n_best), seed) for n_best in (0, 3))
    assert {answer["answer"] for answer in many["n_best"]} == {"cat", "red", "dog"}
    assert many["n_best"][0] == single


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_threshold_on_the_null_difference_decides_whether_there_is_an_answer(words: int, seed: int) -> None:
    rows, features = span_features(words)
    inference = InferenceSettings(LENGTH, STRIDE, may_be_unanswerable=True)
    for place, prediction in enumerate(decode(rows, features, inference, seed)):
        difference, best = prediction["null_difference"], prediction["best_answer"]
        assert prediction["answer"] == ("" if difference > 0 else best)
        assert best in rows[place]["context"]
        for threshold, expected in ((difference - 0.01, ""), (difference + 0.01, best)):
            other = decode(rows, features, replace(inference, null_threshold=threshold), seed)[place]
            assert other["answer"] == expected
            assert other["null_difference"] == difference


@settings(max_examples=30)
@given(st.integers(1, 40), st.floats(-20, 20), st.integers(0, 2**32 - 1))
def test_the_first_of_the_n_best_is_the_answer_whatever_the_threshold(words: int, threshold: float, seed: int) -> None:
    rows, features = span_features(words)
    inference = InferenceSettings(LENGTH, STRIDE, may_be_unanswerable=True, null_threshold=threshold, n_best=3)
    for prediction in decode(rows, features, inference, seed):
        assert prediction["n_best"][0]["answer"] == prediction["answer"]


@pytest.mark.parametrize("answer", ["दिल्ली", "हिन्दू", "Jose\u0301", "محمدٌ", "cat"])
def test_an_answer_keeps_the_marks_of_its_last_letter(answer: str) -> None:
    letters = sorted({character for character in answer.lower() if character.isalpha()})
    vocabulary = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters), "in"]
    tokenizer = build_tokenizer(vocabulary, lowercase=True)
    rows = [{"question": "in", "context": f"in {answer} in", "answers": [{"text": answer, "start": 3}]}]
    features = encode_rows(rows, TASK, tokenizer, max_length=30, stride=4)
    batch = features.batch(np.array([0]))
    assert batch.labels is not None
    logits = [torch.full(batch.ids.shape, -9.0).index_fill(1, torch.tensor([place]), 9.0) for place in batch.labels[0]]
    decoder = make_decoder(TASK, features, rows, InferenceSettings(30, 4))
    decoder.add(batch, tuple(logits))
    assert decoder.finish()[0]["answer"] == answer


def test_a_prediction_without_unanswerable_rows_says_nothing_of_them() -> None:
    rows, features = span_features(5)
    assert set(decode(rows, features, InferenceSettings(LENGTH, STRIDE), 0)[0]) == {"answer", "start", "end", "score"}


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 8), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_answer_is_the_best_of_all_spans_of_all_windows(
    words: int, most: int, unanswerable: bool, seed: int
) -> None:
    rows, features = span_features(words)
    inference = InferenceSettings(LENGTH, STRIDE, max_answer_tokens=most, may_be_unanswerable=unanswerable)
    logits = random_logits(features, seed)
    for row, prediction in enumerate(decode(rows, features, inference, seed)):
        (start_at, end_at), probability = by_hand(features, row, logits, most, unanswerable)
        assert (prediction["start"], prediction["end"]) == (start_at, end_at)
        assert prediction["answer"] == rows[row]["context"][start_at:end_at]
        assert prediction["score"] == pytest.approx(probability, abs=2e-6)


def test_a_long_context_has_several_windows_here() -> None:
    _, features = span_features(40)
    assert len(features) > 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [("ann", "PER", 5, 8), ("new york", "LOC", 14, 22)]),
        (" very ann\tnear  new\nyork.", [("ann", "PER", 6, 9), ("new\nyork", "LOC", 16, 24)]),
    ],
    ids=["words", "text"],
)
def test_entities_stand_where_their_characters_say(text: str | None, expected: list[tuple[str, str, int, int]]) -> None:
    task, _ = toy_task("tagging")
    words = ["very", "ann", "near", "new", "york"]
    rows = as_rows(task, [{"words": words} if text is None else text], punctuation_words=False)
    features = encode_rows(rows, task, TOKENIZER, max_length=LENGTH, stride=STRIDE)
    batch = features.batch([0])
    tags = ["O", "B-PER", "O", "B-LOC", "I-LOC"]
    logits = torch.zeros(1, batch.ids.shape[1], len(task.labels))
    for place, tag in enumerate(tags, start=1):  # after [CLS]
        logits[0, place, task.labels.index(tag)] = 1
    decoder = make_decoder(task, features, rows, InferenceSettings(LENGTH, STRIDE))
    decoder.add(batch, logits)
    [prediction] = decoder.finish()
    assert prediction["tags"] == tags
    assert [tuple(entity.values()) for entity in prediction["entities"]] == expected


def test_the_last_digits_of_a_score_are_cut_off() -> None:
    task, rows = toy_task("classification")
    features = encode_rows(rows["test"][:1], task, TOKENIZER, max_length=LENGTH, stride=STRIDE)
    decoder = make_decoder(replace(task, labels=("a", "b")), features, rows["test"][:1], InferenceSettings(12, 4))
    decoder.add(features.batch([0]), torch.tensor([[0.1, 0.2]]))
    [prediction] = decoder.finish()
    assert prediction["scores"] == {"a": 0.475021, "b": 0.524979}
    assert prediction["score"] == 0.524979


@pytest.mark.parametrize("count", [99, 100, 101, 3000])
@pytest.mark.parametrize("spread", [0, 3], ids=["all alike", "all different"])
def test_of_thousands_of_labels_the_likeliest_keep_their_probabilities(count: int, spread: int) -> None:
    task, rows = toy_task("classification")
    labels = tuple(f"{number:04}" for number in range(count))
    logits = np.random.Generator(np.random.Philox(3)).normal(0, 1, (1, count)) * spread
    features = encode_rows(rows["test"][:1], task, TOKENIZER, max_length=LENGTH, stride=STRIDE)
    decoder = make_decoder(replace(task, labels=labels), features, rows["test"][:1], InferenceSettings(12, 4))
    decoder.add(features.batch([0]), torch.from_numpy(logits))
    [prediction] = decoder.finish()
    chances = torch.from_numpy(logits)[0].softmax(-1).numpy()
    assert len(prediction["scores"]) == min(count, 100)
    assert list(prediction["scores"]) == sorted(prediction["scores"])
    assert prediction["score"] == prediction["scores"][prediction["label"]] == max(prediction["scores"].values())
    if spread:
        likeliest = np.argsort(-chances)[:100]
        assert prediction["scores"] == pytest.approx({labels[at]: chances[at] for at in likeliest}, abs=1e-6)


def test_numbers_of_any_size_keep_their_digits() -> None:
    task, rows = toy_task("regression")
    features = encode_rows(rows["test"][:2], task, TOKENIZER, max_length=LENGTH, stride=STRIDE)
    decoder = make_decoder(task, features, rows["test"][:2], InferenceSettings(LENGTH, STRIDE))
    decoder.add(features.batch([0, 1]), torch.tensor([[1.234567e-9], [-7_654_321.0]]))
    assert [prediction["value"] for prediction in decoder.finish()] == pytest.approx([1.234567e-9, -7_654_321.0], 1e-7)
