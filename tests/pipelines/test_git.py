"""git commands of the flows: what git complains of, and commits under whatever settings a person has."""

import subprocess
from pathlib import Path

import pytest

from bertline.base.errors import BertlineError
from checkout import commit
from pipelines.git import commit_staged, git


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a person whose settings are only those that a test gives."""
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"GIT_CONFIG_{level}", "/dev/null")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "file").write_text("text")
    git(tmp_path, "add", "file")
    return tmp_path


def test_what_git_says_is_wrong_is_said_and_not_its_hints(checkout: Path) -> None:
    (checkout / ".gitignore").write_text("a\n")
    (checkout / "a").touch()
    with pytest.raises(BertlineError, match="ignored by one of your") as caught:
        git(checkout, "add", "a")
    assert "hint" not in str(caught.value)


@pytest.mark.parametrize("known", [{}, {"user.name": "Me"}, {"user.email": "me@here"}])
def test_a_commit_is_made_where_git_knows_nobody_or_half_of_it(known: dict[str, str], checkout: Path) -> None:
    git(checkout, "config", "user.useConfigOnly", "true")
    for key, value in known.items():
        git(checkout, "config", key, value)
    commit_staged(checkout, "of a test")
    whole = {"user.name": "bertline", "user.email": "bertline@localhost"} | known
    assert git(checkout, "log", "--format=%an|%ae") == f"{whole['user.name']}|{whole['user.email']}"


def test_a_commit_needs_no_key_to_sign_with(checkout: Path) -> None:
    git(checkout, "config", "commit.gpgsign", "true")
    git(checkout, "config", "gpg.program", "/bin/false")
    commit_staged(checkout, "of a test")
    assert git(checkout, "log", "--format=%s") == "of a test"


def test_no_hook_of_a_person_has_a_say_in_a_commit(checkout: Path) -> None:
    hook = checkout / ".git" / "hooks" / "prepare-commit-msg"  # which --no-verify does not skip
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    commit_staged(checkout, "of a test")
    assert git(checkout, "log", "--format=%s") == "of a test"


def test_a_commit_that_git_refuses_is_named_by_its_command(checkout: Path) -> None:
    (checkout / ".git" / "HEAD.lock").touch()
    with pytest.raises(BertlineError) as caught:
        commit_staged(checkout, "of a test")
    assert str(caught.value.where).endswith(", git commit")


def test_the_tests_own_commits_need_no_key_and_no_hook_either(checkout: Path) -> None:
    for key, value in {"commit.gpgsign": "true", "gpg.program": "/bin/false", "core.hooksPath": "hooks"}.items():
        git(checkout, "config", key, value)
    (checkout / "hooks").mkdir()
    (checkout / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (checkout / "hooks" / "pre-commit").chmod(0o755)
    commit(checkout)
    assert git(checkout, "log", "--format=%s") == "checkout"
