"""Stage finetune as a program of its own, which kills itself once a number of its runs is done: ROOT TASK RUNS."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params, Task, TaskData
from bertline.finetuning.runs import Run, Runs
from bertline.stages import finetune
from toy_tasks import RECIPE

PARAMS = Params(tasks={"toy_pair": Task("pair", TaskData(train="x"), {"epochs": 1, "seeds": 3})}, finetune=RECIPE)

if __name__ == "__main__":
    root, task, wanted = sys.argv[1:]
    train, done = Runs.train, []

    def struck(*arguments: Any, **options: Any) -> Run:
        done.append(train(*arguments, **options))
        if len(done) == int(wanted):
            os.kill(os.getpid(), signal.SIGKILL)
        return done[-1]

    Runs.train = struck  # type: ignore[method-assign]
    finetune.run(PARAMS, Artifacts(Path(root)), task)
