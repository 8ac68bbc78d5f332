"""Answers to questions, scored as SQuAD's official scripts do: exact match and F1 of words after normalisation.

Follows evaluate-v2.0.py of https://rajpurkar.github.io/SQuAD-explorer/, which scores questions without an answer too
and agrees with evaluate-v1.1.py on all others. Values are in 0 to 1, not in percent.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

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
    """Mean exact match and mean F1 over questions; 0 without questions."""
    scores = [answer_scores(gold, prediction) for gold, prediction in zip(golds, predictions, strict=True)]
    questions = max(len(scores), 1)
    return {
        "f1": sum(f1 for _, f1 in scores) / questions,
        "exact_match": sum(exact for exact, _ in scores) / questions,
    }
