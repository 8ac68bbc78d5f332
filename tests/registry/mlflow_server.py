"""PostgreSQL and `mlflow server` with artifact proxying, started by a test on ports of their own."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from station import free_port, wait_for


def _programs() -> Path | None:
    """The folder of initdb and postgres: where Debian keeps them, or on PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders += [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)


def _accepts(port: int) -> bool:
    import psycopg  # noqa: PLC0415  (may be missing)

    try:
        psycopg.connect(f"host=127.0.0.1 port={port} user=mlflow dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database; skips the test where there is no PostgreSQL, or no driver for it."""
    programs = _programs()
    if programs is None:
        pytest.skip("no initdb on PATH or below /usr/lib/postgresql: apt-get install postgresql")
    if find_spec("psycopg") is None:
        pytest.skip("no driver for PostgreSQL: pip install 'psycopg[binary]'")
    # PostgreSQL refuses to run as root, and another user cannot enter pytest's folders.
    user = "nobody" if os.getuid() == 0 else None
    folder, port = Path(tempfile.mkdtemp(prefix="bertline-postgres-")), free_port()
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    try:
        made = ["--auth", "trust", "--username", "mlflow", "--no-sync", "--pgdata", folder / "data"]
        subprocess.run([programs / "initdb", *made], user=user, check=True, capture_output=True, cwd="/")
        options = ["-D", folder / "data", "-k", folder, "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([programs / "postgres", *options], user=user, stdout=log, stderr=log, cwd="/")
        try:
            wait_for(lambda: _accepts(port), 60, "PostgreSQL answers")
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # its fast shutdown
            server.wait(timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_ALONE = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""No seven helpers beside the server, each of which imports MLflow."""


class MlflowServer:
    """`mlflow server` on a database and a folder of artifacts, to be killed and started again at the same address."""

    def __init__(self, database: str, folder: Path) -> None:
        self.database, self.folder, self.port = database, folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        programs = Path(sys.executable).parent
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(programs / "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
                    *("--serve-artifacts", "--artifacts-destination", self.folder / "artifacts", "--workers", "2"),
                ],
                env={**os.environ, **_ALONE, "PATH": path, "MLFLOW_BACKEND_STORE_URI": self.database},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self._answers, 120, f"mlflow server: {self.folder / 'server.log'}")

    def kill(self) -> None:
        """SIGKILL, with all its workers."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def _answers(self) -> bool:
        assert self.process and self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2):
                return True
        except OSError:
            return False
