"""git, as the flows call it: for a worktree of a run, and to push what a run has made.

git(checkout, "rev-parse", "HEAD")            # what it prints; BertlineError with git's own complaint where it fails
commit_staged(checkout, "chore: retrained")   # whatever the person's settings ask of a commit
"""

from collections.abc import Mapping
from pathlib import Path

from bertline.base.errors import BertlineError
from bertline.base.git import run_git
from pipelines.locks import what_to_do

NO_HOOKS = {"core.hooksPath": "/dev/null"}
"""Settings under which no hook has a say: a person's are written for what a person does."""

_NOBODY = {"user.name": "bertline", "user.email": "bertline@localhost"}


def commit_staged(folder: Path, message: str) -> None:
    """Commit what is staged, unsigned, also where git does not know whose name to write.

    Raises:
        BertlineError: git refuses.
    """
    settings = _identity(folder) | NO_HOOKS  # --no-verify skips but two of them
    # A key may be locked, or wait for its owner's passphrase: nobody sits beside a run that ends at night.
    options = ("--quiet", "--no-verify", "--no-gpg-sign", "--allow-empty")
    git(folder, "commit", *options, "--message", message, settings=settings)


def commit_beside(folder: Path, parent: str, message: str) -> str:
    """As `commit_staged`, but HEAD stays where it is.

    Returns:
        The new commit, which no branch has yet.

    Raises:
        BertlineError: git refuses.
    """
    tree = git(folder, "write-tree")
    return git(folder, "commit-tree", tree, "-p", parent, "-m", message, settings=_identity(folder))


def _identity(folder: Path) -> dict[str, str]:
    """Settings that name a committer where git knows none."""
    return {key: value for key, value in _NOBODY.items() if not git(folder, "config", "--default", "", "--get", key)}


def git(folder: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> str:
    """What a git command prints; `settings` go before those of the person for this command alone.

    Raises:
        BertlineError: it failed; its own message.
    """
    options = [word for key, value in (settings or {}).items() for word in ("-c", f"{key}={value}")]
    done = run_git(folder, *options, *arguments)
    if done.returncode:
        what = _complaint(done.stderr) or f"exit status {done.returncode}"
        fix = what_to_do(what)
        what = "another git program works there" if fix else what
        raise BertlineError(what, where=f"{folder}, git {arguments[0]}", fix=fix or "Look at `git status` there")
    return done.stdout.strip("\n")


def _complaint(errors: str) -> str:
    """The line of git's messages that says what is wrong: its last ones are hints."""
    lines = [line for line in errors.strip().splitlines() if not line.startswith("hint:")]
    told = [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines or [""]
    return told[0].removeprefix("fatal: ").removeprefix("error: ").rstrip(".:")
