"""The baseline that counts words: TF-IDF of words and word pairs into a linear model (linear.py).

    answers = tfidf_baseline(task, train_rows, validation_rows)   # None for tagging and spans
    predictions = answers(test_rows)

It reads a text to its end, knows nothing of word order beyond pairs, and needs no pre-training: where it wins, the
network has not learned what the task is about. Of more than 20,000 training texts, words that stand in one alone are
left out, and where words times labels are very many, the rarer words. For two texts it sees the words of each, those
they share, those that one of them has alone, and how much they overlap.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from bertline.base.words import CJK, OTHER_LETTERS, word_pattern
from bertline.evaluation.linear import fit_linear
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Answers = Callable[[Sequence[Row]], list[dict[str, Any]]]

KINDS = ("classification", "pair", "regression")
# Words, and what stands between them, which carries much of a sentence's tone.
_WORD = rf"(?u)[{CJK}]|{word_pattern(OTHER_LETTERS)}|[^\w\s]"
_WEIGHTS = 5_000_000  # of the linear model at most, which takes 200 bytes for each while it is fitted
_LARGE = 20_000  # training texts beyond which words, and pairs of words, that stand in one alone are left out


def tfidf_baseline(task: TaskInfo, train: Sequence[Row], validation: Sequence[Row]) -> Answers | None:
    """Fit the baseline of a task; None where its kind has none (tagging, span).

    Args:
        task: gives kind, metric and labels.
        train: training rows.
        validation: validation rows, which choose the regularisation.
    """
    if task.kind not in KINDS:
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  (2 s)

    texts = [row[column] for row in train for column in ("text", "text_pair") if column in row]
    outputs = len(task.labels) if len(task.labels) > 2 else 1
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2),
        token_pattern=_WORD,
        sublinear_tf=True,
        min_df=2 if len(texts) > _LARGE else 1,
        max_features=max(_WEIGHTS // outputs // (4 if task.pair else 1), 1),
    )
    try:
        vectorizer.fit(texts)
    except ValueError:  # none stands in two texts, as of names that are a word each: then all count
        vectorizer.set_params(min_df=1).fit(texts)
    fit = fit_linear(task, _features(vectorizer, train), train, _features(vectorizer, validation), validation)
    return lambda rows: fit.predict(_features(vectorizer, rows))


def _features(vectorizer: Any, rows: Sequence[Row]) -> Any:
    """(rows, features), sparse; of two texts: each, what they share, where they differ, and three overlaps."""
    if not rows:
        return sparse.csr_matrix((0, len(vectorizer.vocabulary_)))
    first = vectorizer.transform([row["text"] for row in rows])
    if "text_pair" not in rows[0]:
        return first
    second = vectorizer.transform([row["text_pair"] for row in rows])
    shared = first.multiply(second)
    return sparse.hstack([first, second, shared, abs(first - second), _overlaps(first, second, shared)], format="csr")


def _overlaps(first: Any, second: Any, shared: Any) -> Any:
    """(rows, 3): the cosine, and how much of each text's words and pairs the other one has."""
    cosine = np.asarray(shared.sum(axis=1)).ravel()
    common, sizes = np.diff(shared.tocsr().indptr), [np.diff(each.indptr) for each in (first, second)]
    return sparse.csr_matrix(np.stack([cosine, *(common / np.maximum(size, 1) for size in sizes)], axis=1))
