"""Examples of a task, and the batches they are put into, in a fixed order.

Made by `features.encode_rows`; taken by the trainer and the predictor. The order of an epoch is a function of (seed,
epoch) alone. Light: NumPy only.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bertline.base.config import Kind

Ints = npt.NDArray[np.int64]

IGNORED = -100
"""Target of tokens that have none (the default ignore_index of torch's cross-entropy)."""
CPU_TOKENS = 1024
"""Tokens of an evaluation batch on a CPU, at most: more are no faster, take more memory, and pad short texts more."""


@dataclass(frozen=True)
class Example:
    """One token sequence.

    Attributes:
        row: index of the row it comes from.
        ids: token ids, special tokens included, (length,).
        second: where segment 1 begins; the length if there is none.
        labels: the target. Classification and pair: class number, (1,). Regression: the value, (1,). Tagging: class
            numbers, (length,), IGNORED where a token is no first piece of a word that counts here. Span: first and
            last token of the answer, (2,), (0, 0) = [CLS] if the answer is not in this example. None: row without.
        words: tagging: index of the word whose first piece stands here and counts here, else -1, (length,).
        offsets: span: first character and one past the last in the context, (length, 2); -1 outside the context.
        counts: span: whether this example shows most around the token, (length,).
    """

    row: int
    ids: Ints
    second: int
    labels: npt.NDArray[Any] | None = None
    words: Ints | None = None
    offsets: Ints | None = None
    counts: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Batch:
    """Examples padded to one length; arrays a kind does not have are None.

    Attributes:
        examples: indices into Features.examples, (batch,).
        rows: index of the row of each example, (batch,).
        ids: int64 (batch, length), padded with [PAD].
        segments: int64 (batch, length).
        mask: bool (batch, length), True = real token.
        labels: classification, pair: int64 (batch,); regression: float32 (batch,); tagging: int64 (batch, length);
            span: int64 (batch, 2), first and last token. None if the rows have no labels.
        words: tagging: int64 (batch, length), -1 where no word is to be predicted.
        offsets: span: int64 (batch, length, 2), characters of the context, -1 outside it.
        counts: span: bool (batch, length), False outside the context.
    """

    examples: Ints
    rows: Ints
    ids: Ints
    segments: Ints
    mask: npt.NDArray[np.bool_]
    labels: npt.NDArray[Any] | None = None
    words: Ints | None = None
    offsets: Ints | None = None
    counts: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Features:
    """The examples of some rows, and the batches that are made of them."""

    kind: Kind
    examples: Sequence[Example]
    pad: int = 0
    lengths: Ints = field(init=False)

    def __post_init__(self) -> None:
        lengths = [len(example.ids) for example in self.examples]
        object.__setattr__(self, "lengths", np.array(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.examples)

    def steps(self, batch_size: int) -> int:
        """Batches an epoch."""
        return -(-len(self) // batch_size)

    def training_batches(self, batch_size: int, *, seed: int, epoch: int) -> Iterator[Ints]:
        """Indices of the batches of one epoch: every example once, in random order, the longest of a batch first.

        The order depends on (seed, epoch) and on nothing else. A batch is not made of like lengths: what a text says
        and how long it is are not independent, and such batches cost scores (benchmarks/NOTES.md).
        """
        random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
        order = random.permutation(len(self))
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            yield batch[np.argsort(-self.lengths[batch], kind="stable")]

    def evaluation_batches(self, batch_size: int, most_tokens: int = sys.maxsize) -> Iterator[Ints]:
        """Indices of batches over all examples, longest first (memory runs out at once or never).

        A batch has `batch_size` examples at most, and `most_tokens` tokens unless one example alone has more.
        """
        order = np.argsort(-self.lengths, kind="stable")
        first = 0
        while first < len(order):
            fitting = most_tokens // int(self.lengths[order[first]])
            size = max(1, min(batch_size, fitting))
            yield order[first : first + size]
            first += size

    def batch(self, indices: Sequence[int] | Ints) -> Batch:
        """Pad the chosen examples to their longest."""
        chosen = [self.examples[index] for index in indices]
        length = int(self.lengths[np.asarray(indices)].max())
        ids = _stack([example.ids for example in chosen], length, self.pad)
        segments = np.zeros_like(ids)
        mask = np.zeros(ids.shape, dtype=np.bool_)
        for place, example in enumerate(chosen):
            segments[place, example.second : len(example.ids)] = 1
            mask[place, : len(example.ids)] = True
        return Batch(
            examples=np.asarray(indices, dtype=np.int64),
            rows=np.array([example.row for example in chosen], dtype=np.int64),
            ids=ids,
            segments=segments,
            mask=mask,
            labels=self._labels(chosen, length),
            words=_stack_all([example.words for example in chosen], length, -1),
            offsets=_stack_all([example.offsets for example in chosen], length, -1),
            counts=_stack_all([example.counts for example in chosen], length, False),
        )

    def _labels(self, chosen: Sequence[Example], length: int) -> npt.NDArray[Any] | None:
        labels = [example.labels for example in chosen if example.labels is not None]
        if len(labels) < len(chosen):
            return None
        if self.kind == "tagging":
            return _stack(labels, length, IGNORED)
        return np.stack(labels) if self.kind == "span" else np.concatenate(labels)


def _stack(arrays: Sequence[npt.NDArray[Any]], length: int, padding: Any) -> npt.NDArray[Any]:
    stacked = np.full((len(arrays), length, *arrays[0].shape[1:]), padding, dtype=arrays[0].dtype)
    for place, array in enumerate(arrays):
        stacked[place, : len(array)] = array
    return stacked


def _stack_all(arrays: Sequence[npt.NDArray[Any] | None], length: int, padding: Any) -> npt.NDArray[Any] | None:
    present = [array for array in arrays if array is not None]
    return _stack(present, length, padding) if present else None
