"""Every fault is found by the expectation that is named for it, as DVC runs the gates; clean data raises no alarm."""

import re
import subprocess
import sys
from typing import Any

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.files import read_json
from bertline.base.stage import execute
from bertline.stages import gate_corpus, gate_pretrain, gate_task, gate_tokens
from checkout import ROOT
from clean_run import TASKS
from faults import Fault, corpus, pretraining, tasks, tokens

GATES = {
    "gate_corpus": gate_corpus.run,
    "gate_tokens": gate_tokens.run,
    "gate_pretrain": gate_pretrain.run,
    "gate_task": gate_task.run,
}
FAULTS = [*corpus.FAULTS, *tokens.FAULTS, *tasks.FAULTS, *pretraining.FAULTS]
FIRST = {(fault.gate, fault.expectation): fault.name for fault in reversed(FAULTS)}
"""An expectation's first fault: `make test` proves each expectation with it, `make test-slow` tries the others too."""


def named(text: str) -> list[str]:
    """The expectations that an error names: the first one, and those that failed too."""
    first = re.findall(r"expectation (\w+) failed: ", text)
    others = re.findall(r"failed too: ([\w, ]+)\. ", text)
    return [*first, *(name for group in others for name in group.split(", "))]


def tried(fault: Fault) -> Any:
    first = FIRST[fault.gate, fault.expectation] == fault.name
    return pytest.param(fault, id=f"{fault.gate}: {fault.name}", marks=() if first else pytest.mark.slow)


@pytest.mark.parametrize("fault", [tried(fault) for fault in FAULTS])
def test_a_fault_is_found_by_its_expectation(
    fault: Fault, clean_copy: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    fault.damage(clean_copy)
    status = execute(fault.gate, GATES[fault.gate], clean_copy.root, fault.task)
    said = capsys.readouterr().err
    report = clean_copy.gate_report(f"{fault.gate}/{fault.task}" if fault.task else fault.gate)
    if fault.severity == "warning":
        assert (status, report.exists()) == (0, True), said
        assert re.search(rf"^{fault.gate}.*: warning: .*{fault.expectation} failed: ", said, re.MULTILINE), said
    else:
        assert (status, report.exists()) == (1, False), said
        assert fault.expectation in named(said), said
        assert "internal error" not in said and "Traceback" not in said


@pytest.mark.parametrize("gate", ["gate_corpus", "gate_tokens", "gate_pretrain", *(f"gate_task/{t}" for t in TASKS)])
def test_clean_data_raise_no_alarm(gate: str, clean_copy: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    name, _, task = gate.partition("/")
    assert execute(name, GATES[name], clean_copy.root, task) == 0
    out, err = capsys.readouterr()
    assert err == "" and "warnings 0" in out
    assert all(entry["success"] for entry in read_json(clean_copy.gate_report(gate))["expectations"])


def test_every_expectation_has_a_fault_that_it_finds(clean_copy: Artifacts) -> None:
    """No expectation of a suite is there that nothing can fail."""
    unproved = {
        ("gate_tokens", "figures_are_there"),  # whatever takes a figure away is named by another one before
        ("gate_tokens", "words_have_continuations"),  # test_tokens_gate.py: with a vocabulary of whole words
    }
    for name, run in GATES.items():
        for task in TASKS if name == "gate_task" else [""]:
            execute(name, run, clean_copy.root, task)
    found = {(fault.gate, fault.expectation) for fault in FAULTS}
    for path in clean_copy.gate("").glob("**/data_docs/report.json"):
        report = read_json(path)
        gate = report["gate"].partition("/")[0]
        assert {(gate, entry["name"]) for entry in report["expectations"]} <= found | unproved


def test_the_table_is_long_and_names_no_fault_twice() -> None:
    names = [(fault.gate, fault.name) for fault in FAULTS]
    assert len(set(names)) == len(names) >= 40
    assert {fault.gate for fault in FAULTS} == set(GATES)


@pytest.mark.parametrize("name", ["a truncated shard", pytest.param("an endless sentence", marks=pytest.mark.slow)])
def test_dvc_sees_the_exit_status_of_a_gate(name: str, clean_copy: Artifacts) -> None:
    """As dvc.yaml runs it, in a process of its own."""
    (fault,) = [fault for fault in FAULTS if fault.name == name]
    fault.damage(clean_copy)
    command = [sys.executable, "-m", f"bertline.stages.{fault.gate}", "--root", str(clean_copy.root)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == (1 if fault.severity == "critical" else 0), ended.stderr
    assert f"{fault.expectation} failed: " in ended.stderr
    assert ended.stderr.count("\n") == 1
