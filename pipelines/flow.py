"""The DAG of dvc.yaml as a Prefect flow: one task a DVC stage, with the same edges.

    python -m pipelines.flow                                  all of it; stages that are up to date are shown as Cached
    python -m pipelines.flow --targets evaluate@docs_qa       what leads to one stage (or group of stages: evaluate)
    python -m pipelines.flow --force --cpu 4                  everything anew, side by side on four cores

It runs in the checkout, as `dvc repro` does. With PREFECT_API_URL set, that server records the run; without, a
temporary one does, whose records in ~/.prefect `prefect server start` shows later. Nothing else is spoken to over the
network.

A failed stage fails the flow with the stage's own message; what depends on it is not run, the rest is, as with
`dvc repro --keep-going`. Cancel, Ctrl-C and SIGTERM end the stages that run, all their processes included.
"""

import argparse
import functools
import logging
import queue
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError, one_line
from bertline.base.params import load_params
from pipelines import registered_by, show
from pipelines.dvc_stage import Outcome, StageFailed, StageRunner
from pipelines.forced import Forced
from pipelines.graph import read_plan, read_plan_and_changes
from pipelines.plan import Node, Plan
from pipelines.resources import ONE_BY_ONE, Limits, Needs, fits, hold_gpus, needs_of
from pipelines.server import check_server

# Fetching may work the second time. A gate never does, and training that failed would only fail again, hours later.
RETRIES: dict[str, list[float]] = {"download": [10, 20]}
"""Group of stages -> seconds to wait before each further try: Prefect sleeps through them, and kills a cancelled flow
after 30."""


@dataclass(frozen=True)
class Work:
    """How the stages of a run are run.

    Attributes:
        runner: runs stages of the checkout.
        limits: what they may use together.
        needs: stage -> what it uses.
        settled: stages known to be up to date; DVC is not started for them.
        forced: run stages even where nothing has changed, except those that it knows; None: where something has.
    """

    runner: StageRunner
    limits: Limits
    needs: Mapping[str, Needs]
    settled: frozenset[str]
    forced: Forced | None

    def run(self, name: str, log: Any) -> Outcome:
        """Bring one stage up to date, on a GPU of its own where it needs one.

        Raises:
            StageFailed: it failed, or the run was stopped.
        """
        if name in self.settled:
            return Outcome.UNCHANGED
        force = self.forced is not None and name not in self.forced.done()
        outcome = self._run(name, log, force)
        if force and self.forced:
            self.forced.note(name)
        return outcome

    def _run(self, name: str, log: Any, force: bool) -> Outcome:
        wanted = self.needs[name].gpu
        if not wanted:
            return self.runner.run(name, log, force=force)
        try:
            with hold_gpus(wanted, self.limits.gpu, lambda: not self.runner.stopped, log) as gpus:
                given = {"CUDA_VISIBLE_DEVICES": gpus.devices}
                return self.runner.run(name, log, force=force, environment=given, locks=gpus.locks)
        except InterruptedError:
            raise StageFailed(f"{name}: stopped") from None


@task(cache_policy=NO_CACHE, persist_result=False)  # DVC is the cache
def stage(name: str, work: Work) -> State[Any]:
    """Bring one DVC stage up to date. Ends as Completed where it ran, as Cached where it had not to."""
    logger = get_run_logger()
    try:
        outcome = work.run(name, logger.info)
    except StageFailed as error:  # a state, not an exception: people need its message, not our traceback
        return Failed(message=str(error))
    return Completed(message=outcome.value, name="Completed" if outcome is Outcome.RAN else "Cached")


@dataclass(frozen=True)
class Place:
    """Where a run works.

    Attributes:
        root: where its stages run: the checkout, or a worktree of it.
        checkout: whose pages and MLflow store it uses.
        name: of the run.
        environment: variables that its stages see.
    """

    root: Path
    checkout: Path
    name: str
    environment: Mapping[str, str]


@flow(name="pipeline", persist_result=False)
def pipeline(
    root: Path = Path(), targets: list[str] | None = None, force: bool = False, limits: Limits = ONE_BY_ONE
) -> State[Any]:
    """Bring the pipeline up to date, in the checkout.

    Args:
        root: the checkout.
        targets: stages, or groups of them, to stop at; none: the whole pipeline.
        force: run stages even where nothing has changed.
        limits: what stages may use side by side.
    """
    place = Place(root, root, run_name("pipeline"), {})
    try:
        state = bring_up_to_date(place, targets=targets or [], force=force, limits=limits)
    except (BertlineError, OSError) as error:
        return Failed(message=one_line(error))
    if state.is_completed():  # a worktree takes its own with it
        Forced.by(str(runtime.flow_run.id), root).forget()
    return state


def run_name(flow_name: str) -> str:
    """The name of the current flow run: the same for each of its tries, and no other's.

    Of its id the end, which is random: those of the runs that a schedule makes begin alike, with the time (UUIDv7).
    """
    return f"{flow_name}-{str(runtime.flow_run.id)[-8:]}"


