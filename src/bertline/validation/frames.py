"""The small tables that the checks look at: statistics of the artefacts, never whole texts.

A frame has a row a thing (a document, a split, a point of a curve), or one row alone for figures of the whole. No cell
that a check looks at may be empty, because Great Expectations passes over nulls: what may lack is named in a column
`missing`, which has a check of its own.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pandas as pd

EXAMPLES = 3
_LONGEST_EXAMPLE = 80


@dataclass(frozen=True)
class Frame:
    """A table for checks.

    Attributes:
        table: the rows.
        key: the column that names a row in messages; empty for figures of the whole.
        examples: column -> up to three things that made its figure what it is (sentences with markup, say).
    """

    table: pd.DataFrame
    key: str = ""
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def figures(self, *columns: str) -> dict[str, Any]:
        """Some cells of the first row: what a gate's report keeps as statistics."""
        return {column: self.table[column].iloc[0] for column in columns}


def summary(values: Mapping[str, Any], examples: Mapping[str, Sequence[str]] | None = None) -> Frame:
    """One row of figures of the whole, and `missing`: the names of those that are absent or no finite number."""
    lacking = [name for name, value in values.items() if is_missing(value)]
    return Frame(pd.DataFrame([{**values, "missing": ", ".join(lacking)}]), "", examples or {})


def is_missing(value: object) -> bool:
    """Whether a figure is absent: None, NaN or infinite."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def as_text(values: "pd.Series[Any]") -> "pd.Series[str]":
    """A column of texts in which what is not there is the empty text."""
    return values.astype(object).where(values.notna(), "").astype(str)


def shorten(value: object) -> str:
    """A value as an example in a message: one line of at most 80 characters, quoted if it is a text."""
    text = " ".join(str(value).split())
    short = text if len(text) <= _LONGEST_EXAMPLE else text[: _LONGEST_EXAMPLE - 1] + "…"
    return f'"{short}"' if isinstance(value, str) else short


def first(values: Iterable[str]) -> list[str]:
    """The first three, shortened."""
    return [shorten(value) for value in islice(values, EXAMPLES)]
