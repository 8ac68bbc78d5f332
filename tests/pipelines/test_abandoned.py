"""A run whose process is no more ends for the server too, and no other does."""

import os
import subprocess
import sys
from uuid import UUID

import pytest


@pytest.mark.usefixtures("prefect_server")
def test_a_run_without_a_process_ends_and_one_with_a_process_or_of_another_machine_does_not() -> None:
    from prefect import flow  # noqa: PLC0415  (Prefect takes seconds)
    from prefect.client.orchestration import get_client  # noqa: PLC0415
    from prefect.states import Cancelling, Completed, Pending, Running  # noqa: PLC0415

    from pipelines.abandoned import settle  # noqa: PLC0415

    @flow(name="abandoned")
    def made() -> None:
        return

    deployment = made.to_deployment("of-a-test", tags=["checkout here:/there"]).apply()
    with get_client(sync_client=True) as client:
        states = [Running(), Cancelling(), Pending(), Completed(), Running()]
        runs = [client.create_flow_run_from_deployment(deployment, state=state).id for state in states]
        runs.append(client.create_flow_run(made, state=Running()).id)  # of no deployment: of a terminal

        def now() -> list[str]:
            return [str(client.read_flow_run(run).state_name) for run in runs]

        def process(*arguments: str, run: UUID) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", "input()", *arguments]
            return subprocess.Popen(command, env=os.environ | {"PREFECT__FLOW_RUN_ID": str(run)}, stdin=-1)

        before = now()
        with process("-m", "prefect.engine", run=runs[4]) as alive, process("stage", run=runs[0]) as stage:
            settle(["abandoned/of-a-test", "abandoned/none"], "checkout elsewhere:/there")
            assert now() == before
            settle(["abandoned/none", "abandoned/of-a-test"], "checkout here:/there")
            assert now() == ["Crashed", "Cancelled", "Crashed", "Completed", "Running", "Running"]
            for each in (alive, stage):
                each.communicate(b"\n")
