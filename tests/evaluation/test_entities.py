"""Entities and their scores are those of conlleval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.evaluation.entities import Entity, entities, entity_scores

tags = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
pairs = st.lists(st.lists(st.tuples(tags, tags), min_size=1, max_size=12), min_size=1, max_size=6)


def conlleval(gold: list[list[str]], predicted: list[list[str]]) -> dict[str, float]:
    """conlleval.pl, transcribed statement by statement: a state machine over (previous, current) tags."""
    correct = found_correct = found_guessed = correct_tags = words = 0
    for gold_tags, guessed_tags in zip(gold, predicted, strict=True):
        last_gold, last_guessed, in_correct = "O", "O", False
        for true, guess in [*zip(gold_tags, guessed_tags, strict=True), ("O", "O")]:
            end_gold, end_guessed = chunk_ends(last_gold, true), chunk_ends(last_guessed, guess)
            if in_correct:
                if end_gold and end_guessed and last_gold[2:] == last_guessed[2:]:
                    in_correct = False
                    correct += 1
                elif end_gold != end_guessed or true[2:] != guess[2:]:
                    in_correct = False
            start_gold, start_guessed = chunk_starts(last_gold, true), chunk_starts(last_guessed, guess)
            if start_gold and start_guessed and true[2:] == guess[2:]:
                in_correct = True
            found_correct += start_gold
            found_guessed += start_guessed
            last_gold, last_guessed = true, guess
        correct_tags += sum(a == b for a, b in zip(gold_tags, guessed_tags, strict=True))
        words += len(gold_tags)
    precision = correct / found_guessed if found_guessed else 0.0
    recall = correct / found_correct if found_correct else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"f1": f1, "precision": precision, "recall": recall, "accuracy": correct_tags / words}


def chunk_ends(before: str, now: str) -> bool:
    if before[0] == "O":
        return False
    return now[0] in "BO" or before[2:] != now[2:]


def chunk_starts(before: str, now: str) -> bool:
    if now[0] == "O":
        return False
    return now[0] == "B" or before[0] == "O" or before[2:] != now[2:]


@given(pairs)
def test_entity_scores_equal_conlleval(sequences: list[list[tuple[str, str]]]) -> None:
    gold = [[true for true, _ in sequence] for sequence in sequences]
    predicted = [[guess for _, guess in sequence] for sequence in sequences]
    assert entity_scores(gold, predicted) == pytest.approx(conlleval(gold, predicted))


def test_an_example_worked_by_hand_comes_out() -> None:
    # Of 4 phrases 3 are found: 2 right, 1 with a wrong end.
    gold = [["B-NP", "B-PP", "B-NP", "I-NP", "B-VP"]]
    predicted = [["B-NP", "B-PP", "B-NP", "O", "O"]]
    scores = entity_scores(gold, predicted)
    assert scores == pytest.approx({"precision": 2 / 3, "recall": 2 / 4, "f1": 4 / 7, "accuracy": 3 / 5})


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("O O", []),
        ("B-PER I-PER O", [(0, 2, "PER")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("O I-LOC I-LOC", [(1, 3, "LOC")]),
        ("B-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")]),
        ("B-PER O I-PER", [(0, 1, "PER"), (2, 3, "PER")]),
        ("NN VB", [(0, 1, "NN"), (1, 2, "VB")]),
        ("S-PER I-PER", [(0, 1, "S-PER"), (1, 2, "PER")]),
        ("B- I-", [(0, 1, "B-"), (1, 2, "I-")]),
        ("B-a-b I-a-b", [(0, 2, "a-b")]),
    ],
)
def test_entities_are_read_as_conlleval_reads_them(sequence: str, expected: list[tuple[int, int, str]]) -> None:
    assert list(entities(sequence.split())) == [Entity(*entity) for entity in expected]


def test_without_entities_every_figure_but_accuracy_is_zero() -> None:
    assert entity_scores([["O", "O"]], [["O", "O"]]) == {"f1": 0, "precision": 0, "recall": 0, "accuracy": 1}
