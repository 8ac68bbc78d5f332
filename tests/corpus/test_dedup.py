"""Duplicates, exact and near: what is found, what is not, and which of several stays."""

import random

import numpy as np
import pytest

from bertline.corpus.dedup import content_key, first_of_same, is_validation, near_duplicates, signatures
from bertline.corpus.words import Hashes, WordHashes, find_words, ngrams

WORDS = [f"w{number}" for number in range(5000)]


def hashed(words: list[str]) -> Hashes:
    return WordHashes().of(" ".join(words))


def jaccard(left: list[str], right: list[str]) -> float:
    sets = [{tuple(words[at : at + 5]) for at in range(len(words) - 4)} for words in (left, right)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def edited(words: list[str], draw: random.Random, share: float) -> list[str]:
    return [draw.choice(WORDS) if draw.random() < share else word for word in words]


def found(texts: list[list[str]]) -> list[int]:
    matrix = signatures([hashed(text) for text in texts])
    return near_duplicates(matrix, 0.8, np.ones(len(texts), bool)).tolist()


def test_words_are_runs_of_letters_and_single_chinese_characters() -> None:
    assert find_words("It's 2 Doors, naïve_x!") == ["it", "s", "2", "doors", "naïve_x"]
    assert find_words("我们用BERT3，カナ 한국어") == ["我", "们", "用", "bert3", "カ", "ナ", "한국어"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("यह हिन्दी में लिखा है।", ["यह", "हिन्दी", "में", "लिखा", "है"]),
        ("ภาษาไทย ดีมาก", ["ภาษาไทย", "ดีมาก"]),
        ("İstanbul’da ɔ\u0301kɔ\u0301, Ā B\u0304", ["i\u0307stanbul", "da", "ɔ\u0301kɔ", "ā", "b"]),
        ("हिन्दी我们हिन्दीx", ["हिन्दी", "我", "们", "हिन्दीx"]),
        ("⚠\ufe0f \u0301 one 1\ufe0f\u20e3", ["one", "1"]),
    ],
)
def test_a_mark_belongs_to_the_letter_that_it_stands_on(text: str, words: list[str]) -> None:
    assert find_words(text) == words


def test_texts_that_differ_in_a_sign_of_a_vowel_have_keys_of_their_own() -> None:
    assert content_key(hashed(["दिन", "में"])) != content_key(hashed(["दीन", "में"]))


def test_ngrams_agree_where_words_do_and_only_there() -> None:
    left, right = hashed(WORDS[:20]), hashed([*WORDS[5:25]])
    assert set(ngrams(left, 13).tolist()) & set(ngrams(right, 13).tolist()) == set(ngrams(left[5:], 13).tolist())
    assert len(ngrams(left, 20)) == 1
    assert len(ngrams(left, 21)) == 0
    assert len({int(number) for number in ngrams(hashed(["a", "b", "a", "b"]), 2)}) == 2


def test_copies_that_differ_in_case_and_punctuation_have_one_key() -> None:
    hashes = WordHashes()
    key = content_key(hashes.of("A door, it is. Open!"))
    assert content_key(hashes.of("a door it   is OPEN")) == key
    assert content_key(hashes.of("A door it was. Open!")) != key
    assert content_key(hashes.of("door a it is open")) != key


def test_the_first_of_several_copies_stays() -> None:
    keys = np.frombuffer(b"".join(bytes([name]) * 16 for name in b"abacab"), np.dtype("V16"))
    assert first_of_same(keys).tolist() == [0, 1, 0, 3, 0, 1]


def test_the_validation_split_has_its_share_and_grows_with_the_fraction() -> None:
    keys = [content_key(hashed(["document", str(number)])) for number in range(4000)]
    held_out = {fraction: {key for key in keys if is_validation(key, fraction)} for fraction in (0.05, 0.1)}
    assert 140 < len(held_out[0.05]) < 260
    assert held_out[0.05] < held_out[0.1]


