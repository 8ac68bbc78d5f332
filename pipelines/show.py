"""What a run shows in Prefect's UI, as artifacts: plan, gates, curves, scoreboard, the registry's decisions.

An artifact holds text and small pictures. Data Docs and the report are pages: they are copied to data/runs/pages/RUN,
outside any worktree, and `make ui` serves that folder at BERTLINE_PAGES_URL, to which the artifacts link.

A fault of showing fails no run: it is logged.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prefect import State, get_run_logger, runtime
from prefect.artifacts import create_image_artifact, create_markdown_artifact

from bertline.base.artifacts import Artifacts
from bertline.base.files import read_json
from bertline.base.params import load_params
from pipelines import curves
from pipelines.plan import Changes, Plan

PAGES_URL = "BERTLINE_PAGES_URL"


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Log whatever goes wrong, and go on: a run whose work is done must not count as failed."""
    try:
        yield
    except Exception as error:  # Prefect's own faults and httpx's too, where the server is away
        get_run_logger().warning("%s: could not be shown: %s", what, error)


def plan(shown: Plan, changes: Changes) -> None:
    """The stages, and what the run will do about each; the graph itself, Prefect draws."""
    text = f"```\n{shown.table(changes)}\n```\n"
    with harmless("plan"):
        create_markdown_artifact(text, key="plan", description="The stages, and what the run does about each")


def gates(root: Path) -> dict[Path, int]:
    """Report in the Data Docs of each gate -> when it was written."""
    return {path: path.stat().st_mtime_ns for path in Artifacts(root).gate("").rglob("data_docs/report.json")}


def results(
    root: Path, checkout: Path, run: str, states: Mapping[str, State[Any]], gates_before: Mapping[Path, int]
) -> None:
    """What the stages have left.

    Args:
        root: where they ran.
        checkout: where pages are served from, and the MLflow store is.
        run: its name.
        states: the last state of each stage.
        gates_before: what `gates` gave before they ran: what has not been written since is of another run.
    """
    artifacts = Artifacts(root)
    for stage, state in states.items():
        if state.is_pending():  # below a failure
            continue
        with harmless(stage):
            _result(stage, state, artifacts, Artifacts(checkout), run, gates_before)


def saved(run: str, commit: str) -> None:
    """Where the result of a worktree run is, and how to take it over."""
    text = f"""The parameters and results of this run are commit `{commit[:12]}`, DVC experiment `{run}`.

| to | type |
|---|---|
| compare it | `dvc exp show` · `dvc metrics diff HEAD {commit[:12]}` |
| make a branch of it | `python -m pipelines.worktree adopt {run} BRANCH`, `git switch BRANCH && dvc checkout` |
| bring it into the checkout | `dvc exp apply {run}` |
"""
    with harmless("result"):
        create_markdown_artifact(text, key="result", description="Where the result is")


def points(table: str, task: str) -> None:
    """The points of a sweep."""
    with harmless("sweep"):
        create_markdown_artifact(table, key="sweep", description=f"Every point of {task}, the best first")


def decisions(text: str) -> None:
    """What the registry decided."""
    create_markdown_artifact(text, key="registry", description="Which versions serve, and why")


def _result(
    stage: str,
    state: State[Any],
    artifacts: Artifacts,
    checkout: Artifacts,
    run: str,
    gates_before: Mapping[Path, int],
) -> None:
    name, _, task = stage.partition("@")
    if name.startswith("gate_"):
        gate = f"{name}/{task}" if task else name
        found = artifacts.gate(gate) / "data_docs" / "report.json"
        if state.is_completed():
            _gate(gate, artifacts.gate_report(gate), artifacts, checkout, run)
        elif _refused(found, gates_before):
            _gate(gate, found, artifacts, checkout, run)
        else:
            text = f"**{gate}: no verdict**. {_cell(state.message)}"
            create_markdown_artifact(text, key=_key(gate), description=f"{gate} ended before it had one")
    elif not state.is_completed():
        return
    elif name == "pretrain":
        report = artifacts.report("pretrain")
        _images(curves.pretraining(read_json(report / "curve.json"), read_json(report / "validation_curve.json")))
    elif name in ("finetune", "transfer"):
        picture = curves.finetuning(read_json(artifacts.curve(name, task)), task)
        _images({f"{task} {'fine-tuning' if name == 'finetune' else name} loss": picture})
    elif name == "report":
        text = (artifacts.scoreboard / "scoreboard.md").read_text(encoding="utf-8")
        text += _publish_report(artifacts.scoreboard / "report.html", checkout, run)
        create_markdown_artifact(text, key="scoreboard", description="Every score")
    elif name == "register":
        from bertline.registry.decisions import describe  # noqa: PLC0415  (mlflow takes seconds)

        config = load_params(artifacts.params).register  # of the run; the store is that of the checkout
        decisions(describe(checkout, config, str(runtime.flow_run.id)))


