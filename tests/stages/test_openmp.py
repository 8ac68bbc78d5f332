"""How long OpenMP's threads keep a core busy while they wait, as PyTorch's own OpenMP tells it."""

import os
import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("given", "rounds"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
    ids=["nothing said", "rounds said", "a policy said"],
)
def test_a_stages_threads_wait_briefly_unless_the_user_has_said_how(given: dict[str, str], rounds: str) -> None:
    inherited = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    told = subprocess.run(
        [sys.executable, "-m", "bertline.stages.pretrain", "--help"],
        env={**inherited, **given, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert re.findall(r"GOMP_SPINCOUNT = '(\d+)'", told) == [rounds]
