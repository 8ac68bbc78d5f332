"""Examples to batches: padding that hides nothing, and an order that (seed, epoch) alone decides."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bertline.tasks.batches import IGNORED, Example, Features
from bertline.tasks.features import encode_rows
from bertline.tasks.schema import TaskInfo


def features_of(lengths: list[int]) -> Features:
    examples = [Example(row, np.arange(5, 5 + length), length) for row, length in enumerate(lengths)]
    return Features("classification", examples)


@given(st.lists(st.integers(2, 64), min_size=1, max_size=200), st.integers(1, 17), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=40)
def test_an_epoch_takes_every_example_once_in_an_order_that_repeats(
    lengths: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    features = features_of(lengths)
    batches = [batch.tolist() for batch in features.training_batches(batch_size, seed=seed, epoch=epoch)]
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert len(batches) == features.steps(batch_size)
    assert all(len(batch) <= batch_size for batch in batches)
    again = [batch.tolist() for batch in features.training_batches(batch_size, seed=seed, epoch=epoch)]
    assert batches == again


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    features = features_of(list(range(2, 64)) * 4)
    orders = {
        tuple(index for batch in features.training_batches(8, seed=seed, epoch=epoch) for index in batch.tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_batch_is_a_random_draw_whatever_the_lengths_and_has_its_longest_first() -> None:
    random = np.random.Generator(np.random.Philox(key=1))
    features = features_of(random.integers(2, 65, size=2000).tolist())
    batches = list(features.training_batches(20, seed=0, epoch=0))
    other = features_of([9] * 2000)
    assert [set(batch.tolist()) for batch in batches] == [
        set(batch.tolist()) for batch in other.training_batches(20, seed=0, epoch=0)
    ]
    lengths = [features.lengths[batch] for batch in batches]
    assert all((np.diff(each) <= 0).all() for each in lengths)
    # Means of 20 drawn at random deviate by 18.2 / sqrt(20); were like lengths together, by nearly 18.
    assert 3.2 < np.std([each.mean() for each in lengths]) < 5.0


def test_evaluation_takes_every_example_once_longest_first() -> None:
    features = features_of([3, 60, 20, 41, 9])
    lengths = [int(features.lengths[index]) for batch in features.evaluation_batches(2) for index in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert sorted(int(index) for batch in features.evaluation_batches(2) for index in batch) == [0, 1, 2, 3, 4]


def test_long_examples_come_in_smaller_batches_where_tokens_are_limited() -> None:
    features = features_of([3, 60, 20, 41, 9, 10, 5])
    sizes = [len(indices) for indices in features.evaluation_batches(3, most_tokens=50)]
    assert sizes == [1, 1, 2, 3]  # 60; 41; 20 and 10; 9, 5 and 3


def test_padding_is_masked_and_in_segment_zero() -> None:
    examples = [Example(0, np.array([2, 9, 3, 9, 9, 3]), 3), Example(1, np.array([2, 9, 3]), 3)]
    batch = Features("pair", examples).batch([0, 1])
    assert batch.ids.shape == batch.segments.shape == batch.mask.shape == (2, 6)
    assert batch.ids[1].tolist() == [2, 9, 3, 0, 0, 0]
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1, 1], [0] * 6]
    assert batch.mask.sum(axis=1).tolist() == [6, 3]
    assert batch.labels is None


def test_targets_of_tokens_are_padded_with_what_the_loss_ignores(tokenizer: Tokenizer) -> None:
    rows = [{"id": "a", "words": ["ab", "c"], "tags": ["X", "O"]}, {"id": "b", "words": ["d"], "tags": ["O"]}]
    task = TaskInfo("t", "tagging", ("O", "X"), "", (), False, {}, "")
    batch = encode_rows(rows, task, tokenizer, max_length=16, stride=4).batch([0, 1])
    assert batch.labels is not None
    assert batch.words is not None
    assert batch.labels[0].tolist() == [IGNORED, 1, IGNORED, 0, IGNORED]
    assert batch.words[1].tolist() == [-1, 0, -1, -1, -1]


def test_targets_of_spans_and_offsets_are_stacked(tokenizer: Tokenizer) -> None:
    rows = [{"id": "a", "question": "q", "context": "a bc", "answers": [{"text": "bc", "start": 2}]}]
    task = TaskInfo("t", "span", (), "", (), False, {}, "")
    batch = encode_rows(rows, task, tokenizer, max_length=16, stride=4).batch([0])
    assert batch.labels is not None
    assert batch.offsets is not None
    assert batch.counts is not None
    assert batch.labels.tolist() == [[4, 5]]
    assert batch.offsets[0].tolist() == [[-1, -1]] * 3 + [[0, 1], [2, 3], [3, 4]] + [[-1, -1]]
    assert batch.counts[0].tolist() == [False] * 3 + [True] * 3 + [False]
