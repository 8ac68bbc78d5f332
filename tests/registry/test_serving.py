"""A champion behind HTTP: `mlflow models serve`, as the README has it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bertline.base.artifacts import Artifacts
from bertline.inference.embedding import embed
from bertline.inference.fill_mask import FillMask
from bertline.inference.predictor import Predictor
from bertline.registry.served_model import OUTPUT_COLUMNS
from bertline.tasks.schema import TaskInfo
from registry.pipeline_state import TEXTS
from registry.test_served_model import ROWS
from station import free_port, wait_for

WRONG: dict[str, list[tuple[Any, str]]] = {
    "topic": [({"txt": "a text"}, "text"), ({"text": " "}, "text is empty"), ({"text": 3}, "text")],
    "pairs": [({"text": "a text"}, "text_pair"), ({"text": "a text", "text_pair": ""}, "empty")],
    "rating": [({"txt": "a text"}, "text"), ({"text": ""}, "empty"), ({"text": [1]}, "text")],
    "params": [({"words": ["a"]}, "text"), ({"text": ""}, "empty"), ({"text": 1.5}, "text")],
    "qa": [({"question": "what?"}, "context"), ({"question": "", "context": "a"}, "empty")],
    "encoder": [({"txt": "a [MASK]"}, "text"), ({"text": " "}, "empty"), ({"text": 3}, "text")],
}
"""Rows that a kind of model refuses, and what the refusal names."""


@contextmanager
def serving(registered: Artifacts, name: str) -> Iterator[str]:
    """The address of a server of a champion; its whole process group is ended afterwards."""
    address = f"http://127.0.0.1:{free_port()}"
    programs = Path(sys.executable).parent
    command = [programs / "mlflow", "models", "serve", "-m", f"models:/bertline-{name}@champion"]
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        [*command, "--env-manager", "local", "--port", address.rpartition(":")[2]],
        cwd=registered.root,  # where the default store is found
        env={**environment, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers() -> bool:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=1):
                return True
        except OSError:
            return False

    try:
        wait_for(answers, 90, "the server answers")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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


@pytest.mark.parametrize(
    "name", [name if name == "topic" else pytest.param(name, marks=pytest.mark.slow) for name in WRONG]
)
def test_a_served_champion_answers_as_the_predictor_and_refuses_wrong_requests(
    name: str, registered: Artifacts
) -> None:
    rows = ROWS.get(name, [{"text": "the [MASK] of an array"}])
    if name == "encoder":
        own = FillMask(registered.pretrained)
        (vector,) = embed(own.model.bert, own.tokenizer, rows).tolist()
        expected = [{"embedding": pytest.approx(vector), "fills": own.fill(rows[0]["text"], top=5)}]
    else:
        expected = Predictor(registered.finetuned(name)).predict(rows)
    with serving(registered, name) as address:
        status, body = ask(address, {"dataframe_records": rows})
        assert status == 200, body
        answers = json.loads(body)["predictions"]
        assert len(answers) == len(rows)
        if name == "topic":
            assert [answer["label"] for answer in answers] == list(TEXTS.values())
        for one, answer in zip(expected, answers, strict=True):
            assert set(answer) == set(OUTPUT_COLUMNS[kind_of(registered, name)])
            assert answer == {
                key: pytest.approx(one[key]) if isinstance(one[key], float) else one[key] for key in answer
            }
        for row, named in WRONG[name]:
            status, body = ask(address, {"dataframe_records": [row]})
            assert status == 400, (row, body)
            assert named in body, row
        for body_sent in ({}, {"dataframe_records": "no rows"}, {"rows": rows}):
            assert 400 <= ask(address, body_sent)[0] < 500, body_sent


def kind_of(registered: Artifacts, name: str) -> str:
    return "fill-mask" if name == "encoder" else TaskInfo.read(registered.finetuned(name)).kind
