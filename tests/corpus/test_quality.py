"""Ratios that tell prose from tables and lists: what counts as a letter, and where each limit lies."""

import numpy as np
import pytest

from bertline.base.config import Documents
from bertline.corpus.quality import count_characters, document_fault, mostly_letters
from bertline.corpus.words import WordHashes

CONFIG = Documents(max_digit_share=0.5, max_uppercase_share=0.25, max_repeated_share=0.2)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("It is 12, or III!", (17, 9, 2, 4, 4)),
        ("हिन्दी में", (10, 9, 0, 0, 1)),  # marks are letters here
        ("𞤀𞤣𞤤𞤢𞤥 ١٢", (8, 5, 2, 1, 1)),  # letters beyond the first 65,536, with a capital; digits of another script
        ("𠀀𠀁我", (3, 3, 0, 0, 0)),
        ("", (0, 0, 0, 0, 0)),
    ],
)
def test_letters_digits_capitals_and_spaces_are_those_of_every_script(text: str, counts: tuple[int, ...]) -> None:
    found = count_characters(["a", text, "B 2"])
    columns = (found.total, found.letters, found.digits, found.uppercase, found.spaces)
    assert tuple(int(column[1]) for column in columns) == counts
    assert [int(column[2]) for column in columns] == [3, 1, 1, 1, 1]


def test_a_sentence_needs_its_share_of_letters_and_one_at_least() -> None:
    texts = ["ab 12", "ab 123", "   ", "!!!"]
    assert mostly_letters(count_characters(texts), 0.5).tolist() == [True, False, False, False]
    assert mostly_letters(count_characters(texts), 0.0).tolist() == [True, True, False, False]


def fault(text: str) -> str:
    return document_fault(count_characters([text]).of(0, 1, np.array([True])), WordHashes().of(text), CONFIG)


@pytest.mark.parametrize(
    ("text", "rule"),
    [("abcd 12", ""), ("abcd 123", "digits"), ("Abcd", ""), ("ABcd", "uppercase"), ("12", "digits"), ("!", "")],
)
def test_a_document_is_dropped_beyond_its_share_of_digits_and_of_capitals(text: str, rule: str) -> None:
    assert fault(text) == rule


@pytest.mark.parametrize(
    ("words", "again", "rule"),
    [
        (100, 30, ""),  # 21 of 121 runs of ten words stood there before
        (100, 40, "repetitive"),  # 31 of 131
        (60, 40, "repetitive"),
        (60, 39, ""),  # 99 words say nothing about repetition
    ],
)
def test_a_document_is_dropped_beyond_its_share_of_what_it_says_again(words: int, again: int, rule: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    text = [f"{letters[place % 26]}{letters[place // 26]}" for place in range(words)]
    assert fault(" ".join([*text, *text[:again]])) == rule