def bring_up_to_date(place: Place, *, targets: list[str], force: bool, limits: Limits) -> State[Any]:
    """Run a plan inside a flow, and show what came out as artifacts.

    Args:
        place: where.
        targets: stages, or groups of them, to stop at; none: the whole pipeline.
        force: run stages even where nothing has changed; a retry, those that are left.
        limits: what stages may use side by side.

    Returns:
        The flow's state; a fault once stages have been started is a Failed one.

    Raises:
        BertlineError: the plan or params.yaml cannot be read, or a target is no stage: no stage was started.
        OSError: as that.
    """
    _log_without_terminal()
    plan, changes = read_plan_and_changes(place.root, targets)
    params = Artifacts(place.root).params
    needs = needs_of(plan.names, load_params(params) if params.is_file() else None)
    flow_run = str(runtime.flow_run.id)
    forced = Forced.by(flow_run, place.root) if force else None
    settled = plan.up_to_date(changes)
    if forced:
        settled &= forced.done()
    runner = StageRunner(place.root, environment={**place.environment, "PREFECT__FLOW_RUN_ID": flow_run})
    work = Work(runner, limits, needs, settled, forced)
    show.plan(plan, changes)
    gates_before = show.gates(place.root)
    try:
        states = run_plan(plan, work)
    except BaseException as error:  # cancelled, interrupted or broken; the signal came to this process alone
        runner.stop_all()
        if isinstance(error, BertlineError | OSError):
            return Failed(message=one_line(error))
        raise
    if "register" in states and states["register"].name == "Completed":  # it ran: restored, it asks no registry
        with show.harmless("register"):
            registered_by.note(place.root, flow_run)
    show.results(place.root, place.checkout, place.name, states, gates_before)
    return verdict(states)


def _log_without_terminal() -> None:
    """Go on when the terminal, or the program that started this one, is gone: Rich ends a program that prints then.

    The log goes to the server all the same.
    """
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    handlers = [handler for logger in loggers for handler in logger.handlers]
    for console in {handler.console for handler in handlers if hasattr(handler, "console")}:
        console.on_broken_pipe = functools.partial(setattr, console, "quiet", True)


def run_plan(plan: Plan, work: Work) -> dict[str, State[Any]]:
    """Submit every stage of a plan as a task: in plan order, once its upstreams have ended and the limits allow it.

    A stage below a failed one is submitted too. Prefect ends it as NotReady without running it, and the recorded run
    has every stage and every edge of the plan.

    Returns:
        The last state of each stage.
    """
    futures: dict[str, PrefectFuture[Any]] = {}
    nothing = Needs(cpu=0)
    needs = {name: nothing if name in work.settled else work.needs[name].within(work.limits) for name in plan.names}
    waiting, ended = list(plan.nodes), set[str]()
    ends: queue.SimpleQueue[str] = queue.SimpleQueue()
    while len(ended) < len(plan.nodes):
        for node in list(waiting):
            running = [needs[name] for name in futures if name not in ended]
            if not ended.issuperset(node.upstreams) or not fits(needs[node.name], running, work.limits):
                continue
            waiting.remove(node)
            futures[node.name] = _submit(node, work, futures)
            futures[node.name].add_done_callback(lambda _, name=node.name: ends.put(name))  # type: ignore[misc]
        ended.add(ends.get())
    for future in futures.values():
        future.wait()
    return {name: future.state for name, future in futures.items()}


def _submit(node: Node, work: Work, futures: Mapping[str, PrefectFuture[Any]]) -> PrefectFuture[Any]:
    delays = RETRIES.get(node.name.partition("@")[0], [])
    named = stage.with_options(
        name=node.name,
        task_run_name=node.name,
        retries=len(delays),
        retry_delay_seconds=delays or 0,
        retry_condition_fn=lambda *_: not work.runner.stopped,
    )
    return named.submit(node.name, work, wait_for=[futures[name] for name in node.upstreams], return_state=False)


def verdict(states: Mapping[str, State[Any]]) -> State[Any]:
    """The flow's state, from those of its stages: failed where one of them is, with its message."""
    failed = [state.message or name for name, state in states.items() if state.is_failed() or state.is_crashed()]
    if failed:
        skipped = sum(state.is_pending() for state in states.values())
        rest = f" ({skipped} {'stage' if skipped == 1 else 'stages'} below not run)" if skipped else ""
        return Failed(message="; ".join(failed) + rest)
    ran = sum(state.name == "Completed" for state in states.values())
    return Completed(message=f"{len(states)} stages: {ran} ran, {len(states) - ran} up to date")


def main() -> int:
    """Run the flow in this process; exit status 0 where every stage is up to date, 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.flow", description="Run the DAG of dvc.yaml in Prefect.")
    parser.add_argument("--targets", nargs="+", metavar="STAGE", help="only what leads to these stages (default: all)")
    parser.add_argument("--force", action="store_true", help="run stages even where nothing has changed")
    parser.add_argument("--cpu", type=int, default=1, metavar="N", help="cores that stages may share (1: one by one)")
    parser.add_argument("--gpu", type=int, default=1, metavar="N", help="GPUs that stages may share (1)")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    arguments = parser.parse_args()
    try:
        limits = Limits(cpu=arguments.cpu, gpu=arguments.gpu)
    except ValueError:
        parser.error("--cpu must be 1 to 1024, --gpu 0 to 64")
    for number in (signal.SIGTERM, signal.SIGHUP):  # their default would leave stages and the temporary server behind
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:  # before a server is started for it
        read_plan(arguments.root).up_to(arguments.targets or ())
        if address := PREFECT_API_URL.value():
            check_server(address)
    except (BertlineError, OSError) as error:
        print(f"pipeline: error: {one_line(error)}", file=sys.stderr)
        return 1
    state: State[Any] = pipeline(arguments.root, arguments.targets, arguments.force, limits, return_state=True)
    failed = not state.is_completed()
    print(f"pipeline: {'error: ' if failed else ''}{state.message}", file=sys.stderr if failed else sys.stdout)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
