"""Where a run and its models come from, as tags: the commit, dvc.lock, the gate reports, the Prefect run."""

import hashlib
import os
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import bertline
from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import sha256_file, sha256_json
from bertline.base.git import run_git
from bertline.base.params import read_yaml

FLOW_RUN = "prefect.flow_run_id"
"""Tag: the Prefect flow run that registered."""
_GIT_SECONDS = 20


def lineage_tags(params: Params, artifacts: Artifacts) -> dict[str, str]:
    """The tags that can be known here; what cannot be (no git, a damaged index, no dvc.lock) is left out."""
    found = {"bertline.version": bertline.__version__} | _git_tags(artifacts.root)
    lock = artifacts.root / "dvc.lock"
    if lock.is_file():
        found["dvc.lock.sha256"] = lock_sha256(lock)
    reports = gate_reports(params, artifacts)
    if reports:
        lines = [f"{sha256_file(path)}  {path.relative_to(artifacts.data).as_posix()}\n" for path in reports]
        found["gx.report.sha256"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    flow_run = os.environ.get("PREFECT__FLOW_RUN_ID")
    if flow_run:
        found[FLOW_RUN] = flow_run
    return found


def lock_sha256(lock: Path) -> str:
    """The hash of a dvc.lock without the entry of stage register, which DVC writes when that stage has ended.

    Of a committed lock it is the same: `git show COMMIT:dvc.lock > lock.yaml`, then `lock_sha256(Path("lock.yaml"))`.
    It is sha256 of the mapping `stages`, less `register`, as JSON with sorted keys.
    """
    stages: dict[str, Any] = read_yaml(lock).get("stages", {})
    return sha256_json({name: stage for name, stage in stages.items() if name != "register"})


def gate_reports(params: Params, artifacts: Artifacts) -> list[Path]:
    """The report.json of every gate of a run, sorted.

    Not the copies in Data Docs, which are outside the DAG; nor those of tasks that another params.yaml had, which stay
    on disk.
    """
    of_tasks = artifacts.gate("gate_task")
    found = [path for path in artifacts.gate("").rglob("report.json") if path.parent.name != "data_docs"]
    return sorted(path for path in found if path.parent.parent != of_tasks or path.parent.name in params.tasks)


def dvc_outs(artifacts: Artifacts) -> dict[Path, str]:
    """Every output that dvc.lock knows, with the hash under which DVC's cache keeps it."""
    lock = artifacts.root / "dvc.lock"
    stages: dict[str, Any] = read_yaml(lock).get("stages", {}) if lock.is_file() else {}
    outs = (out for stage in stages.values() for out in stage.get("outs", []))
    return {artifacts.root / out["path"]: str(out.get("md5", "")) for out in outs}


def _git_tags(root: Path) -> dict[str, str]:
    """Commit, and whether code or configuration differ from it (what the pipeline itself writes does not count)."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!data", ":!dvc.lock")
    return {"git.commit": commit} | ({} if changed is None else {"git.dirty": "true" if changed else "false"})


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where there is no git, no repository or no commit, or where it fails."""
    try:
        done = run_git(root, *arguments, timeout=_GIT_SECONDS)
    except (OSError, TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.strip()
