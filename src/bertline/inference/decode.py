"""From a network's outputs to predictions, for each kind: plain values, ready for JSON.

| kind | a prediction |
|---|---|
| classification, pair | label, score (its probability), scores {label: probability} |
| regression | value |
| tagging | words, tags, entities [{text, type, start, end}] (characters of the text, or of words joined by spaces) |
| span | answer (verbatim from the context, "" for none), start, end (characters), score (its probability) |

A decoder takes one batch at a time (`add`), in any order, and gives the predictions in the order of the rows
(`finish`): the order and size of the batches decide nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bertline.evaluation.entities import entities
from bertline.inference.settings import InferenceSettings
from bertline.tasks.batches import Batch, Features
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Prediction = dict[str, Any]
Floats = npt.NDArray[np.float64]

_DIGITS = 6  # of scores: further ones change with the size of the batch


class Decoder(Protocol):
    """Collects outputs of batches, then gives one prediction a row."""

    def add(self, batch: Batch, outputs: Any) -> None:
        """Take what the network gave for a batch."""

    def finish(self) -> list[Prediction]:
        """The predictions, in the order of the rows."""


def make_decoder(task: TaskInfo, features: Features, rows: Sequence[Row], settings: InferenceSettings) -> Decoder:
    """The decoder of a task's kind for the examples of these rows."""
    if task.kind == "tagging":
        return TagDecoder(task, rows)
    if task.kind == "span":
        return SpanDecoder(features, rows, settings)
    if task.kind == "regression":
        return ValueDecoder(rows)
    return LabelDecoder(task, rows)


class LabelDecoder:
    """Classification and pair: the softmax of the logits."""

    def __init__(self, task: TaskInfo, rows: Sequence[Row]) -> None:
        self._labels = task.labels
        self._scores = np.zeros((len(rows), len(task.labels)))

    def add(self, batch: Batch, outputs: Tensor) -> None:
        """`outputs`: logits (batch, labels)."""
        self._scores[batch.rows] = outputs.double().softmax(-1).cpu().numpy()

    def finish(self) -> list[Prediction]:
        """The likeliest label of each row."""
        best = self._scores.argmax(axis=1)
        return [
            {
                "label": self._labels[place],
                "score": round(float(scores[place]), _DIGITS),
                "scores": {label: round(float(p), _DIGITS) for label, p in zip(self._labels, scores, strict=True)},
            }
            for place, scores in zip(best.tolist(), self._scores, strict=True)
        ]


class ValueDecoder:
    """Regression: the output itself."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._values = np.zeros(len(rows))

    def add(self, batch: Batch, outputs: Tensor) -> None:
        """`outputs`: (batch, 1)."""
        self._values[batch.rows] = outputs[:, 0].double().cpu().numpy()

    def finish(self) -> list[Prediction]:
        """The number of each row."""
        return [{"value": round(value, _DIGITS)} for value in self._values.tolist()]


class TagDecoder:
    """Tagging: the likeliest tag at the first piece of each word."""

    def __init__(self, task: TaskInfo, rows: Sequence[Row]) -> None:
        self._labels = task.labels
        self._rows = rows
        self._tags = [["" for _ in row["words"]] for row in rows]

    def add(self, batch: Batch, outputs: Tensor) -> None:
        """`outputs`: logits (batch, length, tags)."""
        assert batch.words is not None
        best = outputs.argmax(-1).cpu().numpy()
        for example, place in np.argwhere(batch.words >= 0).tolist():
            word = int(batch.words[example, place])
            self._tags[int(batch.rows[example])][word] = self._labels[int(best[example, place])]

    def finish(self) -> list[Prediction]:
        """The tag of each word of each row, and the entities that they make."""
        return [
            {"words": list(row["words"]), "tags": tags, "entities": _located(row, tags)}
            for row, tags in zip(self._rows, self._tags, strict=True)
        ]


def _located(row: Row, tags: Sequence[str]) -> list[dict[str, Any]]:
    words = row["words"]
    text, spans = row.get("text"), row.get("spans")
    if text is None or spans is None:
        text, ends = " ".join(words), np.cumsum([len(word) + 1 for word in words]) - 1
        spans = [(int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]
    found = []
    for entity in entities(tags):
        start, end = spans[entity.start][0], spans[entity.end - 1][1]
        found.append({"text": text[start:end], "type": entity.type, "start": start, "end": end})
    return found


class SpanDecoder:
    """Span: the best pair of first and last token over all windows of a context, as in BERT's run_squad.py.

    A window answers only with spans that start where it shows most context (`counts`). Its probability is the share of
    the span among all possible ones of all windows, the empty answer included where rows without answer were learned.
    """

    def __init__(self, features: Features, rows: Sequence[Row], settings: InferenceSettings) -> None:
        self._rows = rows
        self._settings = settings
        self._examples = features.examples
        size = len(features.examples)
        self._best, self._all, self._empty = (np.full(size, -np.inf) for _ in range(3))
        self._spans = np.zeros((size, 2), dtype=np.int64)

    def add(self, batch: Batch, outputs: tuple[Tensor, Tensor]) -> None:
        """`outputs`: logits of first and last token, each (batch, length)."""
        assert batch.offsets is not None and batch.counts is not None
        start, end = (logits.double().cpu() for logits in outputs)
        self._empty[batch.examples] = (start[:, 0] + end[:, 0]).numpy()
        scores = self._span_scores(batch, start, end)
        best, where = scores.flatten(1).max(1)
        self._best[batch.examples] = best.numpy()
        self._all[batch.examples] = scores.flatten(1).logsumexp(1).numpy()
        first, last = np.divmod(where.numpy(), start.shape[1])
        each = np.arange(len(first))
        self._spans[batch.examples] = np.stack((batch.offsets[each, first, 0], batch.offsets[each, last, 1]), axis=1)

    def _span_scores(self, batch: Batch, start: Tensor, end: Tensor) -> Tensor:
        """Sum of logits of every (first, last) token, (batch, length, length); -inf where that is no answer."""
        assert batch.offsets is not None and batch.counts is not None
        length = start.shape[1]
        in_context = torch.from_numpy(batch.offsets[:, :, 0] >= 0)
        ordered = torch.ones(length, length, dtype=torch.bool).triu()
        possible = ordered & ~ordered.triu(self._settings.max_answer_tokens)
        possible = possible & torch.from_numpy(batch.counts)[:, :, None] & in_context[:, None, :]
        return (start[:, :, None] + end[:, None, :]).masked_fill(~possible, -torch.inf)

    def finish(self) -> list[Prediction]:
        """The best answer of each row."""
        examples: list[list[int]] = [[] for _ in self._rows]
        for number, example in enumerate(self._examples):
            examples[example.row].append(number)
        return [self._answer(row["context"], some) for row, some in zip(self._rows, examples, strict=True)]

    def _answer(self, context: str, examples: Sequence[int]) -> Prediction:
        chosen = max(examples, key=lambda example: self._best[example])  # of equals the first window
        best, total = self._best[chosen], np.logaddexp.reduce(self._all[examples])
        start, end = self._spans[chosen].tolist()
        if self._settings.may_be_unanswerable:
            empty = self._empty[examples].min()
            total = np.logaddexp(total, empty)
            if empty >= best:
                best, start, end = empty, 0, 0
        if best == -np.inf:  # a context without a token
            return {"answer": "", "start": 0, "end": 0, "score": 0.0}
        score = round(float(np.exp(best - total)), _DIGITS)
        return {"answer": context[start:end], "start": start, "end": end, "score": score}
