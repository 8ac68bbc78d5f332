"""The doctor finds what is wrong with a machine and says what to do; it changes nothing."""

import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import BadStatusLine
from pathlib import Path

import pytest

from bertline.base import processor
from bertline.cli import checks
from bertline.cli.checks import CHECKS, Finding
from checkout import ROOT, run_in
from cli.typed import Type
from corpus.text_server import TextHandler, serving

Check = Callable[[Path], Iterator[Finding]]


def finding(check: Check, name: str, root: Path) -> Finding:
    (found,) = [found for found in check(root) if found.name == name]
    return found


def make_store(path: Path) -> None:
    """A database as MLflow makes one, as far as the doctor looks."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")


@pytest.fixture
def ready(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout as `make run` finds it, and a shell with the environment activated."""
    subprocess.run(["git", "init", "--quiet"], check=True)
    (checkout / ".dvc").mkdir()
    (checkout / ".dvc" / "config").touch()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return checkout


def test_a_ready_machine_passes_and_is_left_as_it_was(ready: Path) -> None:
    before = sorted(ready.rglob("*"))
    result = run_in(ready, "bertline", "doctor")
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stdout + result.stderr
    assert lines[-1].startswith("Ready. ")
    assert ", 0 failed" in lines[-1]
    for name in ("Python", "git", "dvc", "disk", "memory", "cores", "bf16", "GPU", "MLflow store", "Prefect server"):
        assert name in result.stdout
    assert sorted(ready.rglob("*")) == before


