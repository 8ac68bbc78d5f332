"""A sweep whose points run on a real cluster of two workers, each a process of its own: Dask's, and Ray's."""

import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipelines.sweep import FAN_OUT
from pipelines.worktree import saved_runs
from station import Station, free_port, processes_of, running_station, wait_for

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Cluster:
    """A cluster to come.

    Attributes:
        kind: dask or ray.
        port: where its scheduler, or its head, will listen.
        programs: Python programs to start, in this order, in the checkout.
        worker: what the command line of a worker holds.
    """

    kind: str
    port: int
    programs: tuple[str, ...]
    worker: str


def dask(port: int) -> Cluster:
    worker = f"-m distributed.cli.dask_worker tcp://127.0.0.1:{port} --nthreads 1 --no-nanny --no-dashboard"
    scheduler = f"-m distributed.cli.dask_scheduler --host 127.0.0.1 --port {port} --no-dashboard"
    return Cluster("dask", port, (scheduler, worker, worker), "distributed.cli.dask_worker")


def ray(port: int) -> Cluster:
    head = f"-m ray.scripts.scripts start --head --port {port} --num-cpus 2"
    return Cluster("ray", port, (f"{head} --include-dashboard=false --disable-usage-stats --block",), "ray::")


@pytest.fixture(scope="module", params=[dask, ray], ids=["dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    made: Cluster = request.param(free_port())
    pytest.importorskip(f"prefect_{made.kind}", reason=f"prefect-{made.kind} is not installed")
    return made


@pytest.fixture(scope="module")
def station(
    cluster: Cluster, smoke_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Station]:
    """A station that knows the cluster, which runs."""
    address = f"tcp://127.0.0.1:{cluster.port}" if cluster.kind == "dask" else f"127.0.0.1:{cluster.port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FAN_OUT, f"{cluster.kind}:{address}")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        with running_station(smoke_run[0], tmp_path_factory.mktemp("station")) as running:
            for program in cluster.programs:
                running.start(*program.split())
            yield running


def test_points_run_on_the_cluster(cluster: Cluster, station: Station) -> None:
    run = station.run("sweep", task="docs_qa", search={"learning_rate": [0.0001, 0.001], "side_by_side": 2})

    def workers() -> set[int]:
        """The workers that a stage of fine-tuning runs under."""
        stages = [each for each in processes_of(station.checkout) if "bertline.stages.finetune" in each.cmdline()]
        return {parent.pid for stage in stages for parent in stage.parents() if cluster.worker in told(parent)}

    wait_for(lambda: len(workers()) == 2, 240, "a point runs on each worker")
    state = station.ended(run, 400)
    assert state["type"] == "COMPLETED", station.logs(run)[-3000:]
    assert state["message"].startswith("best of 2: learning_rate ")
    kept = [name for name in saved_runs(station.checkout) if name.startswith(f"sweep-{run[-8:]}-")]
    assert sorted(kept) == [f"sweep-{run[-8:]}-{number:03}" for number in (1, 2)]


def test_cancelling_a_sweep_ends_the_points_that_run_on_the_cluster(cluster: Cluster, station: Station) -> None:
    search = {"learning_rate": [0.0002, 0.002], "epochs": [400], "side_by_side": 2}
    run = station.run("sweep", task="docs_qa", search=search)

    def stages() -> list[psutil.Process]:
        return [each for each in processes_of(station.checkout) if "bertline.stages.finetune" in told(each)]

    wait_for(lambda: len(stages()) >= 2, 240, "both points run")
    station.cancel(run)
    assert station.ended(run, 60)["type"] == "CANCELLED"
    wait_for(lambda: not stages(), 30, "no stage of a point runs")


def told(process: psutil.Process) -> str:
    return " ".join(process.cmdline())
