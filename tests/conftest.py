"""Fixtures for the whole house: the smoke preset run once through a copy of the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import copy_checkout, run_in

# Before any test imports them: no test speaks to anything beyond this machine.
os.environ |= {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_OFFLINE": "1",
}


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A checkout in which `dvc repro` of the smoke preset has run, and how that ended. Copy it before you change it."""
    checkout = copy_checkout(tmp_path_factory.mktemp("smoke") / "checkout")
    return checkout, run_in(checkout, "dvc", "repro")


_OWN_PROCESS = "BERTLINE_TEST_IN_ITS_OWN_PROCESS"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is marked `own_process` as a pytest of its own."""
    if not pyfuncitem.get_closest_marker("own_process") or _OWN_PROCESS in os.environ:
        return None
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:randomly", pyfuncitem.nodeid]
    environment = os.environ | {_OWN_PROCESS: "1"}
    root = pyfuncitem.config.rootpath
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return True
