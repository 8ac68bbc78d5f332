"""Docstrings in parts: the conventions of numpydoc, Google and reStructuredText, without code and markup."""

import inspect

import pytest

from bertline.tasks.docstrings import (
    Parameter,
    documented_parameters,
    plain,
    split_sentence,
    summary_and_description,
)

NUMPY = """Return the mean, e.g. of an array. It is taken over `axis`.

The :class:`~numpy.ndarray` is flattened by default::

    code = left_out

>>> mean([1])
1

```python
fenced = code

more = code
```

Parameters
----------
a, b : array_like of shape (n,), optional
    Array with numbers. If it is none, a `copy`
    is made.

    A second paragraph.
axis : {0, 1}
    The axis.
**kwargs
    More.

Returns
-------
m : float
    Not a parameter.
"""
GOOGLE = """Move the model.

Args:
    device (`torch.device`, *optional*, defaults to "cpu"): Where to
        move it.
    names: The names: all of them.

Returns:
    model: Not a parameter.
"""
FIELDS = """Open a session.

:param bind: the engine
  to use.
:param int size: how many.
:return: not a parameter.
"""


def test_the_first_sentence_is_the_summary_and_the_prose_before_sections_the_description() -> None:
    summary, description = summary_and_description(inspect.cleandoc(NUMPY))
    assert summary == "Return the mean, e.g. of an array."
    assert description == "It is taken over axis. The numpy.ndarray is flattened by default:"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            NUMPY,
            [
                Parameter(
                    "a, b",
                    "array_like of shape (n,), optional",
                    "Array with numbers. If it is none, a copy is made. A second paragraph.",
                ),
                Parameter("axis", "{0, 1}", "The axis."),
                Parameter("kwargs", "", "More."),
            ],
        ),
        (
            GOOGLE,
            [
                Parameter("device", 'torch.device, optional, defaults to "cpu"', "Where to move it."),
                Parameter("names", "", "The names: all of them."),
            ],
        ),
        (FIELDS, [Parameter("bind", "", "the engine to use."), Parameter("size", "int", "how many.")]),
    ],
)
def test_parameters_are_read_in_three_conventions(text: str, expected: list[Parameter]) -> None:
    assert documented_parameters(inspect.cleandoc(text)) == expected


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("see :func:`~a.b.c` and ``d``", "see a.b.c and d"),
        ("the `guide <https://example.org>`_ of *many* **kwargs", "the guide of many **kwargs"),
        ("[`Trainer`] by [this](http://x.org) [1]_", "Trainer by this"),
        ("a  <Tip> b </Tip>", "a b"),
        ("2 * 3 and x < y", "2 * 3 and x < y"),
    ],
)
def test_markup_is_taken_out(marked: str, expected: str) -> None:
    assert plain(marked) == expected


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One. Two.", "One."),
        ("Version 1.5 of it, i.e. The new one. Two.", "Version 1.5 of it, i.e. The new one."),
        ("no end", "no end"),
        ("Really? Yes.", "Really?"),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, first: str) -> None:
    assert split_sentence(text)[0] == first


@pytest.mark.parametrize("text", ["", "\n\n", ">>> only_code()\n", "Parameters\n----------\n", "=====\nTitle\n====="])
def test_docstrings_without_prose_have_no_summary(text: str) -> None:
    assert summary_and_description(text) == ("", "")
    assert documented_parameters(text) == []
