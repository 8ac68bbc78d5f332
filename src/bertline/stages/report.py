"""Stage report: everything that was measured on one page, data/reports/report/scoreboard.{json,md}."""

from collections.abc import Mapping
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import read_json, write_json, write_text
from bertline.base.stage import main
from bertline.evaluation.scoreboard import make_scoreboard, render_scoreboard


def run(params: Params, artifacts: Artifacts) -> Mapping[str, Any]:
    """Gather the figures of pre-training and of every task in params.yaml into the scoreboard."""
    stages = {stage: read_json(artifacts.metrics(stage)) for stage in ("documents", "encode", "pretrain")}
    evaluated = {task: read_json(artifacts.metrics("evaluate", task)) for task in params.tasks}
    kinds = {name: task.kind for name, task in params.tasks.items()}
    scoreboard = make_scoreboard(stages, kinds, evaluated)
    write_text(artifacts.scoreboard / "scoreboard.md", render_scoreboard(scoreboard))
    write_json(artifacts.scoreboard / "scoreboard.json", scoreboard)
    return {"scored_tasks": len(evaluated), **scoreboard}


if __name__ == "__main__":
    main(run)
