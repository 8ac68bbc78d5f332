"""The flow that searches a task's fine-tuning options: a grid, or Optuna; each point a run in a worktree of its own.

What all points share (corpus, pre-training, the task's rows) is made once, before them. A point fine-tunes, and is
judged by its score on the task's validation rows, never on test rows. Each is kept as a DVC experiment: `dvc exp show`.

Points run in threads of the flow's process. BERTLINE_FAN_OUT spreads them over a cluster that shares the checkout's
file system: `dask:tcp://HOST:8786` (pip install prefect-dask) or `ray:HOST:6379` (prefect-ray).
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prefect import State, flow, get_run_logger, runtime
from prefect import task as prefect_task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError, one_line
from bertline.base.files import read_json
from bertline.tasks.schema import TaskInfo
from pipelines import show
from pipelines.dvc_stage import StageFailed, StageRunner, stop_everything
from pipelines.flow import Work, bring_up_to_date, run_name
from pipelines.graph import read_plan, read_plan_and_changes
from pipelines.resources import ONE_BY_ONE, Limits, needs_of
from pipelines.retrain import place_of, warn_of_edits
from pipelines.search import Option, Search
from pipelines.settings import CHECKOUT, CURRENT, NO_OVERRIDES, Overrides, PresetName, StageName, configured
from pipelines.worktree import Worktree, saved_run, working_in

FAN_OUT = "BERTLINE_FAN_OUT"
_WATCH_SECONDS = 5.0

GRID = Search()


@dataclass(frozen=True)
class Point:
    """One point: its run, its options, its score (None: it failed) and what its last state says."""

    run: str
    options: Mapping[str, Option]
    score: float | None
    message: str

    @property
    def described(self) -> str:
        return ", ".join(
            f"{name} {value}" if isinstance(value, int) else f"{name} {value:.4g}"
            for name, value in self.options.items()
        )


def fan_out() -> TaskRunner[Any]:
    """Where points run: threads, or the cluster that BERTLINE_FAN_OUT names.

    Raises:
        BertlineError: it names none, or the package for it is not installed.
    """
    kind, _, address = (os.environ.get(FAN_OUT) or "threads").partition(":")
    try:
        if kind == "ray":
            from prefect_ray import RayTaskRunner  # noqa: PLC0415

            runner: TaskRunner[Any] = RayTaskRunner(address=address or None)
            return runner
        if kind == "dask":
            from prefect_dask import DaskTaskRunner  # noqa: PLC0415

            runner = DaskTaskRunner(address=address or None)
            return runner
    except ImportError as error:
        fix = f"pip install prefect-{kind}"
        raise BertlineError(f"{error.name} is not installed", where=FAN_OUT, fix=fix) from None
    if kind != "threads":
        fix = "Give ray:ADDRESS or dask:ADDRESS, or unset it"
        raise BertlineError(f"{kind!r} is no way to spread points", where=FAN_OUT, fix=fix)
    return ThreadPoolTaskRunner(max_workers=64)


@prefect_task(cache_policy=NO_CACHE, persist_result=False)
def point(
    checkout: Path, run: str, base: str, shared: str, task: str, overrides: Overrides, limits: Limits
) -> float | State[Any]:
    """Fine-tune one point in a worktree of its own.

    Args:
        checkout: the checkout.
        run: name of the point's run.
        base: the commit that the sweep started from; the checkout may have gone on meanwhile.
        shared: commit of the run that made what all points share.
        task: name of the task.
        overrides: the point.
        limits: of the machine.

    Returns:
        Its primary metric on the validation rows; a Failed state where a stage failed or the sweep was stopped.
    """
    try:
        with working_in(checkout, run, base, shared) as tree:
            params = configured(tree.path, CURRENT, overrides)
            tree.use(params, f"Run {run}.")
            plan, changes = read_plan_and_changes(tree.path, [f"finetune@{task}"])
            runner = StageRunner(tree.path, environment=tree.environment)
            work = Work(runner, limits, needs_of(plan.names, params), plan.up_to_date(changes), None)
            with _stopped_with_its_flow(runner):
                for stage in plan.names:
                    work.run(stage, get_run_logger().info)
            metric = TaskInfo.read(Artifacts(tree.path).task(task)).metric
            score = read_json(Artifacts(tree.path).metrics("finetune", task))["pretrained"]["validation"][metric]
            tree.save(get_run_logger().warning)
    except StageFailed as error:  # a state, not an exception: people need its message
        return Failed(message=str(error))
    except (BertlineError, OSError) as error:
        return Failed(message=one_line(error))
    return float(score)


@contextmanager
def _stopped_with_its_flow(runner: StageRunner) -> Iterator[None]:
    """Stop a point's stages once its sweep is over or cancelled: the signal reaches the flow's own process alone."""
    done, flow_run = threading.Event(), runtime.flow_run.id

    def watch() -> None:
        with get_client(sync_client=True) as client:
            while not done.wait(_WATCH_SECONDS):
                with suppress(httpx.HTTPError):  # a server that is away comes back
                    state = client.read_flow_run(flow_run).state
                    if state and (state.is_cancelling() or state.is_final()):
                        runner.stop_all()
                        return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


@flow(name="sweep", persist_result=False)
def sweep(
    task: StageName,
    search: Search = GRID,
    preset: PresetName = CURRENT,
    overrides: Overrides = NO_OVERRIDES,
    limits: Limits = ONE_BY_ONE,
) -> State[Any]:
    """Search the fine-tuning options of one task, by its score on the validation rows.

    Args:
        task: the task, as params.yaml names it.
        search: which points.
        preset: the configuration to start from.
        overrides: options to change, for all points.
        limits: what stages may use side by side.
    """
    try:
        search.check()
        runner = fan_out()
        warn_of_edits()
        # Where they were made by an earlier try: its points must not meet parameters or code of later.
        base, shared = saved_run(CHECKOUT, run_name("sweep")) or _make_shared(task, preset, overrides, limits)
        at_signal = signal.getsignal(signal.SIGTERM)
        with runner:  # for the points alone: the stages above share locks and a watchdog with this process
            # Ray has put its own there: a cancelled sweep would count as crashed
            signal.signal(signal.SIGTERM, at_signal)
            points = _run_points(task, search, base, shared, limits, runner)
        return conclude(task, points)
    except StageFailed as error:
        return Failed(message=str(error))
    except (BertlineError, OSError) as error:
        return Failed(message=one_line(error))


def _make_shared(task: str, preset: str, overrides: Overrides, limits: Limits) -> tuple[Worktree, str]:
    """Make what all points share, in a run of its own; that run and its commit.

    Raises:
        BertlineError: a wrong parameter or task.
        StageFailed: a stage failed.
    """
    params = configured(CHECKOUT, preset, overrides)
    if task not in params.tasks:
        fix = f"Choose one of: {', '.join(params.tasks) or 'none is defined'}"
        raise BertlineError(f"no task named {task!r}", where="params.yaml, key tasks", fix=fix)
    with working_in(CHECKOUT, run_name("sweep")) as base:
        base.use(params, f"Run {base.name}: what the points of a sweep share.")
        (last,) = [node for node in read_plan(base.path).nodes if node.name == f"finetune@{task}"]
        state = bring_up_to_date(place_of(base), targets=list(last.upstreams), force=False, limits=limits)
        if not state.is_completed():
            raise StageFailed(state.message)
        return base, base.save(get_run_logger().warning)


def _run_points(
    task: str, search: Search, base: Worktree, shared: str, limits: Limits, runner: TaskRunner[Any]
) -> list[Point]:
    """Run the points of a search, some at a time. What Optuna learns does not depend on which one ends first."""
    given = {"checkout": CHECKOUT, "base": base.base, "shared": shared, "task": task, "limits": limits}
    points: list[Point] = []
    proposals = search.proposals()
    options = next(proposals, None)
    try:
        while options:
            futures: list[tuple[str, PrefectFuture[Any]]] = []
            for chosen in options:
                more = [f"tasks.{task}.finetune.{name}={value!r}" for name, value in chosen.items()]
                name = f"{base.name}-{len(points) + len(futures) + 1:03}"
                named = point.with_options(task_run_name=f"{name}: {', '.join(more)}")
                futures.append((name, runner.submit(named, given | {"run": name, "overrides": Overrides(more=more)})))
            for (name, future), chosen in zip(futures, options, strict=True):
                future.wait()
                result = future.result(raise_on_failure=False)
                score = result if isinstance(result, float) else None  # otherwise the state of a failure
                points.append(Point(name, chosen, score, future.state.message or ""))
            options = proposals.send([each.score for each in points[-len(options) :]])
    except StopIteration:
        pass
    except BaseException:  # cancelled: the signal came to this process alone
        stop_everything()
        raise
    return points


def conclude(task: str, points: Sequence[Point]) -> State[Any]:
    """Show all points, the best first; the state of the sweep."""
    done = sorted((each for each in points if each.score is not None), key=lambda each: -(each.score or 0))
    failed = [each for each in points if each.score is None]
    lines = ["| run | options | validation score |", "|---|---|---|"]
    lines += [f"| {each.run} | {each.described} | {each.score:.4f} |" for each in done]
    lines += [f"| {each.run} | {each.described} | failed: {show.as_text(each.message)} |" for each in failed]
    if not done:
        show.points("\n".join(lines), task)
        return Failed(message=failed[0].message if failed else "no point to try")
    lines += ["", f"Adopt the best: `python -m pipelines.worktree adopt {done[0].run} BRANCH`"]
    show.points("\n".join(lines), task)
    rest = f", {len(failed)} failed" if failed else ""
    return Completed(message=f"best of {len(points)}: {done[0].described}: {done[0].score:.4f} ({done[0].run}){rest}")
