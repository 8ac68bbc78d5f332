"""Answers to questions, scored as SQuAD's official scripts do: exact match and F1 of words after normalisation.

Follows evaluate-v2.0.py of https://rajpurkar.github.io/SQuAD-explorer/, which scores questions without an answer too
and agrees with evaluate-v1.1.py on all others. Values are in 0 to 1, not in percent.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower-case, without ASCII punctuation, without a, an and the, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def answer_scores(golds: Sequence[str], prediction: str) -> tuple[float, float]:
    """(exact match, F1) of one prediction: the best over the accepted answers.

    Args:
        golds: texts of the accepted answers; none: the question has no answer, and "" is the right prediction.
        prediction: text of the answer, "" for none.
    """
    guess = normalise_answer(prediction)
    accepted = [text for text in (normalise_answer(gold) for gold in golds) if text] or [""]
    exact = float(any(guess == gold for gold in accepted))
    return exact, max(_word_f1(gold.split(), guess.split()) for gold in accepted)


def _word_f1(gold: Sequence[str], guess: Sequence[str]) -> float:
    if not gold or not guess:  # no answer: all or nothing
        return float(gold == guess)
    common = (Counter(gold) & Counter(guess)).total()
    return 2 * common / (len(gold) + len(guess))


def squad_scores(golds: Sequence[Sequence[str]], predictions: Sequence[str]) -> dict[str, float]:
    """Mean exact match and mean F1 over all questions, and over those with and without an answer; 0 without any."""
    scores = [answer_scores(gold, prediction) for gold, prediction in zip(golds, predictions, strict=True)]
    answered = [score for score, gold in zip(scores, golds, strict=True) if gold]
    unanswerable = [score for score, gold in zip(scores, golds, strict=True) if not gold]
    return {
        "f1": _mean([f1 for _, f1 in scores]),
        "exact_match": _mean([exact for exact, _ in scores]),
        "has_answer_f1": _mean([f1 for _, f1 in answered]),
        "has_answer_exact_match": _mean([exact for exact, _ in answered]),
        "no_answer_accuracy": _mean([exact for exact, _ in unanswerable]),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


@dataclass(frozen=True)
class Threshold:
    """A question is answered if its null difference is at most `value`; `score` is the mean that this gives."""

    value: float
    score: float


def best_thresholds(
    golds: Sequence[Sequence[str]], spans: Sequence[str], null_differences: Sequence[float]
) -> dict[str, Threshold]:
    """The thresholds with the best mean exact match and the best mean F1, found among the questions themselves.

    The search of evaluate-v2.0.py (best_exact, best_f1), but for questions of equal null difference, which are answered
    together or not at all: no threshold comes between them. And a span of articles and punctuation alone is no answer
    here too, as in the scores; that search takes it for one where there is none, and may miss what it scores itself.

    Args:
        golds: texts of the accepted answers of each question; none: it has no answer.
        spans: the best answer of each question, were it to have one.
        null_differences: score of no answer less the score of that answer; small: answer it.
    """
    scores = np.array([answer_scores(gold, span) for gold, span in zip(golds, spans, strict=True)]).reshape(-1, 2)
    unanswerable = np.array([not gold for gold in golds], dtype=np.float64)[:, None]
    differences = np.asarray(null_differences, dtype=np.float64)
    order = np.argsort(differences, kind="stable")
    # Answering one more question gains its score, and loses what saying nothing had gained.
    gains = np.cumsum((scores - unanswerable)[order], axis=0)
    last = np.append(differences[order][1:] != differences[order][:-1], True)[: len(golds)]
    means = (unanswerable.sum() + gains[last]) / max(len(golds), 1)
    values = differences[order][last]
    return {name: _best(means[:, place], values, unanswerable) for place, name in enumerate(("exact_match", "f1"))}


def _best(means: npt.NDArray[np.float64], values: npt.NDArray[np.float64], unanswerable: npt.NDArray[Any]) -> Threshold:
    nothing = float(unanswerable.mean()) if len(unanswerable) else 0.0
    if not len(means) or means.max() <= nothing:  # answering none is best
        return Threshold(float(values[0]) - 1 if len(values) else 0.0, nothing)
    place = int(means.argmax())
    return Threshold(float(values[place]), float(means[place]))
