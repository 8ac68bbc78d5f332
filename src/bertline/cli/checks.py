"""What `bertline doctor` looks at: each check is a function from a checkout to findings; none changes anything."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import Request, urlopen

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError, masked, reason
from bertline.base.params import load_params
from bertline.base.processor import bf16_instructions
from bertline.registry.address import sqlite_file, store_uri

Level = Literal["ok", "warn", "fail"]

GIB = 2**30
_INSTALL = "Run `make run`, or: pip install -r requirements.lock && pip install --no-deps -e ."
_ACTIVATE = "source .venv/bin/activate"
_SECONDS = 5.0  # for a server to answer
_NAMED = 3  # packages in a message


@dataclass(frozen=True)
class Finding:
    """What a check found: ok, or what is wrong and what to do about it."""

    name: str
    level: Level
    detail: str
    fix: str = ""


def _judged(good: bool, name: str, detail: str, fix: str, otherwise: Level = "fail") -> Finding:
    """Ok, or what `fix` does something about."""
    return Finding(name, "ok", detail) if good else Finding(name, otherwise, detail, fix)


def python(_: Path) -> Iterator[Finding]:
    """The interpreter is new enough, and `python`, as dvc.yaml calls it, is this one."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield _judged(sys.version_info >= (3, 11), "Python", version, "Install Python 3.11 or later")
    found = shutil.which("python")
    same = found is not None and Path(found).parent == Path(sys.executable).parent
    yield _judged(same, "python on PATH", found or "not on PATH", f"Stages need this one: {_ACTIVATE}")


def programs(_: Path) -> Iterator[Finding]:
    """The programs that the pipeline calls."""
    wanted: tuple[tuple[str, Level, str], ...] = (
        ("git", "fail", "Install git"),
        ("make", "warn", "Install make; without it, follow the steps in the Makefile by hand"),
        ("dvc", "fail", _ACTIVATE),
    )
    for name, otherwise, fix in wanted:
        path = shutil.which(name)
        yield _judged(path is not None, name, path or "not on PATH", fix, otherwise)


def packages(root: Path) -> Iterator[Finding]:
    """The installed packages are those of requirements.lock."""
    lock = root / "requirements.lock"
    if not lock.is_file():
        yield Finding("packages", "fail", "no requirements.lock", "git checkout requirements.lock")
        return
    missing, different, count = [], [], 0
    for line in lock.read_text(encoding="utf-8").splitlines():
        name, _, pinned = line.partition(";")[0].partition("#")[0].strip().partition("==")
        if not pinned:
            continue
        count += 1
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
        else:
            if installed.partition("+")[0] != pinned:  # a build (2.13.0+cpu) is still that version
                different.append(f"{name} {installed} (pinned: {pinned})")
    if missing:
        yield Finding("packages", "fail", f"{len(missing)} missing: {_some(missing)}", _INSTALL)
    if different:
        yield Finding("packages", "warn", f"{len(different)} of another version: {_some(different)}", _INSTALL)
    if not missing and not different:
        yield Finding("packages", "ok", f"{count} as pinned in requirements.lock")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def repository(root: Path) -> Iterator[Finding]:
    """The checkout is a git and a DVC repository that can be written to, with valid parameters."""
    git, dvc = (root / ".git").exists(), (root / ".dvc" / "config").is_file()
    fix = "Clone the project with git; without it there is no history of experiments"
    yield _judged(git, "git repository", "yes" if git else "no .git here", fix, "warn")
    yield _judged(dvc, "DVC repository", "yes" if dvc else "no .dvc/config", "dvc init")
    for folder in (root, root / "data", root / ".dvc"):
        if not folder.is_dir():
            continue
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            yield Finding("write access", "fail", f"{folder}: {error.strerror}", "Give yourself write permission there")
            break
    else:
        yield Finding("write access", "ok", "checkout and data")
    try:
        tasks = load_params(Artifacts(root).params).tasks
    except BertlineError as error:
        yield Finding("params.yaml", "fail", f"{error.where}: {error.what}", error.fix)
    else:
        yield Finding("params.yaml", "ok", f"{len(tasks)} tasks: {', '.join(tasks)}")


def machine(root: Path) -> Iterator[Finding]:
    """Disk, memory and cores suffice for what params.yaml asks for."""
    free = shutil.disk_usage(root).free / GIB
    fix = "Free some space; `dvc gc -w` drops old outputs"
    yield _judged(free >= 10, "disk", f"{free:.0f} GiB free", fix, "fail" if free < 2 else "warn")
    memory = _memory() / GIB
    fix = "The quickstart needs 4 GiB; lower pretrain.batch_size and finetune.batch_size"
    yield _judged(memory >= 4, "memory", f"{memory:.1f} GiB", fix, "warn")
    params = _params(root)
    threads = max(params.pretrain.threads, params.finetune.threads)
    cores = _cores()
    fix = f"params.yaml asks for {threads} threads: results are the same, only later"
    yield _judged(cores >= threads, "cores", f"{cores:g}", fix, "warn")


