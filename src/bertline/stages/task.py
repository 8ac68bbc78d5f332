"""Stage task@T: the rows of one downstream task, a benchmark's, the raw corpus's or the user's, into data/tasks/T/."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.stage import main
from bertline.corpus.sources import Places, fetch_packed
from bertline.tasks.catalog import build_task
from bertline.tasks.schema import SPLITS


def run(params: Params, artifacts: Artifacts, task: str) -> Mapping[str, Any]:
    """Build the train, validation and test rows of one task; a benchmark's files are fetched."""
    info = build_task(task, params.tasks[task], artifacts, partial(fetch_packed, places=Places.of(artifacts)))
    return {"kind": info.kind, "labels": len(info.labels), **{f"{split}_rows": info.rows[split] for split in SPLITS}}


if __name__ == "__main__":
    main(run)
