"""The DAG of dvc.yaml as a Prefect flow: one task a DVC stage, with the same edges.

    python -m pipelines.flow                                  all of it; stages that are up to date are shown as Cached
    python -m pipelines.flow --targets evaluate@docs_qa       what leads to one stage (or group of stages: evaluate)
    python -m pipelines.flow --force --workers 4              everything anew, up to four stages side by side

With PREFECT_API_URL set, that server records the run; without, a temporary one does, whose records in ~/.prefect
`prefect server start` shows later. Nothing else is spoken to over the network.

A failed stage fails the flow with the stage's own message; what depends on it is not run, the rest is, as with
`dvc repro --keep-going`. Cancel, Ctrl-C and SIGTERM end the stages that run, all their processes included.
"""

import argparse
import queue
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from pydantic import Field

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from pipelines.dvc_stage import Outcome, StageFailed, StageRunner
from pipelines.graph import Node, Plan, read_plan

MOST_WORKERS = 64


@task(cache_policy=NO_CACHE, persist_result=False)  # DVC is the cache
def stage(name: str, runner: StageRunner, force: bool) -> State[Any]:
    """Bring one DVC stage up to date. Ends as Completed where it ran, as Cached where it had not to."""
    logger = get_run_logger()
    try:
        outcome = runner.run(name, logger.info, force=force)
    except StageFailed as error:  # a state, not an exception: people need its message, not our traceback
        return Failed(message=str(error))
    return Completed(message=outcome.value, name="Completed" if outcome is Outcome.RAN else "Cached")


@flow(name="pipeline", persist_result=False)
def pipeline(
    root: Path = Path(),
    targets: list[str] | None = None,
    force: bool = False,
    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = 1,
) -> State[Any]:
    """Bring the pipeline up to date.

    Args:
        root: the checkout.
        targets: stages, or groups of them, to stop at; none: the whole pipeline.
        force: run stages even where nothing has changed.
        workers: stages side by side. A stage that trains uses all cores by itself, so one is right for one machine.
    """
    try:
        plan = read_plan(root).up_to(targets or ())
    except BertlineError as error:
        return Failed(message=str(error))
    picture = f"```\n{plan}\n```\n\n```mermaid\n{plan.mermaid()}```\n"
    create_markdown_artifact(picture, key="plan", description="The stages, and what each of them reads from")
    runner = StageRunner(root)
    try:
        states = run_plan(plan, runner, force=force, workers=workers)
    except BaseException:  # cancelled, interrupted or broken; the signal came to this process alone
        runner.stop_all()
        raise
    scoreboard = Artifacts(root).scoreboard / "scoreboard.md"
    if "report" in states and states["report"].is_completed() and scoreboard.is_file():
        create_markdown_artifact(scoreboard.read_text(encoding="utf-8"), key="scoreboard", description="Every score")
    return verdict(states)


def run_plan(plan: Plan, runner: StageRunner, *, force: bool, workers: int) -> dict[str, State[Any]]:
    """Submit every stage of a plan as a task: in plan order, once its upstreams have ended and a worker is free.

    A stage below a failed one is submitted too. Prefect ends it as NotReady without running it, and the recorded run
    has every stage and every edge of the plan.

    Returns:
        The last state of each stage.
    """
    futures: dict[str, PrefectFuture[Any]] = {}
    waiting, ended = list(plan.nodes), set[str]()
    ends: queue.SimpleQueue[str] = queue.SimpleQueue()
    while len(ended) < len(plan.nodes):
        ready = [node for node in waiting if ended.issuperset(node.upstreams)]
        for node in ready[: workers - (len(futures) - len(ended))]:
            waiting.remove(node)
            futures[node.name] = _submit(node, runner, futures, force=force)
            futures[node.name].add_done_callback(lambda _, name=node.name: ends.put(name))  # type: ignore[misc]
        ended.add(ends.get())
    for future in futures.values():
        future.wait()
    return {name: future.state for name, future in futures.items()}


def _submit(
    node: Node, runner: StageRunner, futures: dict[str, PrefectFuture[Any]], *, force: bool
) -> PrefectFuture[Any]:
    named = stage.with_options(name=node.name, task_run_name=node.name)
    upstreams = [futures[name] for name in node.upstreams]
    return named.submit(node.name, runner, force, wait_for=upstreams, return_state=False)


def verdict(states: dict[str, State[Any]]) -> State[Any]:
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
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        choices=range(1, MOST_WORKERS + 1),
        help="stages side by side (1)",
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):  # their default would leave stages and the temporary server behind
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:  # before a server is started for it
        read_plan(arguments.root).up_to(arguments.targets or ())
    except BertlineError as error:
        print(f"pipeline: error: {error}", file=sys.stderr)
        return 1
    state: State[Any] = pipeline(**vars(arguments), return_state=True)
    failed = not state.is_completed()
    print(f"pipeline: {'error: ' if failed else ''}{state.message}", file=sys.stderr if failed else sys.stdout)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
