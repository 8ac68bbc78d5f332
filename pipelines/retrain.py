"""The flow that an operator starts: the whole pipeline with other parameters, in a worktree of its own.

    python -m pipelines.serve        then Prefect's UI: Deployments, retrain, Run

The checkout is not touched. What a run has made is kept as a DVC experiment under the run's name (see worktree.py).
"""

from typing import Any

from prefect import State, flow, get_run_logger
from prefect.states import Failed

from bertline.base.errors import BertlineError, one_line
from pipelines import show
from pipelines.flow import Place, bring_up_to_date, run_name
from pipelines.resources import ONE_BY_ONE, Limits
from pipelines.settings import CHECKOUT, CURRENT, NO_OVERRIDES, Overrides, PresetName, Promotion, StageName, configured
from pipelines.worktree import Worktree, saved_run, uncommitted, working_in


@flow(name="retrain", persist_result=False)
def retrain(
    preset: PresetName = CURRENT,
    overrides: Overrides = NO_OVERRIDES,
    targets: list[StageName] | None = None,
    force: bool = False,
    promote: Promotion = "by the rule",
    limits: Limits = ONE_BY_ONE,
) -> State[Any]:
    """Run the pipeline with these parameters, in a worktree of its own; stages that have not changed are restored.

    Args:
        preset: the configuration to start from.
        overrides: options to change.
        targets: stages, or groups of them, to stop at; none: the whole pipeline, up to the registry.
        force: run stages even where nothing has changed.
        promote: whether a better model becomes the champion.
        limits: what stages may use side by side.
    """
    try:
        params = configured(CHECKOUT, preset, overrides, promote)
        changed = ", ".join(f"{key}={value}" for key, value in overrides.assignments()) or "nothing changed"
        name = run_name("retrain")
        kept = saved_run(CHECKOUT, name)  # finished, and tried again: it must not take the place of its own result
        with working_in(CHECKOUT, name, *((kept[0].base, kept[1]) if kept else ())) as tree:
            warn_of_edits()
            try:
                tree.use(params, f"Run {tree.name}: preset {preset}, {changed}.")
                state = bring_up_to_date(place_of(tree), targets=targets or [], force=force, limits=limits)
            except (BertlineError, OSError):
                if tree.new:  # before any stage: another try would end here too
                    tree.remove()
                raise
            if state.is_completed():
                show.saved(tree.name, tree.save(get_run_logger().warning))
            return state
    except (BertlineError, OSError) as error:
        return Failed(message=one_line(error))


def place_of(tree: Worktree) -> Place:
    """Where the stages of a worktree run."""
    return Place(tree.path, tree.checkout, tree.name, tree.environment)


def warn_of_edits() -> None:
    """Say which edits of the checkout take no part."""
    edited = uncommitted(CHECKOUT)
    if edited:
        get_run_logger().warning("not committed, so no part of this run: %s", ", ".join(edited[:10]))
