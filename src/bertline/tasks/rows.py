"""What a row of each kind of task holds (the table in schema.py), and what is wrong with one: file, row and fix."""

import unicodedata
from collections.abc import Mapping, Sequence

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.base.files import JsonRow

COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "pair": ("text", "text_pair", "label"),
    "regression": ("text", "label"),
    "tagging": ("words", "tags"),
    "span": ("question", "context", "answers"),
}
"""What a row of each kind has beside its id; the last is what is to be predicted."""

_LARGEST = 1e30  # of numbers: fp32 ends at 3e38
_LEAST_SPREAD = 1e-5  # of numbers, as a share of the largest: in fp32 it is some hundred steps


def targets(row: JsonRow, kind: Kind) -> set[str]:
    """The labels of a row: its label, its tags, or none."""
    if kind in ("classification", "pair"):
        return {row["label"]}
    return set(row["tags"]) if kind == "tagging" else set()


def check_several_labels(rows: Sequence[JsonRow], kind: Kind, where: str) -> None:
    """Refuse training rows that all have one label, one number or no answer: there is nothing to learn from them.

    Numbers that fp32 does not tell apart are one number.

    Raises:
        BertlineError: they do; at `where`, file and row of the first one.
    """
    if kind == "span":
        if not any(row["answers"] for row in rows):
            what = f"none of the {len(rows)} training questions has an answer, this one first"
            fix = "Add questions with an answer: there is nothing to learn from these"
            raise BertlineError(what, where=where, fix=fix)
        return
    found = {label for row in rows for label in targets(row, kind) or {str(row["label"])}}
    if len(found) == 1:
        what = f"all {len(rows)} training rows have the one label {found.pop()!r:.60}, this one first"
        raise BertlineError(what, where=where, fix="Add rows with another label: there is nothing to learn from these")
    if kind == "regression":
        _check_spread([row["label"] for row in rows], where)


def _check_spread(values: Sequence[float], where: str) -> None:
    low, high = min(values), max(values)
    if high - low < max(_LEAST_SPREAD * max(abs(low), abs(high)), 1 / _LARGEST):
        what = f"all labels lie between {low!r} and {high!r}, too close for the single precision of a network"
        raise BertlineError(what, where=where, fix="Subtract what they share, as the year or the day from seconds")


def check_row(row: JsonRow, kind: Kind, labels: frozenset[str] | None, where: str, *, labelled: bool = True) -> None:
    """Check one row against its kind.

    Args:
        row: the row.
        kind: the kind of its task.
        labels: the labels a row may have; None: any.
        where: file and line, for messages.
        labelled: the row has its label, tags or answers.

    Raises:
        BertlineError: what is wrong with the row, where, and the fix.
    """
    for column in ("id", *COLUMNS[kind][: None if labelled else -1]):
        if column not in row:
            fix = f"A row of kind {kind} has: id, {', '.join(COLUMNS[kind])}"
            raise BertlineError(f"no column {column!r}", where=where, fix=fix)
    for column in ("id", "text", "text_pair", "question", "context"):
        if column in row:
            _check_text(row[column], column, where)
    if not labelled:
        return
    if kind in ("classification", "pair"):
        _check_label(row["label"], "label", labels, where)
    elif kind == "regression":
        _check_number(row["label"], where)
    elif kind == "tagging":
        _check_tags(row["words"], row["tags"], labels, where)
    else:
        _check_answers(row["context"], row["answers"], where)


def check_pair(row: JsonRow, where: str, *, pair: bool) -> None:
    """Check that a row has a second text if the first training row has one, and only then.

    Raises:
        BertlineError: it is the other way round.
    """
    if ("text_pair" in row) != pair:
        what = "no second text, where the first training row has one" if pair else "a second text, unlike the first row"
        raise BertlineError(f"text_pair: {what}", where=where, fix="Give all rows of a task the same columns")


def _check_text(value: object, column: str, where: str) -> str:
    if not isinstance(value, str):
        raise BertlineError(f"{column} is {value!r:.60}, not a text", where=where, fix="Write it in quotes")
    if not value.strip():
        raise BertlineError(f"{column} is empty", where=where, fix="Fill it in, or remove the row")
    check_characters(value, column, where)
    return value


def check_characters(value: str, column: str, where: str) -> None:
    """Check that a text can be written: JSON can name halves of a character (an emoji that was cut in two).

    Raises:
        BertlineError: it holds one.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = value[error.start].encode("unicode_escape").decode()
        fix = "Remove it, or cut the text elsewhere"
        raise BertlineError(f"{column} holds half a character ({half})", where=where, fix=fix) from None


def _check_label(value: object, column: str, labels: frozenset[str] | None, where: str) -> None:
    value = _check_text(value, column, where)
    if any(unicodedata.category(character) == "Cc" for character in value):
        fix = "Remove it; it may be left of a Windows line end (\\r)"
        raise BertlineError(f"{column} {value!r:.60} holds a control character", where=where, fix=fix)
    if labels is not None and value not in labels:
        known = ", ".join(f"{label:.40}" for label in sorted(labels)[:20]) or "none"
        fix = f"Use one that occurs in the training rows: {known}"
        raise BertlineError(f"unknown {column} {value!r:.60}", where=where, fix=fix)


def _check_number(value: object, where: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(float(str(value))) < _LARGEST:  # NaN is not
        fix = "Write a finite number, in another unit if it must be so large"
        raise BertlineError(f"label {value!r:.60} is not a number below {_LARGEST:g}", where=where, fix=fix)


def _check_tags(words: object, tags: object, labels: frozenset[str] | None, where: str) -> None:
    if not isinstance(words, list) or not isinstance(tags, list):
        raise BertlineError("words and tags are not two lists", where=where, fix='Write {"words": […], "tags": […]}')
    if not words:
        raise BertlineError("words is empty", where=where, fix="Fill it in, or remove the row")
    if len(words) != len(tags):
        what = f"{len(words)} words but {len(tags)} tags"
        raise BertlineError(what, where=where, fix="Give every word one tag")
    before = "O"
    for word, tag in zip(words, tags, strict=True):
        _check_text(word, "word", where)
        _check_label(tag, "tag", labels, where)
        if tag.startswith("I-") and before not in (tag, f"B-{tag[2:]}"):
            raise BertlineError(f"{tag} at {word!r} follows {before}", where=where, fix=f"Begin it with B-{tag[2:]}")
        before = tag


def _check_answers(context: str, answers: object, where: str) -> None:
    shape = 'Write "answers": [{"text": …, "start": offset in characters}], or [] for no answer'
    if not isinstance(answers, list):
        columns = ", nor are text and answer_start lists of one length" if isinstance(answers, dict) else ""
        raise BertlineError(f"answers is not a list{columns}", where=where, fix=shape)
    for answer in answers:
        if not isinstance(answer, dict) or not {"text", "start"} <= answer.keys():
            raise BertlineError("an answer lacks text or start", where=where, fix=shape)
        text, start = answer["text"], answer["start"]
        _check_text(text, "answer", where)
        if not isinstance(start, int) or isinstance(start, bool):
            raise BertlineError(f"start is {start!r}, not a whole number", where=where, fix=shape)
        if start < 0 or context[start : start + len(text)] != text:
            there = context[max(start, 0) : max(start, 0) + len(text)]
            found = context.find(text)
            fix = f"Set start to {found}" if found >= 0 else "Take the answer verbatim from the context"
            what = f"answer {text[:40]!r} is not at offset {start} ({there[:40]!r} is)"
            raise BertlineError(what, where=where, fix=fix)
