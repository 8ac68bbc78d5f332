"""Fixtures for the whole house: the smoke preset run once through a copy of the checkout."""

import fcntl
import gc
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from bertline.base.artifacts import Artifacts
from checkout import copy_checkout, run_in

# Before any test imports what reads them: no test speaks to anything beyond this machine; a test has one process, where
# it does not ask for more; and OpenMP's threads, in more processes than there are cores, do not keep a core busy with
# waiting for one another.
os.environ |= {
    "BERTLINE_WORKERS": "1",
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_OFFLINE": "1",
}

# A property is no stopwatch: beside other work, one example may take longer than Hypothesis's 200 ms.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

_LONGEST_FIRST = ("test_end_to_end", "validation/test_faults", "pipelines/", "pretraining/", "stages/")
"""Where the long modules are: begun last, one of them would keep a single worker busy at the end."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while modules are imported, a quarter of that time, nor ever again among what they hold."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long modules first; the rest stays in order."""
    places = {f"tests/{name}": place for place, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: next((places[name] for name in places if item.nodeid.startswith(name)), len(places)))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tests run side by side, a worker a core; and a test's sums must not hang on the number of cores."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _small_peak() -> None:
    """A pre-training measures the machine's speed for a second or two, which no test is about but that of it."""
    if "torch" in sys.modules:
        from bertline.pretraining import progress  # noqa: PLC0415  (imports torch)

        progress._PEAK_SIZE["cpu"] = 256


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the tiny pre-trained encoder of toy_tasks.py."""
    from toy_tasks import write_pretrained  # noqa: PLC0415  (imports torch)

    directory = tmp_path_factory.mktemp("pretrained")
    write_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A checkout in which `dvc repro` of the smoke preset has run, and how that ended. Copy it before you change it."""
    with once_for_all(tmp_path_factory, "smoke") as (folder, filled):
        if not filled:
            ended = run_in(copy_checkout(folder / "checkout"), "dvc", "repro", BERTLINE_WORKERS="2")
            (folder / "ended").write_bytes(pickle.dumps(ended))
    ended = pickle.loads((folder / "ended").read_bytes())
    return folder / "checkout", ended


@pytest.fixture(scope="session")
def clean_run(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """What the stages leave for the gates of a small clean run, made once for all workers; copy before a change."""
    from clean_run import make_clean_run  # noqa: PLC0415  (imports torch)

    with once_for_all(tmp_path_factory, "clean_run") as (folder, filled):
        if not filled:
            make_clean_run(folder / "run")
    return Artifacts(folder / "run")


@contextmanager
def once_for_all(factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder that all workers of this pytest share, and whether one of them has filled it; others wait meanwhile."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder, (folder / "filled").exists()
        (folder / "filled").touch()


@pytest.fixture
def clean_copy(clean_run: Artifacts, tmp_path: Path) -> Artifacts:
    """A copy of the clean run, to be damaged."""
    leave = shutil.ignore_patterns("raw", "runs", "sources", "gates")
    return Artifacts(Path(shutil.copytree(clean_run.root, tmp_path / "run", ignore=leave)))


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
