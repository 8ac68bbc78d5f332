"""What every stage's command line does: load params, run, say what came out, and turn faults into one line.

A stage module ends with `if __name__ == "__main__": main(run)`; dvc.yaml calls `python -m bertline.stages.NAME [TASK]`.
"""

import argparse
import inspect
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.dependencies import State, changed, dependencies
from bertline.base.errors import BertlineError, has_advice, one_line, reason
from bertline.base.files import exclusive_lock, write_json
from bertline.base.messages import say
from bertline.base.params import load_params

Metrics = Mapping[str, Any]
Run = Callable[..., Metrics]

_NAMED = 3  # of what was changed, on the stage's line


def main(run: Run) -> None:
    """Run a stage as a program: `[TASK] [--root DIR] [--debug]`; exit 0, 1 for a fault, 143 for SIGTERM."""
    name = Path(inspect.getfile(run)).stem
    parser = argparse.ArgumentParser(prog=f"python -m bertline.stages.{name}", description=run.__doc__)
    if takes_task(run):
        parser.add_argument("task", help="name of a task in params.yaml")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    arguments = parser.parse_args()
    sys.exit(execute(name, run, arguments.root, getattr(arguments, "task", ""), debug=arguments.debug))


def takes_task(run: Run) -> bool:
    """Whether a stage runs once a task: run(params, artifacts, task)."""
    return len(inspect.signature(run).parameters) == 3


def launched() -> bool:
    """Whether this process is one of several that were started together, as torchrun does it."""
    return "WORLD_SIZE" in os.environ


def execute(name: str, run: Run, root: Path, task: str = "", *, debug: bool = False) -> int:
    """Run one stage in this process and return its exit status; faults are printed as one line."""
    title = f"{name}@{task}" if task else name
    started = time.monotonic()
    try:
        artifacts = Artifacts(root)
        params = load_params(artifacts.params)
        of_task = takes_task(run)
        if of_task and task not in params.tasks:
            fix = f"Choose one of: {', '.join(params.tasks) or 'none is defined'}"
            raise BertlineError(f"no task named {task!r}", where=f"{artifacts.params}, key tasks", fix=fix)
        with _alone(artifacts, title):
            before = dependencies(root, params, name, task)
            metrics = run(params, artifacts, task) if of_task else run(params, artifacts)
            _refuse_changed(before, dependencies(root, load_params(artifacts.params), name, task), title)
        seconds = time.monotonic() - started
        _record(artifacts, title, seconds)
        say(f"{title}: {summarize(metrics)} ({seconds:.1f} s)", sys.stdout)
    except KeyboardInterrupt:
        say(f"{title}: interrupted")
        return 130
    except Exception as error:
        if has_advice(error):
            return _fail(title, one_line(error), debug)
        what = f"{type(error).__name__}: {reason(error)}"
        stage = f"{name} {task}".strip()
        return _fail(title, f"internal error, {what}. Run `bertline {stage} --debug` and report it.", debug)
    return 0


def summarize(metrics: Metrics) -> str:
    """The top-level figures of a stage on one line."""
    shown = {key: value for key, value in metrics.items() if not isinstance(value, Mapping | list)}
    return ", ".join(f"{key.replace('_', ' ')} {_figure(value)}" for key, value in shown.items())


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _fail(title: str, message: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    say(f"{title}: error: {message}")
    return 1


def _alone(artifacts: Artifacts, title: str) -> AbstractContextManager[None]:
    """Keep a second process from the stage: one whose `dvc repro` was killed works on, and would replace its results.

    The processes of one run, as torchrun starts them, go together.
    """
    return nullcontext() if launched() else exclusive_lock(artifacts.runs / "stages" / f"{title}.lock", title)


def _refuse_changed(before: State, now: State, title: str) -> None:
    """Keep DVC from noting results as those of options, code or data that were edited while they were made."""
    different = changed(before, now)
    if different:
        what = "changed while the stage ran; its results are of what was there before"
        fix = f"Run again; or put that back, and keep them with `dvc commit -f {title}`"
        raise BertlineError(what, where=", ".join(different[:_NAMED]), fix=fix)


def _record(artifacts: Artifacts, title: str, seconds: float) -> None:
    """Keep how long the stage took and its peak memory, outside DVC: times are no part of a result."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    write_json(artifacts.timing(title), {"stage": title, "seconds": round(seconds, 2), "peak_bytes": peak})
