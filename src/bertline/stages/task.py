"""Stage task@T: the rows of one downstream task, from the raw corpus or the user's own files, into data/tasks/T/."""

from collections.abc import Mapping
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.stage import main
from bertline.tasks.catalog import build_task


def run(params: Params, artifacts: Artifacts, task: str) -> Mapping[str, Any]:
    """Build the train, validation and test rows of one task."""
    info = build_task(task, params.tasks[task], artifacts)
    return {"kind": info.kind, "labels": len(info.labels), **{f"{split}_rows": n for split, n in info.rows.items()}}


if __name__ == "__main__":
    main(run)
