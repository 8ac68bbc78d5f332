"""What can be wrong with one row of a task, as a few words; the empty text if nothing is."""

import math
from collections.abc import Mapping
from typing import Any

TEXTS: Mapping[str, tuple[str, ...]] = {
    "classification": ("text",),
    "pair": ("text", "text_pair"),
    "regression": ("text", "text_pair"),
    "tagging": ("words",),
    "span": ("question", "context"),
}
"""Kind of task -> the columns that the model reads."""

_TARGETS: Mapping[str, tuple[str, ...]] = {
    "classification": ("label",),
    "pair": ("label",),
    "regression": ("label",),
    "tagging": ("tags",),
    "span": ("answers",),
}
_OPTIONAL = {("regression", "text_pair")}


def form_fault(row: Mapping[str, Any], kind: str) -> str:
    """Whether a row has the columns of its kind, of the right types, and none is empty."""
    for column in ("id", *TEXTS[kind], *_TARGETS[kind]):
        if column not in row:
            if (kind, column) in _OPTIONAL:
                continue
            return f"no {column}"
        value = row[column]
        if column in ("words", "tags", "answers"):
            fault = _list_fault(column, value)
        elif kind == "regression" and column == "label":
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fault = "" if number and math.isfinite(value) else "label is no finite number"
        else:
            fault = f"{column} is {_kind(value)}" if not isinstance(value, str) else _blank(column, value)
        if fault:
            return fault
    return ""


def _list_fault(column: str, value: object) -> str:
    if not isinstance(value, list):
        return f"{column} is {_kind(value)}"
    if column == "answers":
        shape = all(isinstance(item, dict) and {"text", "start"} <= item.keys() for item in value)
        return "" if shape else "an answer lacks text or start"
    if not value:
        return f"{column} is empty"
    return "" if all(isinstance(item, str) and item for item in value) else f"{column} holds something else than texts"


def _kind(value: object) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"


def _blank(column: str, value: str) -> str:
    return "" if value.strip() else f"{column} is empty"


def tags_fault(words: list[str], tags: list[str]) -> str:
    """Whether tags are one a word and, if they are B-, I-, O, in a valid order (BIO2: I-X only after B-X or I-X)."""
    if len(words) != len(tags):
        return f"{len(words)} words, {len(tags)} tags"
    before = "O"
    for word, tag in zip(words, tags, strict=True):
        if tag.startswith("I-") and before not in (tag, f"B-{tag[2:]}"):
            return f"{tag} at {word} after {before}"
        before = tag
    return ""


def answers_fault(context: str, answers: list[dict[str, Any]]) -> str:
    """Whether every answer stands verbatim at its offset."""
    for answer in answers:
        text, start = answer["text"], answer["start"]
        if not isinstance(text, str) or not text.strip():
            return "an answer is empty"
        if not isinstance(start, int) or isinstance(start, bool):
            return f"start is {_kind(start)}"
        if start < 0 or not context.startswith(text, start):
            there = context[max(start, 0) : max(start, 0) + len(text)]
            return f"{text[:30]!r} is not at {start}: {there[:30]!r}"
    return ""