@pytest.mark.parametrize("error", [OSError("the sky fell"), BadStatusLine("the sky fell"), KeyError("the sky fell")])
def test_a_failed_check_ends_the_command_with_status_1_and_hides_no_other(
    error: Exception, ready: Path, type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> Iterator[Finding]:
        yield Finding("stars", "fail", "out of line", "Wait")
        raise error

    def fine(_: Path) -> Iterator[Finding]:
        yield Finding("moon", "warn", "new", "Use a lamp")

    monkeypatch.setattr("bertline.cli.doctor.CHECKS", (broken, fine))
    result = type_in("doctor")
    assert result.exit_code == 1
    for word in ("fail", "stars", "out of line", "Wait", "sky", type(error).__name__, "warn", "moon"):
        assert word in result.stdout
    assert "Not ready. 3 checks, 2 failed, 1 with a warning." in result.stdout


def test_programs_that_are_not_on_the_path_are_named(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {found.level for found in checks.programs(ready)} == {"ok"}
    monkeypatch.setenv("PATH", str(ready))
    assert [(found.name, found.level) for found in checks.programs(ready)] == [
        ("git", "fail"),
        ("make", "warn"),
        ("dvc", "fail"),
    ]
    assert finding(checks.python, "python on PATH", ready).level == "fail"
    assert finding(checks.python, "Python", ready).level == "ok"


def test_another_python_first_on_the_path_is_found(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding(checks.python, "python on PATH", ready).level == "ok"
    other = ready / "bin"
    other.mkdir()
    (other / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{other}:{Path(sys.executable).parent}")
    assert "source .venv/bin/activate" in finding(checks.python, "python on PATH", ready).fix


def test_packages_are_held_against_the_lock(ready: Path) -> None:
    lock = ready / "requirements.lock"
    lock.write_text("typer==0.0.1\nrich==13 ; python_version < '3'\nnot-a-package==1.0\n# a comment\n")
    missing, different = checks.packages(ready)
    assert (missing.level, missing.detail) == ("fail", "1 missing: not-a-package")
    assert (different.level, different.detail.partition(":")[0]) == ("warn", "2 of another version")
    assert "(pinned: 0.0.1)" in different.detail
    lock.unlink()
    assert next(checks.packages(ready)).level == "fail"


def test_the_installed_packages_are_those_of_the_lock() -> None:
    (found,) = checks.packages(ROOT)
    assert found.level == "ok", found.detail


def test_a_folder_that_is_no_repository_or_has_wrong_parameters_is_found(ready: Path) -> None:
    assert {found.level for found in checks.repository(ready)} == {"ok"}
    shutil.rmtree(ready / ".git")
    (ready / ".dvc" / "config").unlink()
    (ready / "params.yaml").write_text("vocab: {sise: 3}\n")
    assert finding(checks.repository, "git repository", ready).level == "warn"
    assert finding(checks.repository, "DVC repository", ready).fix == "dvc init"
    params = finding(checks.repository, "params.yaml", ready)
    assert (params.level, params.detail) == ("fail", f"{ready / 'params.yaml'}, key vocab.sise: unknown option")


def test_a_folder_that_cannot_be_written_to_is_found(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checks.tempfile, "TemporaryFile", refuse)
    found = finding(checks.repository, "write access", ready)
    assert (found.level, "Permission denied" in found.detail) == ("fail", True)


@pytest.mark.parametrize(("free", "level"), [(1, "fail"), (5, "warn"), (50, "ok")])
def test_disk_space_has_three_levels(free: int, level: str, ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(ready)._replace(free=free * 2**30)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    assert finding(checks.machine, "disk", ready).level == level


def test_the_limits_of_a_container_count(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"/sys/fs/cgroup/memory.max": str(2 * 2**30), "/sys/fs/cgroup/cpu.max": "50000 100000\n"}
    monkeypatch.setattr(checks, "_read", lambda path: limits.get(path, ""))
    memory, cores = finding(checks.machine, "memory", ready), finding(checks.machine, "cores", ready)
    assert (memory.level, memory.detail) == ("warn", "2.0 GiB")
    assert (cores.level, cores.detail) == ("warn", "0.5")
    limits |= {"/sys/fs/cgroup/memory.max": "max\n", "/sys/fs/cgroup/cpu.max": "max 100000\n"}
    assert finding(checks.machine, "memory", ready).detail != "2.0 GiB"


@pytest.mark.parametrize(
    ("cpu", "level"),
    [
        ("flags\t\t: fpu avx2 avx512_bf16\n", "ok"),
        ("Features\t: fp asimd bf16\n", "ok"),
        ("flags\t\t: fpu avx2 avx512f\n", "warn"),
        ("", "warn"),
    ],
)
def test_bf16_in_hardware_is_read_from_the_processors_flags(
    cpu: str, level: str, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ready / "cpuinfo"
    listed.write_text(cpu)
    monkeypatch.setattr(processor, "CPU_INFORMATION", listed)
    assert finding(checks.accelerators, "bf16", ready).level == level
    text = (ready / "params.yaml").read_text().replace("precision: bf16", "precision: fp32")
    (ready / "params.yaml").write_text(text)
    assert finding(checks.accelerators, "bf16", ready).level == "ok", "fp32 needs no bf16"


def test_a_gpu_is_missed_only_where_the_parameters_ask_for_one(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert finding(checks.accelerators, "GPU", ready).level == "ok"
    before, section, after = (ready / "params.yaml").read_text().partition("\nfinetune:")
    (ready / "params.yaml").write_text(before + section + after.replace("device: cpu", "device: cuda", 1))
    found = finding(checks.accelerators, "GPU", ready)
    assert found.level == "fail"
    assert found.fix.startswith("Set device: cpu in finetune,")


def test_the_sqlite_store_is_opened_and_never_made(ready: Path) -> None:
    store = ready / "mlflow.db"
    assert finding(checks.mlflow_store, "MLflow store", ready).detail.endswith("(made by the first run)")
    assert not store.exists()
    store.write_text("this is no database, whatever its name may say")
    assert finding(checks.mlflow_store, "MLflow store", ready).level == "fail"
    store.unlink()
    make_store(store)
    assert finding(checks.mlflow_store, "MLflow store", ready).detail.endswith("(opens)")


def test_a_relative_address_of_the_store_starts_at_the_checkout(
    ready: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(ready / "other.db")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert finding(checks.mlflow_store, "MLflow store", ready).detail == f"sqlite:///{ready}/other.db (opens)"


@pytest.mark.parametrize("name", ["feature%2Fx", "a#b"])
def test_the_store_of_a_checkout_with_signs_of_addresses_in_its_path_is_looked_at_where_it_is(
    name: str, ready: Path
) -> None:
    place = ready / name
    place.mkdir()
    assert finding(checks.mlflow_store, "MLflow store", place).detail.endswith("(made by the first run)")
    make_store(place / "mlflow.db")
    assert finding(checks.mlflow_store, "MLflow store", place).detail.endswith("(opens)")


def test_a_checkout_whose_path_no_address_of_sqlite_can_name_is_told(ready: Path) -> None:
    found = finding(checks.mlflow_store, "MLflow store", ready / "a?b")
    assert (found.level, "end at a ?" in found.detail) == ("fail", True)


def test_a_server_is_reached_or_not_and_its_password_is_never_shown(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://me:secret@127.0.0.1:{port}/mlflow")
        found = finding(checks.mlflow_store, "MLflow store", ready)
        assert (found.level, "secret" in found.detail) == ("ok", False)
    gone = finding(checks.mlflow_store, "MLflow store", ready)
    assert (gone.level, "secret" in gone.detail) == ("fail", False)
    assert f"me:***@127.0.0.1:{port}" in gone.detail
    for address in (f"http://127.0.0.1:{port}", "no address at all"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert finding(checks.mlflow_store, "MLflow store", ready).level == "fail"


def test_a_server_behind_a_password_is_asked_with_it(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(TextHandler) as site:
        host = site.url.removeprefix("http://")
        shown = {"ok": f"http://me:***@{host}/ok/ (answers)", "401": f"http://me:***@{host}/401/: Unauthorized"}
        for manner, detail in shown.items():
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:p%40ss@{host}/{manner}/")
            assert finding(checks.mlflow_store, "MLflow store", ready).detail == detail
            assert site.paths[-1] == f"/{manner}/health"
            assert site.headers[-1]["Authorization"] == "Basic bWU6cEBzcw=="  # me:p@ss
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{host}/ok")
        assert finding(checks.mlflow_store, "MLflow store", ready).level == "ok"
        assert "Authorization" not in site.headers[-1]


@pytest.mark.parametrize(
    ("known", "sent"),
    [
        ({"USERNAME": "me", "PASSWORD": "p@ss"}, "Basic bWU6cEBzcw=="),
        ({"TOKEN": "secret"}, "Bearer secret"),
        ({"USERNAME": "me", "PASSWORD": "p@ss", "TOKEN": "secret"}, "Basic bWU6cEBzcw=="),
        ({"USERNAME": "me"}, None),
    ],
)
def test_a_server_is_asked_as_mlflow_asks_it_where_the_environment_says_who_asks(
    known: dict[str, str], sent: str | None, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name, value in known.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    with serving(TextHandler) as site:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{site.url}/ok")
        assert finding(checks.mlflow_store, "MLflow store", ready).level == "ok"
        assert site.headers[-1].get("Authorization") == sent
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{site.url.replace('//', '//you:@')}/ok")
        assert finding(checks.mlflow_store, "MLflow store", ready).level == "ok"
        assert site.headers[-1]["Authorization"] == "Basic eW91Og==", "the address goes first"


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql"])
@pytest.mark.parametrize("address", ["me:geheim@127.0.0.1", "me:ge/heim@127.0.0.1:9", "me:ge[heim@127.0.0.1"])
def test_no_address_shows_its_password_whether_it_is_one_or_not(
    scheme: str, address: str, type_in: Type, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertline.cli.doctor.CHECKS", (checks.mlflow_store,))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://{address}")
    monkeypatch.setattr(checks, "_SECONDS", 0.2)
    result = type_in("doctor")
    assert "eady. 1 checks" in result.stdout
    for text in (result.output, str([*checks.mlflow_store(ready)])):
        assert "heim" not in text and "'ge" not in text


def test_what_answers_and_is_no_web_server_is_a_finding(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def greet() -> None:
            with closing(server.accept()[0]) as client:
                client.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                client.recv(1000)

        threading.Thread(target=greet, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        found = finding(checks.mlflow_store, "MLflow store", ready)
    assert (found.level, "SSH-2.0-OpenSSH_9.6" in found.detail) == ("fail", True)


def test_a_prefect_server_that_cannot_be_imported_is_explained(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ready / "broken-python"
    broken.write_text("#!/bin/sh\necho Traceback >&2; echo \"TypeError: Body() got 'min_items'\" >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(checks.sys, "executable", str(broken))
    found = finding(checks.prefect, "Prefect server", ready)
    assert (found.level, found.detail) == ("fail", "TypeError: Body() got 'min_items'")
    assert "fastapi below 0.151" in found.fix


def test_every_problem_comes_with_something_to_do(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(ready))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (ready / "params.yaml").write_text("nonsense: 1\n")
    (ready / "requirements.lock").write_text("nothing-like-it==1\n")
    findings = [found for check in CHECKS if check is not checks.prefect for found in check(ready)]
    problems = [found for found in findings if found.level != "ok"]
    assert len(problems) >= 6
    assert all(found.fix for found in problems)