def _refused(report: Path, gates_before: Mapping[Path, int]) -> bool:
    """Whether a gate that did not end well has said why; what an earlier run has left there says nothing."""
    if not report.is_file() or report.stat().st_mtime_ns == gates_before.get(report):
        return False
    return not read_json(report)["passed"]


def _images(pictures: Mapping[str, str]) -> None:
    for title, picture in pictures.items():
        create_image_artifact(picture, key=_key(title), description=title)


def _gate(gate: str, path: Path, artifacts: Artifacts, checkout: Artifacts, run: str) -> None:
    """The table of a gate's report, passed or not, with a link to its Data Docs."""
    report = read_json(path)
    page = _publish(gate, report, artifacts.gate(gate) / "data_docs", checkout, run)
    entries = sorted(report["expectations"], key=lambda entry: (entry["success"], entry["severity"]))
    held = sum(entry["success"] for entry in entries)
    lines = [
        f"**{gate}: {'passed' if report['passed'] else 'failed'}**, {held} of {len(entries)} expectations hold. {page}",
        "",
        "| | expectation | observed | expected | at fault | severity |",
        "|---|---|---|---|---|---|",
    ]
    for entry in entries:
        cells = [entry["name"].replace("_", " "), entry["observed"], entry["expected"]]
        cells += [entry["unexpected_count"] or "", entry["severity"]]
        lines.append(f"| {'held' if entry['success'] else '**failed**'} | {' | '.join(map(_cell, cells))} |")
    create_markdown_artifact("\n".join(lines), key=_key(gate), description=f"What {gate} found")


def _publish(gate: str, report: Mapping[str, Any], docs: Path, checkout: Artifacts, run: str) -> str:
    """Copy the Data Docs of a gate to where they stay; a link to them, or their path where nothing serves it."""
    place = checkout.pages / run / gate / "data_docs"
    shutil.rmtree(place, ignore_errors=True)
    written = docs / "report.json"
    if written.is_file() and read_json(written) == report:
        shutil.copytree(docs, place)
    else:  # restored from DVC's cache, which keeps the report alone: what is here, is of another run
        from bertline.validation.data_docs import write_data_docs  # noqa: PLC0415  (pandas)

        write_data_docs(place, report, {})
    return _link("Data Docs", place / "index.html", checkout)


def _publish_report(page: Path, checkout: Artifacts, run: str) -> str:
    """Copy the report to where it stays; a line with a link to it, or nothing where there is none."""
    if not page.is_file():
        return ""
    place = checkout.pages / run / page.name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(page, place)
    return f"\n{_link('The report', place, checkout)}\n"


def _link(title: str, page: Path, checkout: Artifacts) -> str:
    """A link to a page under data/runs/pages, or its path where nothing serves it."""
    address = os.environ.get(PAGES_URL)
    if not address:
        return f"{title}: `{page}`"
    return f"[{title}]({address.rstrip('/')}/{quote(page.relative_to(checkout.pages).as_posix())})"


def _cell(value: Any) -> str:
    """A value as it may stand in a table, cut."""
    text = " ".join(str("" if value is None else value).split())
    text = text if len(text) <= 120 else text[:119] + "…"
    return as_text(text)


def as_text(text: str) -> str:
    """A text on one line of Markdown: what is in the data is text, never markup."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _key(title: str) -> str:
    """A key as Prefect wants it: small letters, figures and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
