"""The baseline that looks at labels alone: what a score is worth without any understanding of the text.

| kind | answer |
|---|---|
| classification, pair | the commonest label of the training rows |
| regression | their mean (so both correlations are 0) |
| tagging | each word's commonest tag in the training rows, else their commonest tag (all `O` would score 0) |
| span | no answer, the first sentence or the whole context, whichever scores best on the training rows |
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bertline.evaluation.metrics import score
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Rule = Callable[[Row], dict[str, Any]]

_SENTENCE_END = re.compile(r"(?<=[.!?।॥؟۔])\s|(?<=[。！？])|\n")


def majority_rule(task: TaskInfo, train: Sequence[Row]) -> Rule:
    """The baseline of a task as a function from a row to a prediction.

    Args:
        task: gives kind and metric.
        train: training rows, one at least.
    """
    if task.kind == "regression":
        mean = sum(row["label"] for row in train) / len(train)
        return lambda row: {"value": mean}
    if task.kind == "tagging":
        return _commonest_tags(train)
    if task.kind == "span":
        return _best_span(task, train)
    label = commonest(Counter(row["label"] for row in train))
    return lambda row: {"label": label}


def commonest(counts: Counter[str]) -> str:
    """The commonest key; of equals the first in the alphabet."""
    return min(counts, key=lambda key: (-counts[key], key))


def _commonest_tags(train: Sequence[Row]) -> Rule:
    by_word: defaultdict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for row in train:
        overall.update(row["tags"])
        for word, tag in zip(row["words"], row["tags"], strict=True):
            by_word[word][tag] += 1
    chosen = {word: commonest(counts) for word, counts in by_word.items()}
    fallback = commonest(overall)
    return lambda row: {"tags": [chosen.get(word, fallback) for word in row["words"]]}


def first_sentence(text: str) -> str:
    """The text up to its first full stop, question mark, exclamation mark (before a space) or line end."""
    text = text.strip()
    end = _SENTENCE_END.search(text)
    return text[: end.start()] if end else text


def _best_span(task: TaskInfo, train: Sequence[Row]) -> Rule:
    rules: tuple[Rule, ...] = (
        lambda row: {"answer": ""},
        lambda row: {"answer": first_sentence(row["context"])},
        lambda row: {"answer": row["context"]},
    )
    return max(rules, key=lambda rule: score(task, train, [rule(row) for row in train])[task.metric])
