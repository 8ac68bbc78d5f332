"""What people ask about, brought into rows: plain strings or mappings, checked, without any label.

| kind | an input |
|---|---|
| classification, regression of one text | a string, or {"text": …} |
| pair, regression of two texts | {"text": …, "text_pair": …} |
| tagging | a string, {"text": …}, or {"words": […]} |
| span | {"question": …, "context": …} |

Other keys are left out: a label that comes along cannot change a prediction.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from bertline.base.errors import BertlineError
from bertline.base.words import marked_pattern
from bertline.tasks.rows import check_characters
from bertline.tasks.schema import TaskInfo

Row = dict[str, Any]
Input = str | Mapping[str, Any]

_IDEOGRAPH = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# What parts two words even where no space does: brackets, quotes, ends of sentences, dashes longer than a hyphen, and
# the punctuation of scripts that put no space beside it.
_BETWEEN = r"()\[\]{};!?\"«»‹›“”„‒–—―…¡¿،؛؟۔।॥" + "\u3000-\u303f\uff00-\uffef・"


@cache
def _word() -> re.Pattern[str]:
    part = marked_pattern(rf"[^\W{_IDEOGRAPH}]")
    return re.compile(rf"{part}(?:[^\w\s{_BETWEEN}]+{part})*|\S")


def input_columns(kind: str, pair: bool) -> tuple[str, ...]:
    """The keys of an input that is a mapping; tagging takes "text" in place of "words"."""
    if kind == "span":
        return ("question", "context")
    if kind == "tagging":
        return ("words",)
    return ("text", "text_pair") if pair else ("text",)


def as_rows(task: TaskInfo, inputs: Sequence[Input], *, punctuation_words: bool = True) -> list[Row]:
    """Check inputs and bring them into rows of the task's kind.

    A tagging row made of a text has beside "words" its "text" and the "spans" of the words in it.

    Args:
        task: says what is needed.
        inputs: from people, or rows of a task.
        punctuation_words: when a text is split, whether punctuation marks are words too.

    Raises:
        BertlineError: an input has not what the kind needs; says which one, and what is expected.
    """
    if isinstance(inputs, str | Mapping):
        raise BertlineError("one input alone", where="inputs", fix="Put it into a list: […]")
    return [_row(task, value, f"input {number}", punctuation_words) for number, value in enumerate(inputs, start=1)]


def _row(task: TaskInfo, value: object, where: str, punctuation_words: bool) -> Row:
    expected = _describe_input(task)
    columns = input_columns(task.kind, task.pair)
    if isinstance(value, str) and task.kind != "span" and not task.pair:
        value = {"text": value}
    if not isinstance(value, Mapping):
        raise BertlineError(f"is a {type(value).__name__}", where=where, fix=f"Give {expected}")
    if task.kind == "tagging" and "words" not in value and "text" in value:
        return _split(_text(value["text"], "text", where, expected), punctuation_words)
    for column in columns:
        if column not in value:
            raise BertlineError(f"no {column!r}", where=where, fix=f"Give {expected}")
    if task.kind == "tagging":
        return {"words": _words(value["words"], where, expected)}
    return {column: _text(value[column], column, where, expected) for column in columns}


def _describe_input(task: TaskInfo) -> str:
    """What an input of the task looks like, in words, for errors."""
    if task.kind == "tagging":
        return f'a text, or {{"words": [a list of words]}} (task {task.name}, tagging)'
    columns = input_columns(task.kind, task.pair)
    shape = "{" + ", ".join(f'"{column}": a text' for column in columns) + "}"
    plain = "a text, or " if columns == ("text",) else ""
    return f"{plain}{shape} (task {task.name}, {task.kind})"


def _text(value: object, column: str, where: str, expected: str) -> str:
    if not isinstance(value, str):
        raise BertlineError(f"{column} is {value!r:.60}, not a text", where=where, fix=f"Give {expected}")
    if not value.strip():
        raise BertlineError(f"{column} is empty", where=where, fix=f"Give {expected}")
    check_characters(value, column, where)
    return value


def _words(value: object, where: str, expected: str) -> list[str]:
    # Not only lists: a registered model hands over NumPy arrays.
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise BertlineError(f"words is {value!r:.60}, not a list", where=where, fix=f"Give {expected}")
    words = [_text(word, "word", where, expected) for word in value]
    if not words:
        raise BertlineError("words is empty", where=where, fix=f"Give {expected}")
    return words


def _split(text: str, punctuation_words: bool) -> Row:
    """Words and where they stand, as in the corpora that taggers learn from.

    Punctuation around a word is split off sign by sign, inside a word (0.5, array-like, don't) it stays, but for what
    is never part of one; an ideograph is a word.
    """
    spans = word_spans(text, punctuation_words=punctuation_words)
    return {"words": [text[start:end] for start, end in spans], "text": text, "spans": spans}


def word_spans(text: str, *, punctuation_words: bool) -> list[tuple[int, int]]:
    """First character and one past the last of every word; with `punctuation_words`, marks are words too."""
    found = _word().finditer(text)
    return [match.span() for match in found if punctuation_words or _is_word(match.group())]


def _is_word(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def has_punctuation_words(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether punctuation marks are words of these tagging rows."""
    return any(not _is_word(word) for row in rows for word in row["words"])
