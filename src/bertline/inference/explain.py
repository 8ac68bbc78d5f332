"""Which words an answer rests on: each word in turn behind [MASK], and how much the answer loses by it.

    explain(predictor, "A dull film with one good song")
    # Explanation("negative", 0.93, (Weight("dull", "text", 2, 6, without=0.41, weight=2.95), …))

This is erasure (Li, Monroe & Jurafsky 2016, https://arxiv.org/abs/1612.08220): no gradients, nothing learned, the same
for every model; a forward pass a word. Two words of which either is enough hide one another.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bertline.base.errors import BertlineError
from bertline.inference.fill_mask import MASK
from bertline.inference.inputs import Input, Row, as_rows, input_columns, word_spans
from bertline.inference.predictor import Predictor, outputs_of
from bertline.tasks.features import encode_rows, truncate_pair
from bertline.tasks.schema import TaskInfo

_DIGITS = 6  # beyond them a row's neighbours in its batch show
_KINDS = ("classification", "pair", "regression")


@dataclass(frozen=True)
class Weight:
    """What a word is worth to the answer.

    Attributes:
        word: as it stands in the text.
        column: "text" or "text_pair".
        start, end: its characters there.
        without: the answer's probability, or the value (regression), where the word is behind [MASK].
        weight: how much the log-odds of the answer (nats), or the value, fall by that; negative: the word speaks
            against it.
    """

    word: str
    column: str
    start: int
    end: int
    without: float
    weight: float


@dataclass(frozen=True)
class Explanation:
    """An answer and the words of the input that the model has read, in their order.

    Attributes:
        label: the answer; None for regression.
        score: its probability, or the value (regression).
        words: with their weights.
    """

    label: str | None
    score: float
    words: tuple[Weight, ...]


def explain(predictor: Predictor, given: Input) -> Explanation:
    """Weigh every word of an input.

    Args:
        predictor: of a classification, pair or regression task.
        given: see inputs.py. Of a long text, words that the model does not read are left out.

    Raises:
        BertlineError: the task is of another kind, or the input has not what it needs.
    """
    task = predictor.task
    check_explained(task)
    [row] = as_rows(task, [given])
    places = list(_words(predictor, row))
    variants = [row, *({**row, column: _masked(row[column], span)} for column, span in places)]
    outputs = _outputs(predictor, variants)
    answer = None if task.kind == "regression" else int(outputs[0].argmax())
    scores, evidence = (outputs[:, 0], outputs[:, 0]) if answer is None else _of_label(outputs, answer)
    words = tuple(
        Weight(
            row[column][start:end], column, start, end, _rounded(scores[place]), _rounded(evidence[0] - evidence[place])
        )
        for place, (column, (start, end)) in enumerate(places, start=1)
    )
    return Explanation(None if answer is None else task.labels[answer], _rounded(scores[0]), words)


def check_explained(task: TaskInfo) -> None:
    """Raise a BertlineError unless the task's answers are of a kind that is explained."""
    if task.kind not in _KINDS:
        fix = f"Ask a model of kind {', '.join(_KINDS[:-1])} or {_KINDS[-1]}"
        raise BertlineError(f"answers of kind {task.kind} are not explained", where=f"task {task.name}", fix=fix)


def _words(predictor: Predictor, row: Row) -> Iterator[tuple[str, tuple[int, int]]]:
    """The words of each text whose first piece is among those that the example has room for."""
    columns, length = input_columns(predictor.task.kind, predictor.task.pair), predictor.settings.max_length
    ends = [
        [end for _, end in predictor.tokenizer.encode(row[column], add_special_tokens=False).offsets[:length]]
        for column in columns
    ]
    room = length - 1 - len(columns)  # beside [CLS], and a [SEP] behind each text
    read = truncate_pair(ends[0], ends[1], room) if len(ends) == 2 else (ends[0][:room],)
    for column, some in zip(columns, read, strict=True):
        for start, end in word_spans(row[column], punctuation_words=False):
            if start < max(some, default=0):
                yield column, (start, end)


def _masked(text: str, span: tuple[int, int]) -> str:
    return f"{text[: span[0]]}{MASK}{text[span[1] :]}"


def _outputs(predictor: Predictor, rows: list[Row]) -> np.ndarray:
    """What the network gives for each row: float64 (rows, labels), or (rows, 1)."""
    settings = predictor.settings
    features = encode_rows(
        rows, predictor.task, predictor.tokenizer, max_length=settings.max_length, stride=settings.stride
    )
    found: dict[int, np.ndarray] = {}
    for batch, outputs in outputs_of(predictor.model, features):
        found |= zip(batch.rows.tolist(), outputs.double().cpu().numpy(), strict=True)
    return np.stack([found[place] for place in range(len(rows))])


def _of_label(logits: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Probability and log-odds of one label, from logits (rows, labels)."""
    others = np.logaddexp.reduce(np.delete(logits, label, axis=1), axis=1)
    odds = logits[:, label] - others
    return np.exp(-np.logaddexp(0, -odds)), odds


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
