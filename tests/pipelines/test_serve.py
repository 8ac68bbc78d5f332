"""What `make ui` says before anything runs; what it does then is tested on a real server (test_station.py)."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from checkout import ROOT, run_in
from pipelines import serve
from pipelines.server import healthy
from station import free_port, wait_for


def serving(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_in(ROOT, sys.executable, "-m", "pipelines.serve", *arguments, timeout=120, **environment)


@pytest.fixture
def other_program() -> Iterator[int]:
    """The port of a program that is no Prefect server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    failed = serving(PREFECT_API_URL="http://me:secret@127.0.0.1:9/api")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("serve: error: http://me:***@127.0.0.1:9/api: no Prefect server answers.")
    assert failed.stderr.count("\n") == 1


def test_a_port_that_another_program_holds_is_named(other_program: int) -> None:
    failed = serving("--port", str(other_program), PREFECT_API_URL="")
    assert failed.returncode == 1
    assert failed.stderr == (
        f"serve: error: 127.0.0.1:{other_program}: another program listens there. Give another --port.\n"
    )


@pytest.mark.parametrize(("option", "port"), [("--pages-port", "99999"), ("--port", "65536"), ("--port", "http")])
def test_a_number_that_is_no_port_is_named(option: str, port: str) -> None:
    failed = serving(option, port, PREFECT_API_URL="")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].endswith(f"error: argument {option}: {port!r} is no port: 1 to 65535")


@pytest.mark.parametrize("limit", ["0", "-1", "two"])  # with 0, no run would ever begin
def test_a_number_of_runs_that_is_none_is_named(limit: str) -> None:
    failed = serving(f"--limit={limit}", PREFECT_API_URL="")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].endswith(f"argument --limit: {limit!r} is no number of runs: 1 or more")


def test_data_docs_are_served_from_their_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_CHECKOUT", tmp_path)
    pages = tmp_path / "data" / "runs" / "pages" / "run-1"
    pages.mkdir(parents=True)
    (pages / "index.html").write_text("found")
    (tmp_path / "params.yaml").write_text("secret")
    with ExitStack() as stop:
        address = serve.start_pages(free_port(), stop)
        port = int(address.rpartition(":")[2])
        listening = [each.laddr for each in psutil.Process().net_connections("tcp") if each.status == "LISTEN"]
        assert [each.ip for each in listening if each.port == port] == ["127.0.0.1"]
        assert urllib.request.urlopen(f"{address}/run-1/index.html").read() == b"found"
        for outside in ("/../../../params.yaml", "/..%2f..%2f..%2fparams.yaml", "/params.yaml"):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"{address}{outside}")


def test_data_docs_find_another_port_where_theirs_is_taken(
    other_program: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_CHECKOUT", tmp_path)
    with ExitStack() as stop:
        assert serve.start_pages(other_program, stop) != f"http://127.0.0.1:{other_program}"


@pytest.mark.usefixtures("prefect_server")
def test_two_checkouts_at_one_server_do_not_take_each_other_s_runs(tmp_path: Path) -> None:
    from prefect import flow  # noqa: PLC0415  (Prefect takes seconds)

    here, other = tmp_path / "here", tmp_path / "other"
    host = f"checkout {socket.gethostname()}"

    @flow(name="retrain")
    def retrain() -> None:
        return

    def offered(name: str, *tags: str) -> None:
        retrain.to_deployment(name, tags=["bertline", *tags]).apply()

    assert serve.deployment_name(here) == "local"
    offered("local")  # by a bertline that did not say whose it is
    assert serve.deployment_name(here) == "local"
    other.mkdir()
    offered("local", f"{host}:{other}")
    assert serve.deployment_name(here) == "local-2"
    offered("local-2", f"checkout elsewhere:{tmp_path}/away")
    assert serve.deployment_name(here) == "local-3"
    offered("local-3", f"checkout of-another-name:{here}")  # a container's of yesterday
    assert (serve.deployment_name(here), serve.deployment_name(other)) == ("local-3", "local")
    other.rmdir()
    assert serve.deployment_name(here) == "local"


@pytest.mark.usefixtures("prefect_server")
def test_schedules_that_people_have_made_in_the_ui_outlive_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    def offered() -> list[UUID]:
        return [each.apply() for each in serve.deployments("of-a-test")]

    schedule = {"active": True, "schedule": {"interval": 86_400}, "parameters": {"preset": "smoke"}}
    (first, *_) = offered()
    with get_client(sync_client=True) as client:
        client.request("POST", f"/deployments/{first}/schedules", json=[schedule]).raise_for_status()
        assert offered()[0] == first
        (kept,) = client.read_deployment(first).schedules
    assert (kept.active, kept.parameters) == (True, {"preset": "smoke"})


def test_a_server_that_answers_there_already_is_taken(prefect_server: str) -> None:
    with ExitStack() as stop:
        assert serve.start_server(int(prefect_server.split(":")[2].partition("/")[0]), stop) == prefect_server


@pytest.mark.slow
def test_the_pages_of_a_server_ask_that_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with ExitStack() as stop:
        address = serve.start_server(free_port(), stop)
        settings = json.load(urllib.request.urlopen(address.replace("/api", "/ui-settings")))
        allowed = [origin for origin in ("http://evil.example", address[:-4], "null") if may_post(address, origin)]
    assert settings["api_url"] == address
    assert allowed == [address[:-4]], "another website, open in the same browser, may start runs"


def may_post(address: str, origin: str) -> bool:
    """Whether a browser lets the pages of an origin send JSON to the server."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    request = urllib.request.Request(f"{address}/flow_runs/filter", headers=asked, method="OPTIONS")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.headers.get("Access-Control-Allow-Origin") in ("*", origin)
    except urllib.error.HTTPError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("nohup", [False, True], ids=["", "nohup"])
def test_closing_the_terminal_ends_program_and_server_unless_told_otherwise(nohup: bool, tmp_path: Path) -> None:
    keyboard, terminal = os.openpty()
    port = free_port()
    command = ["setsid", "--ctty", *["nohup"] * nohup, sys.executable, "-m", "pipelines.serve"]
    serving = subprocess.Popen(
        [*command, "--port", str(port), "--pages-port", str(free_port())],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        | {"PREFECT_HOME": str(tmp_path), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        stdin=terminal,
        stdout=(tmp_path / "out").open("wb") if nohup else terminal,
        stderr=terminal,
    )
    os.close(terminal)
    address = f"http://127.0.0.1:{port}/api"
    offered = f"{address}/deployments/name/rollback/local"
    try:
        wait_for(lambda: answers(offered), 300, "the flows are offered")
        os.close(keyboard)
        if nohup:
            with pytest.raises(subprocess.TimeoutExpired):
                serving.wait(timeout=5)
            serving.terminate()
        serving.wait(timeout=60)
        wait_for(lambda: not healthy(address), 10, "the server has ended")
    finally:
        for each in psutil.process_iter(["environ"]):
            if (each.info["environ"] or {}).get("PREFECT_HOME") == str(tmp_path):
                each.kill()


def answers(address: str) -> bool:
    try:
        return bool(urllib.request.urlopen(address).status == 200)
    except OSError:
        return False
