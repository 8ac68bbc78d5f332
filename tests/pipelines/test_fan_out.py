"""A sweep whose points run on a real Dask cluster: a scheduler and two workers, each a process of its own."""

from collections.abc import Iterator

import pytest

from pipelines.sweep import FAN_OUT
from pipelines.worktree import saved_runs
from station import Station, free_port, processes_of, wait_for

pytest.importorskip("prefect_dask", reason="prefect-dask is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def scheduler() -> Iterator[str]:
    """The address of the cluster to come, in the environment of what `station` starts."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FAN_OUT, f"dask:{address}")
        yield address


@pytest.fixture
def workers(scheduler: str, station: Station) -> set[int]:
    """The processes of the cluster's workers."""
    host, _, port = scheduler.removeprefix("tcp://").partition(":")
    station.start("-m", "distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-dashboard")
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
    return {station.start("-m", "distributed.cli.dask_worker", scheduler, *options).pid for _ in range(2)}


def test_points_run_on_the_cluster(workers: set[int], station: Station) -> None:
    run = station.run("sweep", task="docs_qa", search={"learning_rate": [0.0001, 0.001], "side_by_side": 2})

    def runners() -> set[int]:
        """The workers that a stage of fine-tuning runs under."""
        stages = [each for each in processes_of(station.checkout) if "bertline.stages.finetune" in each.cmdline()]
        return {parent.pid for stage in stages for parent in stage.parents()} & workers

    assert wait_for(lambda: runners() == workers, 240, "a point runs on each worker")
    state = station.ended(run, 400)
    assert state["type"] == "COMPLETED", station.logs(run)[-3000:]
    assert state["message"].startswith("best of 2: learning_rate ")
    kept = [name for name in saved_runs(station.checkout) if name.startswith(f"sweep-{run[:8]}-")]
    assert sorted(kept) == [f"sweep-{run[:8]}-{number:03}" for number in (1, 2)]
