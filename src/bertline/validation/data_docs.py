"""Data Docs: what the gates found, as pages for a browser.

`data/gates/GATE/data_docs/index.html` shows one gate at one glance: what failed first, with what was expected, what was
found and what to do; `data/gates/index.html` shows them all. Great Expectations' own templates fetch a dozen files
from public networks and stay blank without them; these pages are whole in themselves, the same offline and on an
air-gapped machine.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from bertline.base.artifacts import Artifacts
from bertline.base.files import read_json, write_text
from bertline.validation.frames import shorten
from bertline.validation.pages import GATE, OVERVIEW, STYLE

Values = Sequence[tuple[Any, int]]

_REPORT = "data_docs/report.json"


def write_data_docs(directory: Path, report: Mapping[str, Any], values: Mapping[str, Values]) -> None:
    """Write the index.html of a gate.

    Args:
        directory: where; two folders below data/gates, or three for a gate of a task.
        report: as run_gate makes it.
        values: name of a failed expectation -> values at fault, each with how often it is there.
    """
    entries = [_entry(entry, values.get(entry["name"], ())) for entry in report["expectations"]]
    held = [entry for entry in entries if entry["success"]]
    failed = [entry for entry in entries if not entry["success"]]
    frames = dict.fromkeys(entry["frame"] for entry in held)
    page = {
        "report": report,
        "title": f"{report['gate']}: Data Docs",
        "up": "../" * (2 + report["gate"].count("/")),
        "failed": [entry for entry in failed if entry["severity"] == "critical"],
        "warnings": [entry for entry in failed if entry["severity"] == "warning"],
        "held": held,
        "frames": [(frame, [entry for entry in held if entry["frame"] == frame]) for frame in frames],
        "figures": [(name.replace("_", " "), _figure(value)) for name, value in report["statistics"].items()],
    }
    write_text(directory / "index.html", _render(GATE, page))


def write_overview(artifacts: Artifacts) -> None:
    """Write data/gates/index.html: every gate that has run, in the order of the pipeline, with links to its page."""
    order = {gate: place for place, gate in enumerate(("gate_corpus", "gate_tokens", "gate_pretrain"))}
    gates = artifacts.gate("")
    paths = [path for pattern in ("*", "*/*") for path in gates.glob(f"{pattern}/{_REPORT}")]
    # A hidden folder holds what a gate that was killed had set aside.
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(gates).parts)]
    reports = sorted(
        (read_json(path) for path in paths), key=lambda report: (order.get(report["gate"], 9), report["gate"])
    )
    rows = [
        {
            "name": report["gate"],
            "passed": report["passed"],
            "expectations": len(report["expectations"]),
            "held": sum(entry["success"] for entry in report["expectations"]),
            "failed": [_entry(entry, ()) for entry in report["expectations"] if not entry["success"]],
        }
        for report in reports
    ]
    stopped = sum(not row["passed"] for row in rows)
    page = _render(OVERVIEW, {"title": "Gates: Data Docs", "gates": rows, "stopped": stopped})
    write_text(gates / "index.html", page)


def _render(template: str, page: Mapping[str, Any]) -> str:
    """Fill a template. What stands in the data is text, never markup."""
    environment = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string(template).render(page, style=Markup(STYLE))


def _entry(entry: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """An expectation of a report as the pages show it."""
    shown = set(entry["examples"])
    more = [(shorten(value), count) for value, count in values]
    return {
        **entry,
        "title": entry["name"][:1].upper() + entry["name"][1:].replace("_", " "),
        "at": entry["frame"] + (f".{entry['column']}" if entry["column"] else ""),
        "found": _found(entry),
        "more": more if len(more) > len(shown) else [],
    }


def _found(entry: Mapping[str, Any]) -> str:
    """What was found, in words."""
    if entry["rows"] > 1 and entry["unexpected_count"] and not entry["success"]:
        share = 100 * entry["unexpected_count"] / entry["rows"]
        return f"{entry['unexpected_count']:,} of {entry['rows']:,} rows are not ({share:.2g} %)"
    if entry["observed"] is None or entry["observed"] == "":
        return "none" if entry["observed"] == "" else f"{entry['rows']:,} rows"
    return _figure(entry["observed"])


def _figure(value: Any) -> str:
    """A figure for people: thousands apart, four places."""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
