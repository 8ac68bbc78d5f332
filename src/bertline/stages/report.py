"""Stage report: everything that was measured, in data/reports/report/.

scoreboard.{json,md} are the scores beside their baselines; report.html adds curves, confusion, calibration, slices and
the worst mistakes. All of it comes from files that earlier stages wrote.
"""

from collections.abc import Mapping
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import read_json, write_json, write_text
from bertline.base.stage import main
from bertline.evaluation.confusion import read_confusion
from bertline.evaluation.scoreboard import make_scoreboard, render_scoreboard
from bertline.reporting.page import TaskReport, render_page


def run(params: Params, artifacts: Artifacts) -> Mapping[str, Any]:
    """Gather the figures of pre-training and of every task in params.yaml into the scoreboard and the page."""
    stages = {stage: read_json(artifacts.metrics(stage)) for stage in ("documents", "encode", "pretrain")}
    evaluated = {task: read_json(artifacts.metrics("evaluate", task)) for task in params.tasks}
    kinds = {name: task.kind for name, task in params.tasks.items()}
    scoreboard = make_scoreboard(stages, kinds, evaluated)
    write_text(artifacts.scoreboard / "scoreboard.md", render_scoreboard(scoreboard))
    write_json(artifacts.scoreboard / "scoreboard.json", scoreboard)
    training = read_json(artifacts.curve("pretrain"))
    validation = read_json(artifacts.report("pretrain") / "validation_curve.json")
    tasks = [_task(task, params, artifacts, metrics) for task, metrics in evaluated.items()]
    page = render_page(scoreboard, training, validation, tasks)
    write_text(artifacts.scoreboard / "report.html", page)
    return {"scored_tasks": len(evaluated), **scoreboard}


def _task(task: str, params: Params, artifacts: Artifacts, metrics: Mapping[str, Any]) -> TaskReport:
    folder = artifacts.report("evaluate", task)
    curve = [row for stage in params.finetuning_stages(task) for row in read_json(artifacts.curve(stage, task))]
    analysis, confusion = read_json(folder / "analysis.json"), read_confusion(folder / "confusion.csv")
    return TaskReport(task, metrics, analysis, curve, confusion)


if __name__ == "__main__":
    main(run)
