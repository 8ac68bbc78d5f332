"""A gate: checks run over frames by Great Expectations; what came out, as a report, as Data Docs, and as an error.

    run_gate("gate_corpus", artifacts, frames, checks, data="data/documents", statistics={…})

`report.json` says the same for the same data, byte by byte: no times, no ids. It exists only where the gate was
passed, and so does `passed.json`, without which nothing after the gate can run; that file never changes, so that a new
threshold is no reason to train again. `data_docs/` beside them always exists, with the same report and a page for a
browser; data/gates/index.html leads to those of all gates.

The severity of an expectation decides, as in Great Expectations: critical stops the pipeline, warning is printed.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_directory, exclusive_lock, write_json
from bertline.base.messages import say
from bertline.validation.checks import Check
from bertline.validation.data_docs import Values, write_data_docs, write_overview
from bertline.validation.expectations import Outcome, validate
from bertline.validation.frames import EXAMPLES, Frame, shorten

Report = dict[str, Any]
_PATIENCE = 60.0  # seconds to wait for other gates; writing takes a fraction of one


def run_gate(
    gate: str,
    artifacts: Artifacts,
    frames: Mapping[str, Frame],
    checks: Sequence[Check],
    *,
    data: str,
    statistics: Mapping[str, Any],
) -> Report:
    """Run the checks of a gate and write its report and Data Docs.

    Args:
        gate: its name, `gate_corpus` or `gate_task/T`; decides where the report goes.
        artifacts: the checkout.
        frames: name -> table; every `Check.at` begins with one of the names.
        checks: what must hold, the most telling first.
        data: what was looked at, for messages.
        statistics: figures worth keeping in the report.

    Returns:
        The report: gate, passed, expectations (one a check, in their order), statistics.

    Raises:
        BertlineError: a critical check failed. Names it, how many values are at fault, three of them, and the fix.
            Or other gates did not end writing their Data Docs.
    """
    outcomes = validate(frames, checks)
    entries = [_entry(check, frames[check.frame], outcome) for check, outcome in zip(checks, outcomes, strict=True)]
    failed = [entry for entry in entries if not entry["success"]]
    critical = [entry for entry in failed if entry["severity"] == "critical"]
    report = {
        "gate": gate,
        "passed": not critical,
        "expectations": entries,
        "statistics": {name: _plain(value) for name, value in statistics.items()},
    }
    path, passed = artifacts.gate_report(gate), artifacts.gate_passed(gate)
    docs = artifacts.gate(gate) / "data_docs"
    values = {check.name: found.values for check, found in zip(checks, outcomes, strict=True)}
    _write_docs(artifacts, docs, report, values)
    for entry in failed:
        if entry["severity"] == "warning":
            say(f"{gate}: warning: {data}: {describe(entry)}. {entry['fix']}.")
    if critical:
        passed.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        others = ", ".join(entry["name"] for entry in critical[1:])
        others = f"; failed too: {others}" if others else ""
        fix = f"{critical[0]['fix']}; all that was found stands in {docs / 'index.html'}"
        raise BertlineError(f"expectation {describe(critical[0])}{others}", where=data, fix=fix)
    write_json(path, report)
    write_json(passed, {"gate": gate, "passed": True})
    return report


def _write_docs(artifacts: Artifacts, docs: Path, report: Report, values: Mapping[str, Values]) -> None:
    """Write the Data Docs of a gate, and the page of all gates."""
    # Gates of several tasks run side by side, and for the page of all each reads what the others wrote.
    with exclusive_lock(artifacts.runs / "gates.lock", "writing the Data Docs of a gate", patience=_PATIENCE):
        with atomic_directory(docs) as directory:
            write_data_docs(directory, report, values)
            write_json(directory / "report.json", report)
        write_overview(artifacts)


def describe(entry: Mapping[str, Any]) -> str:
    """A failed entry of a report in words: name, what was expected, what was found, how often, three examples."""
    count = entry["unexpected_count"]
    counted = entry["rows"] > 1 and count
    found = f"{count:,} of {entry['rows']:,} rows are not" if counted else f"found {entry['observed']}"
    examples = f", for example {'; '.join(entry['examples'])}" if entry["examples"] else ""
    return f"{entry['name']} failed: {entry['column'] or 'rows'} must be {entry['expected']}, {found}{examples}"


def summarize(report: Report) -> dict[str, Any]:
    """What a gate's stage returns: how many expectations held, how many warned, and the report's statistics."""
    entries = report["expectations"]
    warned = sum(not entry["success"] for entry in entries)
    return {"passed": len(entries) - warned, "warnings": warned, **report["statistics"]}


def _entry(check: Check, frame: Frame, outcome: Outcome) -> dict[str, Any]:
    """One expectation of the report."""
    alone = len(frame.table) == 1 and check.column is not None
    observed = frame.table[check.column].iloc[0] if alone and not outcome.error else outcome.observed
    return {
        "name": check.name,
        "expectation": check.expectation,
        "frame": check.frame,
        "column": check.column,
        "expected": check.expected,
        "severity": check.severity,
        "success": outcome.success,
        "observed": _plain(observed),
        "unexpected_count": outcome.unexpected_count,
        "rows": len(frame.table) if check.column else 1,
        "examples": [] if outcome.success else _examples(check, frame, outcome),
        "fix": check.fix,
    }


def _examples(check: Check, frame: Frame, outcome: Outcome) -> list[str]:
    """Up to three of what is at fault: the frame's own examples, or the rows that Great Expectations names."""
    column = check.column or ""
    if column in frame.examples:
        return list(frame.examples[column])
    if not frame.key:
        return []
    found: dict[str, None] = {}
    for row in outcome.rows:
        name, value = str(row[frame.key]), _plain(row[column])
        value = int(value) if isinstance(value, float) and value.is_integer() else value
        named = isinstance(value, str) and value.startswith('"')  # the name of another row: quoted as it is
        found.setdefault(name if str(value) in name else f"{name}: {value if named else shorten(value)}")
    return list(found)[:EXAMPLES]


def _plain(value: Any) -> Any:
    """A cell as JSON: NumPy scalars as Python's, floats to 6 places, no NaN."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    return value
