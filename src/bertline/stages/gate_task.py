"""Stage gate_task@T: the rows of a task must be sound and its splits apart, or no model is fine-tuned on them."""

from collections.abc import Mapping
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.stage import main
from bertline.validation.gate import run_gate, summarize
from bertline.validation.suites import task_suite
from bertline.validation.task_rows import task_frames


def run(params: Params, artifacts: Artifacts, task: str) -> Mapping[str, Any]:
    """Check the rows of one task."""
    directory = artifacts.task(task)
    frames = task_frames(directory)
    figures = frames["task"].figures("kind", "distinct_labels", "largest_label_share", "mean_characters")
    suite = task_suite(params.gate_task, figures["kind"])
    return summarize(run_gate(f"gate_task/{task}", artifacts, frames, suite, data=str(directory), statistics=figures))


if __name__ == "__main__":
    main(run)
