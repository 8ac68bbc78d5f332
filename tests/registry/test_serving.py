"""A champion behind HTTP: `mlflow models serve`, as the README has it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertline.base.artifacts import Artifacts
from registry.pipeline_state import TEXTS

SECONDS = 90.0


@pytest.fixture
def server(registered: Artifacts) -> Iterator[str]:
    """The address of a server of the champion of `topic`; its whole process group is ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = Path(sys.executable).parent
    command = [programs / "mlflow", "models", "serve", "-m", "models:/bertline-topic@champion"]
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        [*command, "--env-manager", "local", "--port", str(port)],
        cwd=registered.root,  # where the default store is found
        env={**environment, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def ask(address: str, question: dict[str, Any]) -> tuple[int, str]:
    """Status and body of a request to /invocations."""
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_served_champion_gives_the_right_labels_and_refuses_wrong_requests(server: str) -> None:
    status, body = ask(server, {"dataframe_records": [{"text": text} for text in TEXTS]})
    assert status == 200
    assert [answer["label"] for answer in json.loads(body)["predictions"]] == list(TEXTS.values())
    status, body = ask(server, {"dataframe_records": [{"txt": "a text"}]})
    assert (status, "text" in body) == (400, True)
    status, body = ask(server, {"dataframe_records": [{"text": " "}]})
    assert (status, "text is empty" in body) == (400, True)
