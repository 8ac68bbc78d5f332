"""A check: one expectation of a suite, with its name, its severity and what to do when it fails.

A suite is a list of checks, one a line (suites.py). The constructors below are the kinds in use; another expectation
of Great Expectations is one more constructor of three lines. Nothing here imports Great Expectations: gate.py does,
when it runs the checks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Check:
    """One expectation.

    Attributes:
        name: says what must hold, in snake case; unique in its gate.
        at: the place it looks at, "frame.column", or "frame" for the whole table.
        expectation: the type in Great Expectations.
        expected: the same in words, for messages: "unique", "between 0 and 0.02".
        fix: what to do when it fails, a sentence without its full stop.
        severity: critical stops the pipeline, warning is reported.
        arguments: of the expectation, beside the column.
    """

    name: str
    at: str
    expectation: str
    expected: str
    fix: str
    severity: Severity = "critical"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frame(self) -> str:
        return self.at.partition(".")[0]

    @property
    def column(self) -> str | None:
        return self.at.partition(".")[2] or None


def unique(name: str, at: str, fix: str) -> Check:
    """No value occurs twice."""
    return Check(name, at, "expect_column_values_to_be_unique", "unique", fix)


def between(
    name: str,
    at: str,
    low: float | None,
    high: float | None,
    fix: str,
    *,
    mostly: float = 1.0,
    severity: Severity = "critical",
) -> Check:
    """Every value is a number from `low` to `high`, both included; None: no bound.

    `mostly` is the share of rows for which that must hold, here and below.
    """
    expected = _bounds(low, high) + _most(mostly)
    arguments = {"min_value": low, "max_value": high, "mostly": mostly}
    return Check(name, at, "expect_column_values_to_be_between", expected, fix, severity, arguments)


def one_of(
    name: str, at: str, values: Sequence[Any], fix: str, *, mostly: float = 1.0, severity: Severity = "critical"
) -> Check:
    """Every value is one of `values`."""
    shown = ", ".join(str(value) for value in values[:6]) + (", …" if len(values) > 6 else "")
    expected = (shown if len(values) == 1 else f"one of {shown}") + _most(mostly)
    arguments = {"value_set": list(values), "mostly": mostly}
    return Check(name, at, "expect_column_values_to_be_in_set", expected, fix, severity, arguments)


def none(name: str, at: str, fix: str, *, mostly: float = 1.0, severity: Severity = "critical") -> Check:
    """A column of faults is empty: every value is the empty text."""
    check = one_of(name, at, [""], fix, mostly=mostly, severity=severity)
    return replace(check, expected="none" + _most(mostly))


def matches(name: str, at: str, regex: str, fix: str) -> Check:
    """Every value matches a regular expression."""
    arguments = {"regex": regex}
    return Check(name, at, "expect_column_values_to_match_regex", f"like {regex}", fix, arguments=arguments)


def rows(name: str, at: str, low: int, fix: str) -> Check:
    """The table has at least `low` rows."""
    arguments = {"min_value": low}
    expected = f"at least {low:,} rows"
    return Check(name, at, "expect_table_row_count_to_be_between", expected, fix, arguments=arguments)


def _most(mostly: float) -> str:
    return "" if mostly == 1 else f" in {100 * mostly:.5g} % of the rows"


def _bounds(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high:,.12g}" if low is None else f"at least {low:,.12g}"
    return f"{low:,.12g}" if low == high else f"between {low:,.12g} and {high:,.12g}"
