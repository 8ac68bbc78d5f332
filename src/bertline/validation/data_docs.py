"""Data Docs: the report of a gate as pages for a browser.

`index.html` shows all expectations of the gate at one glance, with what to do about the failed ones; one page a frame
shows its suite as Great Expectations renders validation results (unexpected values with their counts). Great
Expectations' own page templates fetch a dozen files from public networks and stay blank without them, so its sections
stand here in a page of ours: no script, nothing fetched, the same offline and on an air-gapped machine.
"""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f37; --bad: #d1242f; --warn: #b07000 }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1.5rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2, h5 { font-size: 1.1rem; margin: 2rem 0 .5rem }
table { border-collapse: collapse; width: 100% } thead[hidden] { display: none }
th, td { border-bottom: 1px solid var(--line); padding: .45rem .6rem; text-align: left; vertical-align: top }
th { background: var(--soft); font-weight: 600 } td { overflow-wrap: break-word }
tr.failed td { background: #d1242f14 } tr.warned td { background: #b0700014 }
.ok, .text-success { color: var(--good) } .no, .text-danger { color: var(--bad) } .hm { color: var(--warn) }
.mark { font-weight: 700; white-space: nowrap } .small, .badge { font-size: .85rem; opacity: .8 }
.fa-check-circle::before { content: "\\2714" } .fa-times::before { content: "\\2718" }
.fa-exclamation-triangle::before { content: "\\26A0" } i { font-style: normal }
.figures td:first-child { width: 22rem } code { font-size: .9em }
"""

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.gate }}: Data Docs</title>
<style>{{ style | safe }}</style>
</head>
<body>
"""

_INDEX = (
    _HEAD
    + """<h1>{{ report.gate | e }}
{% if report.passed %}<span class="ok">passed</span>{% else %}<span class="no">failed</span>{% endif %}</h1>
<p>{{ report.expectations | length }} expectations: {{ held }} hold, {{ warned }} warn, {{ broken }} stop the pipeline.
Suites:
{% for frame in frames %}<a href="{{ frame | e }}.html">{{ frame | e }}</a>{{ ", " if not loop.last }}{% endfor %}.
</p>
{% for heading, entries in groups if entries %}
<h2>{{ heading }}</h2>
<table>
<thead><tr><th></th><th>Expectation</th><th>Looks at</th><th>Must be</th><th>Found</th></tr></thead>
<tbody>
{% for entry in entries %}
<tr class="{{ "" if entry.success else "warned" if entry.severity == "warning" else "failed" }}">
<td class="mark">{% if entry.success %}<span class="ok">&#10004;</span>
{% elif entry.severity == "warning" %}<span class="hm">&#9888; warning</span>
{% else %}<span class="no">&#10008; failed</span>{% endif %}</td>
<td>{{ entry.title | e }}{% if entry.severity == "warning" and entry.success %} <span class="small">(warning)</span>
{% endif %}{% if not entry.success %}<br><span class="small">What to do: {{ entry.fix | e }}.</span>{% endif %}</td>
<td><a href="{{ entry.frame | e }}.html">{{ entry.frame | e }}</a>
{{- "." ~ entry.column | e if entry.column }}</td>
<td>{{ entry.expected | e }}</td>
<td>{{ entry.found | e }}{% for example in entry.examples %}<br><code>{{ example | e }}</code>{% endfor %}</td>
</tr>
{% endfor %}
</tbody>
</table>
{% endfor %}
{% if report.statistics %}
<h2>Figures</h2>
<table class="figures"><tbody>
{% for name, value in report.statistics | dictsort %}
<tr><td>{{ name.replace("_", " ") | e }}</td><td>{{ value | e }}</td></tr>
{% endfor %}
</tbody></table>
{% endif %}
</body>
</html>
"""
)

_FRAME = (
    _HEAD
    + """<p><a href="index.html">{{ report.gate | e }}</a></p>
<h1>{{ frame | e }}</h1>
<p>{{ rows }}</p>
{% for section in sections %}
{% set section_loop = loop -%}
{% include 'section.j2' %}
{% endfor %}
</body>
</html>
"""
)


def write_data_docs(directory: Path, report: Mapping[str, Any], pages: Mapping[str, Any]) -> None:
    """Write index.html and a page a frame into an empty directory.

    Args:
        directory: where.
        report: as run_gate makes it.
        pages: frame -> Great Expectations' validation result.
    """
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer  # noqa: PLC0415
    from great_expectations.render.view.view import DefaultJinjaPageView  # noqa: PLC0415

    environment = DefaultJinjaPageView().env
    common = {"report": report, "style": _STYLE}
    index = environment.from_string(_INDEX).render(**common, **_overview(report), frames=sorted(pages))
    (directory / "index.html").write_text(index, encoding="utf-8")
    for frame, result in pages.items():
        document = ValidationResultsPageRenderer().render(result).to_json_dict()
        # The first section is an overview, with the time of the run and links to pages that are not here.
        sections = _escaped(document["sections"][1:])
        rows = f"{result.statistics['successful_expectations']} of {result.statistics['evaluated_expectations']} hold."
        page = environment.from_string(_FRAME).render(**common, frame=frame, rows=rows, sections=sections)
        (directory / f"{frame}.html").write_text(page, encoding="utf-8")


def _escaped(block: Any) -> Any:
    """Rendered content with the texts in the cells of its tables escaped: they are data, which may hold markup."""
    if isinstance(block, list):
        return [_escaped(item) for item in block]
    if not isinstance(block, dict):
        return block
    escaped = {name: _escaped(value) for name, value in block.items()}
    if block.get("content_block_type") == "table":
        escaped["table"] = [
            [html.escape(cell) if isinstance(cell, str) else _escaped(cell) for cell in row] for row in block["table"]
        ]
    return escaped


def _overview(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the index shows beside the report: the entries in groups, failed ones first, and how many there are."""
    entries = [{**entry, "title": _title(entry["name"]), "found": _found(entry)} for entry in report["expectations"]]
    held = [entry for entry in entries if entry["success"]]
    failed = [entry for entry in entries if not entry["success"]]
    stops = [entry for entry in failed if entry["severity"] == "critical"]
    warns = [entry for entry in failed if entry["severity"] == "warning"]
    groups = [("Failed", stops), ("Warnings", warns), ("Held", held)]
    return {"groups": groups, "held": len(held), "warned": len(warns), "broken": len(stops)}


def _title(name: str) -> str:
    return name[:1].upper() + name[1:].replace("_", " ")


def _found(entry: Mapping[str, Any]) -> str:
    """What was found, in words."""
    if entry["rows"] > 1 and entry["unexpected_count"] and not entry["success"]:
        return f"{entry['unexpected_count']:,} of {entry['rows']:,} rows are not"
    if entry["observed"] is None or entry["observed"] == "":
        return "none" if entry["observed"] == "" else f"{entry['rows']:,} rows"
    return f"{entry['observed']:,}" if isinstance(entry["observed"], int) else str(entry["observed"])
