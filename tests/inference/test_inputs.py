"""What people ask of a model, as rows: a text's words and where they stand, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.base.errors import BertlineError
from bertline.inference.inputs import as_rows
from toy_tasks import toy_task

TAGGING, _ = toy_task("tagging")


@given(st.text(min_size=1), st.booleans())
def test_the_words_of_a_text_stand_where_their_spans_say(text: str, punctuation: bool) -> None:
    if not text.strip():
        with pytest.raises(BertlineError, match="text is empty"):
            as_rows(TAGGING, [text])
        return
    [row] = as_rows(TAGGING, [text], punctuation_words=punctuation)
    assert [text[start:end] for start, end in row["spans"]] == row["words"]
    if punctuation:  # then nothing but white space is lost
        assert "".join(row["words"]) == "".join(text.split())
    assert all(not any(character.isspace() for character in word) for word in row["words"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("EU rejects German call.", "EU rejects German call ."),
        ('He said: "no" (twice)', 'He said : " no " ( twice )'),
        ("don't array-like 0.5 1,000 and/or", "don't array-like 0.5 1,000 and/or"),
        ("他在北京。", "他 在 北 京 。"),
        ("x" * 5000 + "!", "x" * 5000 + " !"),
        ("राम ने दिल्ली में कहा।", "राम ने दिल्ली में कहा ।"),
        ("Beyonce\u0301 sang", "Beyonce\u0301 sang"),
        ("London—Paris was next…Rome", "London — Paris was next … Rome"),
        ("“Yes”, said Mr. O’Neill", "“ Yes ” , said Mr . O’Neill"),
        ("Google，Apple、IBM。", "Google ， Apple 、 IBM 。"),
    ],
)
def test_text_is_split_as_tagged_corpora_are(text: str, words: str) -> None:
    assert as_rows(TAGGING, [text])[0]["words"] == words.split()


@pytest.mark.parametrize("text", ["cut \ud83d", "\udcff"])
def test_half_a_character_is_named_before_the_tokenizer_meets_it(text: str) -> None:
    classification, _ = toy_task("classification")
    with pytest.raises(BertlineError, match="text holds half a character"):
        as_rows(classification, [text])
