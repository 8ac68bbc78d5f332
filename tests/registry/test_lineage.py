"""Lineage tags: the commit, dvc.lock, the gates, the Prefect run."""

import subprocess
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import write_json, write_text
from bertline.registry.lineage import dvc_outs, gate_reports, lineage_tags, lock_sha256
from checkout import commit

LOCK = """schema: '2.0'
stages:
  finetune@topic:
    cmd: python -m bertline.stages.finetune topic
    outs:
    - path: data/models/finetuned/topic
      md5: 0123456789abcdef.dir
"""


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def test_only_changes_of_code_and_configuration_make_a_commit_dirty(tmp_path: Path, params: Params) -> None:
    artifacts = Artifacts(tmp_path)
    write_json(artifacts.metrics("vocab"), {"size": 1})
    write_text(artifacts.params, "vocab: {}\n")
    (tmp_path / "dvc.lock").write_text("stages: {}\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    write_json(artifacts.metrics("vocab"), {"size": 2})  # what the pipeline writes does not count
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "notes.txt").write_text("of nothing that is in git")
    tags = lineage_tags(params, artifacts)
    assert (tags["git.commit"], tags["git.dirty"]) == (git(tmp_path, "rev-parse", "HEAD"), "false")
    write_text(artifacts.params, "vocab: {size: 512}\n")
    assert lineage_tags(params, artifacts)["git.dirty"] == "true"
    (tmp_path / ".git" / "index").write_text("damaged")
    damaged = lineage_tags(params, artifacts)
    assert damaged["git.commit"] == tags["git.commit"]
    assert "git.dirty" not in damaged, "git status failed: nobody knows"


def test_the_commit_is_the_checkout_s_whatever_repository_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: Params
) -> None:
    """Hooks export GIT_DIR, and a run of theirs works in a worktree."""
    commits = []
    for name in ("checkout", "worktree"):
        write_text(tmp_path / name / "params.yaml", f"# {name}\n")
        git(tmp_path / name, "init", "--quiet")
        commit(tmp_path / name)
        commits.append(git(tmp_path / name, "rev-parse", "HEAD"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "checkout" / ".git"))
    tags = lineage_tags(params, Artifacts(tmp_path / "worktree"))
    assert (tags["git.commit"], tags["git.dirty"]) == (commits[1], "false")


def test_what_cannot_be_known_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: Params) -> None:
    monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)
    assert set(lineage_tags(params, Artifacts(tmp_path))) == {"bertline.version"}


def test_lock_gates_and_flow_run_are_tags(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch, params: Params
) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "a-flow-run")
    tags = lineage_tags(params, artifacts)
    assert tags["prefect.flow_run_id"] == "a-flow-run"
    write_json(artifacts.gate_report("gate_corpus"), {"passed": False})
    assert lineage_tags(params, artifacts)["gx.report.sha256"] != tags["gx.report.sha256"]


def test_the_hash_of_dvc_lock_is_that_of_the_lock_that_is_committed(artifacts: Artifacts, params: Params) -> None:
    """DVC writes the entry of register after register has run."""
    lock, entry = artifacts.root / "dvc.lock", "  register:\n    cmd: python -m bertline.stages.register\n"
    lock.write_text(LOCK)
    before = lineage_tags(params, artifacts)["dvc.lock.sha256"]
    lock.write_text(LOCK + entry)
    assert lineage_tags(params, artifacts)["dvc.lock.sha256"] == before == lock_sha256(lock)
    lock.write_text(LOCK.replace("0123456789abcdef", "fedcba9876543210") + entry)
    assert lock_sha256(lock) != before


def test_copies_in_data_docs_are_no_gate_reports(artifacts: Artifacts, params: Params) -> None:
    before = lineage_tags(params, artifacts)["gx.report.sha256"]
    write_json(artifacts.gate("gate_corpus") / "data_docs" / "report.json", {"passed": True})
    assert lineage_tags(params, artifacts)["gx.report.sha256"] == before
    names = [path.relative_to(artifacts.data / "gates").as_posix() for path in gate_reports(params, artifacts)]
    assert names == ["gate_corpus/report.json", "gate_task/topic/report.json"]


def test_gates_of_tasks_that_are_no_more_are_left_out(artifacts: Artifacts, params: Params) -> None:
    """DVC leaves the outs of a task that params.yaml named under another preset."""
    before = lineage_tags(params, artifacts)
    write_json(artifacts.gate_report("gate_task/gone"), {"passed": True})
    assert lineage_tags(params, artifacts) == before
    names = [path.relative_to(artifacts.gate("")).as_posix() for path in gate_reports(params, artifacts)]
    assert names == ["gate_corpus/report.json", "gate_task/topic/report.json"]


def test_the_hash_of_an_out_is_read_from_dvc_lock(artifacts: Artifacts) -> None:
    assert dvc_outs(artifacts) == {}
    (artifacts.root / "dvc.lock").write_text(LOCK)
    assert dvc_outs(artifacts) == {artifacts.finetuned("topic"): "0123456789abcdef.dir"}
