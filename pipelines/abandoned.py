"""Runs that the server takes for running, though no process works on them: in the UI nobody can try them again.

Prefect kills the runs that it has started as it ends, and tells nobody; nor does a machine that is switched off.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

_GOING_ON = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_RUN = b"PREFECT__FLOW_RUN_ID="


def settle(deployments: Iterable[str], place: str) -> None:
    """Say of the runs of deployments that no process of this machine works on that they have crashed, or are cancelled.

    Args:
        deployments: as `retrain/local`.
        place: the tag of those that this machine serves: what another one runs, cannot be known here.
    """
    with suppress(httpx.HTTPError), get_client(sync_client=True) as client:  # a server that is away: the next time
        for name in deployments:
            try:
                found = client.read_deployment_by_name(name)
            except ObjectNotFound:
                continue
            if place not in found.tags:
                continue
            of_it = DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))
            going_on = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_GOING_ON)))
            runs = client.read_flow_runs(deployment_filter=of_it, flow_run_filter=going_on)
            worked_on = _worked_on()
            for run in runs:
                if run.state and str(run.id) not in worked_on:
                    crashed: State[Any] = Crashed(message="its process has been ended")
                    client.set_flow_run_state(run.id, Cancelled() if run.state.is_cancelling() else crashed, force=True)


def _worked_on() -> set[str]:
    """The flow runs that have a process here; their stages, which may outlive it by seconds, are none."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, variables = ((process / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
        except OSError:  # it has just ended, or is another user's
            continue
        if b"prefect.engine" in command:
            found |= {each.removeprefix(_RUN).decode() for each in variables if each.startswith(_RUN)}
    return found
