import re
import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.evaluation.squad import answer_scores, normalise_answer, squad_scores

words = st.lists(st.sampled_from(["The", "an", "Denver", "Broncos,", "a", "won", "-", "U.S.", "1999"]), max_size=6)
texts = words.map(" ".join)


def official(gold: str, prediction: str) -> tuple[float, float]:
    """evaluate-v2.0.py of the SQuAD page: compute_exact and compute_f1."""

    def normalize(text: str) -> str:
        text = "".join(character for character in text.lower() if character not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    gold_tokens, tokens = normalize(gold).split(), normalize(prediction).split()
    exact = float(normalize(gold) == normalize(prediction))
    same = sum((Counter(gold_tokens) & Counter(tokens)).values())
    if not gold_tokens or not tokens:
        return exact, float(gold_tokens == tokens)
    if same == 0:
        return exact, 0.0
    precision, recall = same / len(tokens), same / len(gold_tokens)
    return exact, 2 * precision * recall / (precision + recall)


@settings(deadline=None)
@given(st.lists(texts, min_size=1, max_size=3), texts)
def test_answer_scores_equal_the_official_script(golds: list[str], prediction: str) -> None:
    accepted = [gold for gold in golds if normalise_answer(gold)] or [""]  # as its get_raw_scores
    expected = [max(values) for values in zip(*(official(gold, prediction) for gold in accepted), strict=True)]
    assert answer_scores(golds, prediction) == pytest.approx(tuple(expected))


def test_case_articles_and_punctuation_do_not_count() -> None:
    assert answer_scores(["Denver Broncos"], "the denver  broncos.") == (1.0, 1.0)


def test_f1_counts_shared_words() -> None:
    exact, f1 = answer_scores(["Santa Clara, California"], "in Santa Clara")
    assert exact == 0
    assert f1 == pytest.approx(2 * (2 / 3) * (2 / 3) / (4 / 3))


def test_the_best_of_several_answers_counts() -> None:
    assert answer_scores(["gold", "the golden anniversary"], "golden anniversary") == (1.0, 1.0)


@pytest.mark.parametrize(("golds", "prediction", "right"), [([], "", 1.0), ([], "x", 0.0), (["x"], "", 0.0)])
def test_a_question_without_answer_is_all_or_nothing(golds: list[str], prediction: str, right: float) -> None:
    assert answer_scores(golds, prediction) == (right, right)


def test_scores_are_means_over_questions() -> None:
    assert squad_scores([["x"], ["x y"]], ["x", "x"]) == {"exact_match": 0.5, "f1": pytest.approx((1 + 2 / 3) / 2)}
