"""Small DVC repositories whose stages are one-line shell commands, one Prefect server for all tests, and a real one."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from checkout import run_in
from station import Station, running_station

Smoke = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def empty_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    assert run_in(folder, "dvc", "init", "--no-scm", "--quiet").returncode == 0
    return folder


@pytest.fixture(scope="session")
def make_repo(empty_repo: Path) -> Callable[[Path, dict[str, Any]], Path]:
    """Make a DVC repository with the given stages in a folder, as `repo`."""

    def make(parent: Path, stages: dict[str, Any]) -> Path:
        folder = Path(shutil.copytree(empty_repo, parent / "repo"))
        with (folder / "dvc.yaml").open("w") as file:
            YAML().dump({"stages": stages}, file)
        return folder

    return make


@pytest.fixture
def repo(make_repo: Callable[[Path, dict[str, Any]], Path], tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Make a DVC repository with the given stages."""
    return partial(make_repo, tmp_path)


@pytest.fixture
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place for a machine's locks in which no other run of this machine has one."""
    (tmp_path / "machine").mkdir()
    monkeypatch.setenv("BERTLINE_LOCKS", str(tmp_path / "machine"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server with a home of its own, which flows of this process record to."""
    # Not at the top: Prefect takes seconds to import, and only the tests of the flow need it.
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings  # noqa: PLC0415
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415

    home = tmp_path_factory.mktemp("prefect")
    with temporary_settings({PREFECT_HOME: home}), prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="module")
def station(smoke_run: Smoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """The server, and the flows of a checkout in which the smoke preset has run and is committed."""
    assert smoke_run[1].returncode == 0, smoke_run[1].stderr
    with running_station(smoke_run[0], tmp_path_factory.mktemp("station")) as running:
        yield running
