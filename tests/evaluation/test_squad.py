"""Scores and thresholds of answers are those of the official script."""

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.evaluation.squad import Threshold, answer_scores, best_thresholds, normalise_answer, squad_scores

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
    scores = squad_scores([["x"], ["x y"], [], []], ["x", "x", "", "z"])
    assert scores == {
        "exact_match": 0.5,
        "f1": pytest.approx((1 + 2 / 3 + 1) / 4),
        "has_answer_exact_match": 0.5,
        "has_answer_f1": pytest.approx((1 + 2 / 3) / 2),
        "no_answer_accuracy": 0.5,
    }


def official_threshold(
    has_answer: list[bool], spans: list[str], scores: list[float], nulls: list[float]
) -> tuple[float, float]:
    """evaluate-v2.0.py of the SQuAD page: find_best_thresh, statement by statement, in shares instead of percent."""
    current = sum(1 for has in has_answer if not has)
    best, threshold = float(current), 0.0
    for place in sorted(range(len(nulls)), key=lambda place: nulls[place]):
        gained = -1 if spans[place] else 0
        current += scores[place] if has_answer[place] else gained
        if current > best:
            best, threshold = current, nulls[place]
    return best / len(scores), threshold


questions = st.tuples(st.booleans(), texts.filter(normalise_answer), texts.filter(normalise_answer), st.floats(0, 1))


@given(st.lists(questions, min_size=1, max_size=30, unique_by=lambda question: question[3]))
def test_thresholds_equal_the_official_search(drawn: list[tuple[bool, str, str, float]]) -> None:
    has_answer, answers, spans, nulls = (list(column) for column in zip(*drawn, strict=True))
    golds = [[answer] if has else [] for has, answer in zip(has_answer, answers, strict=True)]
    found = best_thresholds(golds, spans, nulls)
    for place, name in enumerate(("exact_match", "f1")):
        scores = [answer_scores(gold, span)[place] for gold, span in zip(golds, spans, strict=True)]
        best, threshold = official_threshold(has_answer, spans, scores, nulls)
        assert found[name].score == pytest.approx(best)
        if best > 1 - sum(has_answer) / len(has_answer) + 1e-9:
            assert found[name].value == threshold


def test_a_threshold_gives_the_score_that_it_promises_even_where_questions_tie() -> None:
    golds, spans, nulls = [["x"], [], ["y"], []], ["x", "z", "y", "z"], [0.5, 0.5, -2.0, 3.0]
    found = best_thresholds(golds, spans, nulls)["f1"]
    answers = ["" if null > found.value else span for span, null in zip(spans, nulls, strict=True)]
    assert squad_scores(golds, answers)["f1"] == found.score == 0.75


def test_where_saying_nothing_does_as_well_nothing_is_said() -> None:
    found = best_thresholds([["x"], []], ["x", "y"], [2.0, -3.0])["f1"]
    assert (found.value, found.score) == (-4.0, 0.5)


def test_where_nothing_should_be_answered_the_threshold_is_below_every_question() -> None:
    found = best_thresholds([[], []], ["x", "y"], [-3.0, 2.0])["f1"]
    assert found.value < -3
    assert found.score == 1


def test_without_questions_every_score_is_zero() -> None:
    assert set(squad_scores([], []).values()) == {0.0}
    assert best_thresholds([], [], []) == dict.fromkeys(("exact_match", "f1"), Threshold(0.0, 0.0))
