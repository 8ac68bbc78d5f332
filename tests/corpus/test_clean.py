"""Cleaning: what goes, what stays, and no text that breaks it."""

import unicodedata
from collections import Counter
from random import Random
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bertline.corpus.clean import normalise, readable
from bertline.corpus.docstrings import prose
from bertline.corpus.sentences import MAX_SENTENCE, split_sentences

DOCSTRING = """Find where elements should be inserted.

Find the indices into a sorted array `a`, see :func:`~numpy.sort` and :ref:`the guide <guide>` [1]_:

======  ===========
side    index
======  ===========
left    ``a < v``
======  ===========

Parameters
----------
a : 1-D array_like
    Input array. It must be *sorted*
    in **ascending** order.
x, y : int, optional
    Two numbers.

Returns:
    indices (`int` or `list`, *optional*): The indices, as
        described in [the guide](https://example.org/guide).
    * first item
      continues here
    * second item

.. versionadded:: 1.2
.. note:: Mind the
   order of things.
.. code-block:: python

    a = searchsorted()

For example::

    searchsorted(a, v)

then it goes on.

>>> searchsorted([1, 2], 2)
1

```python
print("x")
```

:param key: What to sort by.
:rtype: int

References
----------
.. [1] Knuth, The Art.

See Also
--------
sort : Return a sorted
    copy of an array.
"""

PROSE = [
    "Find where elements should be inserted.",
    "Find the indices into a sorted array a, see sort and the guide:",
    "a : 1-D array_like",
    "Input array. It must be sorted in ascending order.",
    "x, y : int, optional",
    "Two numbers.",
    "indices (int or list, optional): The indices, as described in the guide.",
    "first item continues here",
    "second item",
    "Mind the order of things.",
    "For example:",
    "then it goes on.",
    "key: What to sort by.",
    "sort : Return a sorted copy of an array.",
]


def test_a_docstring_of_every_kind_of_markup_becomes_prose() -> None:
    paragraphs, dropped = prose(DOCSTRING)
    assert paragraphs == PROSE
    assert dropped == {
        "lines_code": 6,
        "lines_table": 5,
        "lines_heading": 5,
        "lines_references": 3,
        "lines_directive": 2,
        "lines_field": 1,
    }


@given(
    st.text(
        st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(list("`*_:.|<>[]()=-~^\n\n  >\\"))),
        max_size=200,
    )
)
@example(":class:`<`")
@example("``` \n``")
@example("~~~")
@example("|\n+--+\n::\n  x")
def test_no_docstring_breaks_the_cleaning(text: str) -> None:
    paragraphs, _ = prose(text)
    for paragraph in paragraphs:
        assert paragraph.strip() == paragraph != ""
        readable(split_sentences(normalise(paragraph), "en"))


@given(st.text(max_size=100))
@example("a\x00\u0301")
@example("\x85 \u2028")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == unicodedata.normalize("NFC", once)
    assert not [character for character in once if unicodedata.category(character) == "Cc"]
    assert once == " ".join(once.split())


def test_joiners_that_spell_words_are_kept_and_marks_of_direction_are_not() -> None:
    assert normalise("می\u200cخواهم\u200f \u202bx\u202c") == "می\u200cخواهم x"


@pytest.mark.parametrize("text", ["It’s “well—known”, for €5…", "Œuvre Žižek™"])
def test_quotes_dashes_and_letters_of_windows_1252_read_as_latin_1_are_what_they_were(text: str) -> None:
    assert normalise(text.replace("…", "").encode("cp1252").decode("latin-1")) == text.replace("…", "")


def test_characters_that_went_and_paragraphs_that_were_composed_are_counted() -> None:
    counts: Counter[str] = Counter()
    for text in ("a\x00b\u200b", "Cafe\u0301 au lait", "Café"):
        normalise(text, counts)
    assert counts == Counter(characters_control=2, paragraphs_not_nfc=1)


def test_what_stands_for_a_lost_letter_is_not_taken_away() -> None:
    counts: Counter[str] = Counter()
    assert normalise("M\ufffddchen und B\ufffdcher", counts) == "M\ufffddchen und B\ufffdcher"
    assert counts == {}


@pytest.mark.parametrize(
    ("sentence", "rule"),
    [
        ("Compute the mean of an array.", ""),
        ("axis : int, optional", ""),
        ("Yes it", "sentences_short"),
        ("Yes it is", ""),
        ("Read more at https://example.org today.", "sentences_address"),
        (r"It is \frac{1}{n} of the sum.", "sentences_formula"),
        ("result = model.fit(data) first", "sentences_code"),
        ("Call the f(x=1) with it", "sentences_code"),
        ("1 2 3 [4, 5] {6: 7} 8.0 9.5 x", "sentences_symbols"),
    ],
)
def test_sentences_that_do_not_read_as_language_are_dropped_and_counted(sentence: str, rule: str) -> None:
    kept, dropped = readable([sentence])
    assert (kept, dict(dropped)) == (([], {rule: 1}) if rule else ([sentence], {}))


def test_sentences_end_where_people_end_them() -> None:
    text = "Dr. Smith uses torch.Graph here. It costs $3.50, e.g. today! Really? Yes."
    assert split_sentences(text, "en") == [
        "Dr. Smith uses torch.Graph here.",
        "It costs $3.50, e.g. today!",
        "Really?",
        "Yes.",
    ]
    assert split_sentences("我们来了。好的！是吗？", "zh") == ["我们来了。", "好的！", "是吗？"]


@pytest.mark.parametrize(
    ("language", "text", "joint"),
    [
        ("en", "Dr. Smith uses torch.Graph here. It costs $3.50, e.g. today! Really? Yes.", " "),
        ("de", "Er kam z. B. am 3. Mai. „Gehst du? Ja!“, rief sie. Dann ging er.", " "),
        ("zh", "我们来了。好的！“是吗？”他说，“不是。”", ""),
    ],
)
def test_a_long_paragraph_has_the_sentences_of_its_parts(language: str, text: str, joint: str) -> None:
    assert split_sentences(joint.join([text] * 1500), language) == split_sentences(text, language) * 1500


def test_a_long_paragraph_takes_no_longer_than_its_length() -> None:
    """Chinese took time by the square of it, this text 6 seconds."""
    numbers = Random(1)
    text = "".join(chr(numbers.randrange(0x4E00, 0x9000)) if numbers.random() > 0.05 else "。" for _ in range(300_000))
    start = process_time()
    assert "".join(split_sentences(text, "zh")) == text
    assert process_time() - start < 3


@given(st.text(max_size=300).map(normalise), st.sampled_from(["en", "de", "zh", "nonsense"]))
def test_sentences_hold_all_of_a_paragraph(text: str, language: str) -> None:
    assert "".join(split_sentences(text, language)).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("word", ["word ", "x"])
def test_text_without_an_end_is_cut_between_words(word: str) -> None:
    text = normalise(word * 10_000)
    sentences = split_sentences(text, "en")
    assert max(map(len, sentences)) <= MAX_SENTENCE
    assert "".join(sentences).replace(" ", "") == text.replace(" ", "")
