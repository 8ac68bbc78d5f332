"""A Prefect server and the served flows of a checkout, as `make ui` gives them, on ports and in a home of their own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import psutil

from checkout import commit

if TYPE_CHECKING:
    from prefect import Flow, State

T = TypeVar("T")

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def wait_for(what: Callable[[], T], seconds: float, why: str) -> T:
    """Ask until the answer is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {why}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_of(marker: Path) -> list[psutil.Process]:
    """Living processes that work in a folder or name it."""
    found = []
    for process in psutil.process_iter(["cmdline", "status", "cwd"]):
        named = str(marker) in " ".join(process.info["cmdline"] or ())
        inside = (process.info["cwd"] or "").startswith(str(marker))
        if (named or inside) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def tried_again(flow: "Flow[Any, Any]", state: "State[Any]", parameters: Mapping[str, Any]) -> "State[Any]":
    """The same flow run once more, in this process, as the UI's Retry does it."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415  (Prefect takes seconds)
    from prefect.flow_engine import run_flow  # noqa: PLC0415
    from prefect.states import Scheduled  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(state.state_details.flow_run_id, Scheduled(name="AwaitingRetry"), force=True)
        flow_run = client.read_flow_run(state.state_details.flow_run_id)
    tried: State[Any] = run_flow(flow, flow_run=flow_run, parameters=dict(parameters), return_type="state")
    return tried


@dataclass
class Station:
    """Starts, asks, kills. Everything that it started is ended by `close`."""

    checkout: Path
    home: Path
    port: int = field(default_factory=free_port)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)  # pre-trainings that were there before

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_TRACKING"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PREFECT_HOME": str(self.home), "PREFECT_API_URL": self.api, "PATH": path}
        off = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
        return kept | own | off

    def start_server(self) -> subprocess.Popen[bytes]:
        server = self.start("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port))
        wait_for(self._healthy, 180, "the server answers")
        return server

    def start_serving(self) -> subprocess.Popen[bytes]:
        """The flows, served by `python -m pipelines.serve`."""
        pages = str(free_port())
        serving = self.start("-m", "pipelines.serve", "--limit", "2", "--pages-port", pages)
        wait_for(lambda: self.deployment("rollback/local"), 120, "the deployments are there")
        return serving

    def start_worker(self, pool: str) -> subprocess.Popen[bytes]:
        return self.start("-m", "prefect", "worker", "start", "--pool", pool, "--type", "process")

    def prefect(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command of Prefect's, in the checkout."""
        command = [sys.executable, "-m", "prefect", *arguments]
        return subprocess.run(
            command,
            cwd=self.checkout,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A Python program, in the checkout."""
        log = (self.home / f"log-{len(self.started)}").open("wb")
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.checkout,
            env=self.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def _healthy(self) -> bool:
        try:
            return httpx.get(f"{self.api}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        for _ in range(10):
            answer = httpx.request(method, f"{self.api}{path}", json=body, timeout=60)
            if answer.status_code != 503:  # its SQLite was busy: Prefect's own clients ask again too
                break
            time.sleep(1)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any] | None:
        answer = httpx.get(f"{self.api}/deployments/name/{name}", timeout=60)
        return answer.json() if answer.status_code == 200 else None

    def run(self, flow: str, deployment: str = "local", **parameters: Any) -> str:
        """Start a run as the UI's form does; its id."""
        found = self.deployment(f"{flow}/{deployment}")
        assert found
        path = f"/deployments/{found['id']}/create_flow_run"
        return str(self.ask("POST", path, {"parameters": parameters, "state": {"type": "SCHEDULED"}})["id"])

    def refused(self, flow: str, **parameters: Any) -> httpx.Response:
        """What the server answers to parameters that it must not take."""
        found = self.deployment(f"{flow}/local")
        assert found
        path = f"{self.api}/deployments/{found['id']}/create_flow_run"
        return httpx.post(path, json={"parameters": parameters, "state": {"type": "SCHEDULED"}}, timeout=60)

    def state(self, run: str) -> dict[str, Any]:
        state: dict[str, Any] = self.ask("GET", f"/flow_runs/{run}")["state"]
        return state

    def ended(self, run: str, seconds: float = 240) -> dict[str, Any]:
        """The final state of a run."""
        wait_for(lambda: self.state(run)["type"] in FINAL, seconds, f"run {run} ends: {self.state(run)}")
        return self.state(run)

    def cancel(self, run: str) -> None:
        """What the UI's button does."""
        self.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    def retry(self, run: str) -> None:
        """What the UI's button does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        self.ask("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})

    def tasks(self, run: str, attempt: int = 1) -> dict[str, dict[str, Any]]:
        """The task runs of one attempt of a run by name, once they are all recorded."""
        body = {"flow_runs": {"id": {"any_": [run]}}, "limit": 200}

        def recorded() -> dict[str, dict[str, Any]]:
            runs = [
                each for each in self.ask("POST", "/task_runs/filter", body) if each["flow_run_run_count"] == attempt
            ]
            unfinished = [each for each in runs if each["state_type"] in ("RUNNING", None)]
            return {} if unfinished else {each["name"]: each for each in runs}

        return wait_for(recorded, 30, "the task runs are recorded")

    def logs(self, run: str) -> str:
        found: list[str] = []
        while True:
            body = {
                "logs": {"flow_run_id": {"any_": [run]}},
                "limit": 200,
                "offset": len(found),
                "sort": "TIMESTAMP_ASC",
            }
            page = self.ask("POST", "/logs/filter", body)
            found += [line["message"] for line in page]
            if len(page) < 200:
                return "\n".join(found)

    def artifacts(self, run: str) -> dict[str, str]:
        body = {"artifacts": {"flow_run_id": {"any_": [run]}}, "limit": 200}
        return {each["key"]: each["data"] for each in self.ask("POST", "/artifacts/filter", body)}

    def flow_process(self, run: str) -> psutil.Process:
        """The process in which a flow runs."""

        def found() -> psutil.Process | None:
            for process in psutil.process_iter(["cmdline", "environ"]):
                mine = (process.info["environ"] or {}).get("PREFECT__FLOW_RUN_ID") == run
                if mine and "prefect" in " ".join(process.info["cmdline"] or ()):
                    return process
            return None

        return wait_for(found, 60, "the flow has a process")

    def close(self) -> None:
        for process in reversed(self.started):
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(timeout=20)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
        for left in processes_of(self.home):
            left.kill()


@contextmanager
def running_station(finished: Path, folder: Path) -> Iterator[Station]:
    """A station whose checkout is a copy of a finished one, all of it committed."""
    checkout = Path(shutil.copytree(finished, folder / "checkout", symlinks=True))
    commit(checkout)
    (folder / "home").mkdir()
    station = Station(checkout, folder / "home")
    station.seen.update(path.name for path in (checkout / "data" / "runs" / "pretrain").iterdir())
    try:
        station.start_server()
        station.start_serving()
        yield station
    finally:
        station.close()
