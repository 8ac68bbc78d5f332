"""git runs in the folder that is meant, with the settings of the person who runs it."""

import os
import subprocess
from pathlib import Path

import pytest

from bertline.base.git import run_git


def test_whom_a_person_s_variables_name_commits_and_their_ssh_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ann@example.com")
        assert run_git(tmp_path, "var", f"GIT_{role}_IDENT").stdout.startswith("Ann <ann@example.com>")
    monkeypatch.setenv("GIT_SSH_COMMAND", "echo asked >&2; false")
    assert "asked" in run_git(tmp_path, "ls-remote", "ssh://host.invalid/a.git", timeout=60).stderr


def test_a_repository_that_the_environment_names_is_not_that_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("meant", "other"):
        assert run_git(tmp_path, "init", "--quiet", name).returncode == 0
    for variable, path in (("DIR", ".git"), ("WORK_TREE", "."), ("INDEX_FILE", ".git/index"), ("PREFIX", "sub/")):
        monkeypatch.setenv(f"GIT_{variable}", str(tmp_path / "other" / path))
    (tmp_path / "meant" / "a").write_text("b")
    assert run_git(tmp_path / "meant", "add", "a").returncode == 0
    assert run_git(tmp_path / "meant", "ls-files").stdout == "a\n"
    assert not (tmp_path / "other" / ".git" / "index").exists()


def test_a_command_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(subprocess.TimeoutExpired):
        run_git(tmp_path, "status", timeout=0.2)
