"""From a network's outputs to predictions, for each kind: plain values, ready for JSON.

| kind | a prediction |
|---|---|
| classification, pair | label, score (its probability), scores {label: probability}, of the 100 likeliest labels |
| regression | value |
| tagging | words, tags, scores (the probability of each tag), entities [{text, type, start, end}] (characters of the |
| | text, or of words joined by spaces) |
| span | answer (verbatim from the context, "" for none), start, end (characters), score (its probability) |
| | where questions without answer were learned: null_difference, best_answer (the best one, if there had to be one) |
| | on request: n_best, the best different answers, each with answer, start, end and score |

A decoder takes one batch at a time (`add`), in any order, and gives the predictions in the order of the rows
(`finish`). The order and size of the batches change the last digits that a network computes, which are cut off; they
decide only where a number lies on the edge of two (a regression's value, about one of 200 rows).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from bertline.evaluation.entities import entities
from bertline.evaluation.predictions import DIGITS, label_answers, rounded
from bertline.inference.settings import InferenceSettings
from bertline.tasks.batches import Batch, Features
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Prediction = dict[str, Any]
Floats = npt.NDArray[np.float64]

_CANDIDATES, _SPARE = 20, 4  # spans kept a window for n_best: so many as run_squad.py, and so many times n_best
_NEVER = 1e6  # the null difference of a context without a token: it has no answer, whatever the threshold


class Decoder(Protocol):
    """Collects outputs of batches, then gives one prediction a row."""

    def add(self, batch: Batch, outputs: Any) -> None:
        """Take what the network gave for a batch."""

    def finish(self) -> list[Prediction]:
        """The predictions, in the order of the rows."""


def make_decoder(
    task: TaskInfo,
    features: Features,
    rows: Sequence[Row],
    settings: InferenceSettings,
    *,
    decimals: int | None = None,
) -> Decoder:
    """The decoder of a task's kind for the examples of these rows.

    Args:
        task: of the model.
        features: the rows' examples.
        rows: what is answered.
        settings: of the model.
        decimals: of a regression's values; None: nine significant digits, all that there are.
    """
    if task.kind == "tagging":
        return TagDecoder(task, rows)
    if task.kind == "span":
        return SpanDecoder(features, rows, settings)
    if task.kind == "regression":
        return ValueDecoder(rows, decimals)
    return LabelDecoder(task, rows)


class LabelDecoder:
    """Classification and pair: the softmax of the logits."""

    def __init__(self, task: TaskInfo, rows: Sequence[Row]) -> None:
        self._labels = task.labels
        self._found: list[Prediction] = [{} for _ in rows]

    def add(self, batch: Batch, outputs: Tensor) -> None:
        """`outputs`: logits (batch, labels)."""
        answers = label_answers(self._labels, outputs.double().softmax(-1).cpu().numpy())
        for row, answer in zip(batch.rows.tolist(), answers, strict=True):
            self._found[row] = answer

    def finish(self) -> list[Prediction]:
        """The likeliest label of each row."""
        return self._found


class ValueDecoder:
    """Regression: the output itself."""

    def __init__(self, rows: Sequence[Row], decimals: int | None) -> None:
        self._values = np.zeros(len(rows))
        self._decimals = decimals

    def add(self, batch: Batch, outputs: Tensor) -> None:
        """`outputs`: (batch, 1)."""
        self._values[batch.rows] = outputs[:, 0].double().cpu().numpy()

    def finish(self) -> list[Prediction]:
        """The number of each row."""
        values = self._values.tolist()
        if self._decimals is None:
            return [{"value": rounded(value)} for value in values]
        return [{"value": round(value, self._decimals)} for value in values]


class TagDecoder:
    """Tagging: the likeliest tag at the first piece of each word."""

    def __init__(self, task: TaskInfo, rows: Sequence[Row]) -> None:
        self._labels = task.labels
        self._rows = rows
        self._tags = [["" for _ in row["words"]] for row in rows]
        self._scores = [[0.0 for _ in row["words"]] for row in rows]

    def add(self, batch: Batch, outputs: Tensor) -> None:
        """`outputs`: logits (batch, length, tags)."""
        assert batch.words is not None
        best, chances = outputs.argmax(-1).cpu().numpy(), outputs.double().softmax(-1).amax(-1).cpu().numpy()
        for example, place in np.argwhere(batch.words >= 0).tolist():
            word = int(batch.words[example, place])
            row = int(batch.rows[example])
            self._tags[row][word] = self._labels[int(best[example, place])]
            self._scores[row][word] = round(float(chances[example, place]), DIGITS)

    def finish(self) -> list[Prediction]:
        """The tag of each word of each row, and the entities that they make."""
        return [
            {"words": list(row["words"]), "tags": tags, "scores": scores, "entities": _located(row, tags)}
            for row, tags, scores in zip(self._rows, self._tags, self._scores, strict=True)
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
    The empty answer is [CLS] as first and last token; its score is the least over the windows: any may hold an answer.
    """

    def __init__(self, features: Features, rows: Sequence[Row], settings: InferenceSettings) -> None:
        self._rows = rows
        self._settings = settings
        self._examples = features.examples
        size, kept = len(features.examples), _candidates(settings.n_best)
        self._all, self._empty = (np.full(size, -np.inf) for _ in range(2))
        self._best = np.full((size, kept), -np.inf)
        self._spans = np.zeros((size, kept, 2), dtype=np.int64)

    def add(self, batch: Batch, outputs: tuple[Tensor, Tensor]) -> None:
        """`outputs`: logits of first and last token, each (batch, length)."""
        assert batch.offsets is not None
        start, end = (logits.double().cpu() for logits in outputs)
        self._empty[batch.examples] = (start[:, 0] + end[:, 0]).numpy()
        spans = self._span_scores(batch, start, end)
        scores = spans.flatten(1)
        kept = min(self._best.shape[1], scores.shape[1])
        best, where = scores.max(1, keepdim=True) if kept == 1 else scores.topk(kept)
        self._best[batch.examples, :kept] = best.numpy()
        self._all[batch.examples] = scores.logsumexp(1).numpy()
        first, further = np.divmod(where.numpy(), spans.shape[2])
        last = np.minimum(first + further, start.shape[1] - 1)  # beyond the end is no answer: its score is -inf
        each = np.arange(len(first))[:, None]
        ends = np.stack((batch.offsets[each, first, 0], batch.offsets[each, last, 1]), axis=2)
        self._spans[batch.examples, :kept] = ends

    def _span_scores(self, batch: Batch, start: Tensor, end: Tensor) -> Tensor:
        """Sum of logits of every first token and every last one so many tokens further; -inf where that is no answer.

        Returns:
            (batch, length, most tokens of an answer): far fewer pairs than length times length.
        """
        assert batch.offsets is not None and batch.counts is not None
        tokens = min(self._settings.max_answer_tokens, start.shape[1])
        start = start.masked_fill(~torch.from_numpy(batch.counts), -torch.inf)
        end = end.masked_fill(torch.from_numpy(batch.offsets[:, :, 0] < 0), -torch.inf)
        last = functional.pad(end, (0, tokens - 1), value=-torch.inf).unfold(1, tokens, 1)
        return start[:, :, None] + last

    def finish(self) -> list[Prediction]:
        """The best answer of each row."""
        examples: list[list[int]] = [[] for _ in self._rows]
        for number, example in enumerate(self._examples):
            examples[example.row].append(number)
        return [self._answer(row["context"], some) for row, some in zip(self._rows, examples, strict=True)]

    def _answer(self, context: str, examples: Sequence[int]) -> Prediction:
        # Sorted stably: of equals the first window goes first.
        places = np.argsort(-self._best[examples].ravel(), kind="stable")
        scores = self._best[examples].ravel()[places]
        spans = self._spans[examples].reshape(-1, 2)[places]
        total, empty = np.logaddexp.reduce(self._all[examples]), float(self._empty[examples].min())
        if self._settings.may_be_unanswerable:
            total = np.logaddexp(total, empty)
        answers = [
            _span_answer(context, start, end, score - total)
            for score, (start, end) in zip(scores.tolist(), spans.tolist(), strict=True)
            if score > -np.inf
        ]
        none = _span_answer(context, 0, 0, empty - total if self._settings.may_be_unanswerable else -np.inf)
        best = answers[0] if answers else none  # a context without a token has no span
        if not self._settings.may_be_unanswerable:
            return best | self._list(answers)
        difference = round(empty - float(scores[0]), DIGITS) if answers else _NEVER
        chosen = none if difference > self._settings.null_threshold else best
        # The answer itself goes first, which the threshold and not the probability alone decides.
        ranked = sorted([*answers, none], key=lambda answer: (answer is not chosen, -float(answer["score"])))
        return chosen | {"null_difference": difference, "best_answer": best["answer"]} | self._list(ranked)

    def _list(self, answers: Sequence[Prediction]) -> Prediction:
        """n_best: of equal texts the likeliest."""
        if not self._settings.n_best:
            return {}
        different: dict[str, Prediction] = {}
        for answer in answers:
            different.setdefault(answer["answer"], answer)
        return {"n_best": list(different.values())[: self._settings.n_best]}


def _candidates(n_best: int) -> int:
    """How many spans of a window are kept: more than are listed, because those of equal text are one answer."""
    return max(_CANDIDATES, _SPARE * n_best) if n_best else 1


def _span_answer(context: str, start: int, end: int, log_probability: float) -> Prediction:
    score = round(float(np.exp(log_probability)), DIGITS)
    return {"answer": context[start:end], "start": start, "end": end, "score": score}
