"""benchmarks/gpu.py, which is meant to run right the first time on a machine lent for minutes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(out: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The script, in a process that finds bertline and nothing else of this checkout."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--out", str(out), "--tiny", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_part_runs_and_nothing_is_wrong(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert found["wrong"] == []
    bad = {name: row for name, row in found["parts"].items() if row.keys() & {"skipped", "error"}}
    assert not bad
    assert found["parts"]["training"]["exit_codes"] == [0, 143, 0]
    assert done.stdout.splitlines()[-1] == "nothing wrong"


@pytest.mark.slow
def test_parts_without_time_are_skipped_and_said_so(tmp_path):
    done = run(tmp_path, "--seconds", "0.1", "--only", "machine", "exact *")
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["parts"]
    assert len(parts) == 8 and all("skipped" in row for row in parts.values())
    assert "s left" in done.stdout