def test_near_copies_are_found_and_other_documents_are_not() -> None:
    draw = random.Random(0)
    originals = [[draw.choice(WORDS) for _ in range(draw.randint(80, 400))] for _ in range(300)]
    near = [edited(words, draw, 0.01) for words in originals]
    far = [edited(words, draw, 0.12) for words in originals]
    verdicts = found([*originals, *near, *far])
    assert verdicts[:300] == [-1] * 300
    pairs = [(jaccard(words, copy), at) for at, (words, copy) in enumerate(zip(originals, near, strict=True))]
    sure = [at for similarity, at in pairs if similarity > 0.88]
    assert len(sure) > 150
    assert np.mean([verdicts[300 + at] == at for at in sure]) > 0.99
    below = [at for at, (words, copy) in enumerate(zip(originals, far, strict=True)) if jaccard(words, copy) < 0.7]
    assert len(below) > 250
    assert np.mean([verdicts[600 + at] == -1 for at in below]) == 1


def test_signatures_estimate_the_similarity() -> None:
    draw = random.Random(1)
    errors = []
    for _ in range(100):
        words = [draw.choice(WORDS) for _ in range(300)]
        copy = edited(words, draw, draw.choice([0.01, 0.03, 0.06]))
        left, right = signatures([hashed(words), hashed(copy)])
        errors.append((left == right).mean() - jaccard(words, copy))
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 0.06


@pytest.mark.parametrize(("equal", "found"), [(96, 0), (95, -1)])
def test_as_similar_as_the_threshold_is_nearly_the_same(equal: int, found: int) -> None:
    matrix = np.arange(2 * 128, dtype=np.uint32).reshape(2, 128)
    matrix[1, :equal] = matrix[0, :equal]
    assert near_duplicates(matrix, 0.75, np.ones(2, bool)).tolist() == [-1, found]


def test_a_near_copy_is_told_to_be_of_the_document_that_it_is_like_and_not_of_one_it_only_met() -> None:
    matrix = np.arange(3 * 128, dtype=np.uint32).reshape(3, 128)
    matrix[1, :4] = matrix[0, :4]  # one band: the two meet
    matrix[2] = matrix[1]
    assert near_duplicates(matrix, 0.75, np.ones(3, bool)).tolist() == [-1, -1, 1]


def test_what_is_like_a_dropped_copy_alone_stays() -> None:
    """Of a chain, each link would otherwise be dropped for the one before it, however far from any that stays."""
    matrix = np.arange(3 * 128, dtype=np.uint32).reshape(3, 128)
    matrix[1, :100] = matrix[0, :100]
    matrix[2, :4], matrix[2, 32:] = matrix[1, :4], matrix[1, 32:]
    assert [(matrix[one] == matrix[other]).mean() >= 0.75 for one, other in ((0, 1), (1, 2), (0, 2))] == [
        True,
        True,
        False,
    ]
    assert near_duplicates(matrix, 0.75, np.ones(3, bool)).tolist() == [-1, 0, -1]


def test_chains_of_near_copies_end_at_an_earlier_document_that_stays() -> None:
    draw = random.Random(2)
    words = [draw.choice(WORDS) for _ in range(400)]
    chain = [words]
    for _ in range(30):
        chain.append(edited(chain[-1], draw, 0.004))
    verdicts = found(chain)
    assert verdicts[0] == -1
    assert verdicts[1] == 0
    assert all(of < at for at, of in enumerate(verdicts))


def test_dead_documents_are_neither_found_nor_compared_to() -> None:
    matrix = signatures([hashed(WORDS[:100])] * 3)
    assert near_duplicates(matrix, 0.8, np.array([False, True, True])).tolist() == [-1, -1, 1]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_documents_of_few_words_have_signatures(count: int) -> None:
    assert found([WORDS[:count], WORDS[:count], WORDS[10:14]]) == [-1, 0, -1]