def accelerators(root: Path) -> Iterator[Finding]:
    """The processor multiplies bf16 in hardware, and there is a GPU where params.yaml asks for one."""
    params = _params(root)
    hardware = bf16_instructions()
    wanted = "bf16" in (params.pretrain.precision, params.finetune.precision)
    on_cpu = "cpu" in (params.pretrain.device, params.finetune.device)
    if hardware or not (wanted and on_cpu):
        yield Finding("bf16", "ok", f"in hardware ({', '.join(sorted(hardware))})" if hardware else "not needed")
    else:
        fix = "Training computes in fp32 here: slower, and its scores differ a little from those in bf16"
        yield Finding("bf16", "warn", "this processor has none", fix)
    sections = ("pretrain", "finetune")
    users = [section for section in sections if getattr(params, section).device == "cuda"]
    try:
        import torch  # noqa: PLC0415  (takes seconds)
    except ImportError:
        yield Finding("torch", "fail", "not installed", _INSTALL)
        return
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        yield Finding("GPU", "ok", f"{card.name}, {card.total_memory / GIB:.0f} GiB")
    elif users:
        fix = f"Set device: cpu in {', '.join(users)}, or install a torch with CUDA and the driver"
        yield Finding("GPU", "fail", "torch sees none, but params.yaml asks for cuda", fix)
    else:
        yield Finding("GPU", "ok", "none, and none is asked for")


def mlflow_store(root: Path) -> Iterator[Finding]:
    """MLflow's store can be reached: looked at from outside, as nothing but registry/ speaks MLflow."""
    try:
        address = store_uri(root)
    except BertlineError as error:
        yield Finding("MLflow store", "fail", f"{error.where}: {error.what}", error.fix)
        return
    shown = masked(address)
    try:
        detail = _reach(address)
    except (OSError, sqlite3.Error, ValueError, HTTPException) as error:
        told = getattr(error, "reason", None) or getattr(error, "strerror", None) or reason(error)
        fix = "Start the server, correct MLFLOW_TRACKING_URI, or unset it for the store in the checkout"
        yield Finding("MLflow store", "fail", f"{shown}: {told}", fix)
    else:
        yield Finding("MLflow store", "ok", f"{shown} ({detail})")


def _reach(address: str) -> str:
    """How a tracking store answers.

    Raises:
        OSError, sqlite3.Error, ValueError, HTTPException: it does not, or is none.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:  # its message repeats what may be a part of the password
        raise ValueError("no valid address; in a password, write / as %2F, [ as %5B") from None
    if path := sqlite_file(address):
        if not path.exists():
            return "made by the first run"
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("SELECT version_num FROM alembic_version").fetchone()
        return "opens"
    if parts.scheme in ("http", "https"):
        with urlopen(_health(parts), timeout=_SECONDS):
            return "answers"
    if not parts.hostname:
        raise ValueError("no address of a database or server")
    port = port or {"postgresql": 5432, "mysql": 3306}.get(parts.scheme.partition("+")[0], 0)
    with socket.create_connection((parts.hostname, port), timeout=_SECONDS):
        return "answers"


def _health(server: SplitResult) -> Request:
    """The request that shows whether a server answers; user and password, or token, as MLflow sends them."""
    user, at, host = server.netloc.rpartition("@")
    request = Request(server._replace(netloc=host, path=f"{server.path.rstrip('/')}/health").geturl())
    pair = [os.environ.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD")]
    if at:  # urlopen would take them for a part of the host's name
        pair = [unquote(part) for part in user.partition(":")[::2]]
    if at or all(pair):
        request.add_unredirected_header("Authorization", f"Basic {b64encode(':'.join(pair).encode()).decode()}")
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


def prefect(_: Path) -> Iterator[Finding]:
    """Prefect's server can be imported; some versions of fastapi break it."""
    command = [sys.executable, "-c", "import prefect.server.api.server"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        yield Finding("Prefect server", "ok", "imports")
        return
    reason = (result.stderr.strip().splitlines() or ["unknown error"])[-1][:120]
    yield Finding("Prefect server", "fail", reason, f"Prefect 3.8.8 needs fastapi below 0.151. {_INSTALL}")


def _params(root: Path) -> Params:
    """The parameters, or the defaults where params.yaml is not valid, which is another check's finding."""
    try:
        return load_params(Artifacts(root).params)
    except BertlineError:
        return Params()


def _memory() -> int:
    """Bytes this process may use: of the machine, or of its control group where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def _cores() -> float:
    """Processors this process may use: by affinity, or by its control group's quota where that is less."""
    cores = len(os.sched_getaffinity(0))
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else cores


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (
    python,
    programs,
    packages,
    repository,
    machine,
    accelerators,
    mlflow_store,
    prefect,
)
