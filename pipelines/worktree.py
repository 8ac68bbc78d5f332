"""A run of its own: each works in a git worktree, so that its parameters never touch the checkout and no two meet.

    python -m pipelines.worktree list              runs that can be adopted, and those that are unfinished
    python -m pipelines.worktree adopt RUN BRANCH  the result of a run as a branch; then git switch, dvc checkout
    python -m pipelines.worktree remove RUN        drop what an unfinished run has left

A worktree lies in data/runs/worktrees and shares with the checkout: DVC's cache (unchanged stages are restored, not
run), checkpoints (a run that was stopped goes on from them), fetched files, own files under data/sources, and the
MLflow store. It has its own params.yaml, outputs and DVC locks. It starts at the last commit: edits of the code that
are not committed take no part.

A finished run is saved as two commits, its parameters and its results, on the ref under which DVC keeps an experiment:
`dvc exp show`, `dvc exp apply RUN` and `dvc exp branch RUN BRANCH` know it too. The worktree is removed then; that of a
failed or cancelled run stays, for the next try of the same run. While a run goes on, it holds the lock of its name.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError, one_line
from bertline.base.files import exclusive_lock, write_text
from bertline.base.params import write_params
from bertline.corpus.sources import MIRROR_VARIABLE, parse_mirrors
from bertline.registry.address import store_uri
from pipelines.git import NO_HOOKS, commit_staged, git
from pipelines.graph import find_leftovers, share_cache
from pipelines.leftovers import OWN_FILES, remove_leftovers

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_SHARED = ("data/runs/pretrain", "data/runs/download", "data/downloads")
"""Folders of the checkout that all of its worktrees use: keyed by what they hold, and locked by who writes."""
_EXPERIMENTS = "refs/exps"


@dataclass(frozen=True)
class Worktree:
    """The place of one run.

    Attributes:
        checkout: the checkout it belongs to.
        name: of the run.
        base: the commit it starts from, and under which it is kept.
        new: made just now; False: an earlier try of the run may have finished something there.
    """

    checkout: Path
    name: str
    base: str
    new: bool = field(default=False, compare=False)

    @property
    def path(self) -> Path:
        return _folder(self.checkout) / self.name

    @property
    def ref(self) -> str:
        """Where DVC keeps an experiment of this name."""
        return f"{_EXPERIMENTS}/{self.base[:2]}/{self.base[2:]}/{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """What the stages must see: the worktree's code, and the checkout's MLflow store unless another one is set.

        A relative SQLite address is the checkout's too: a database in the worktree would be removed with it. So are
        relative mirrors.
        """
        code = os.pathsep.join(filter(None, [str(self.path / "src"), os.environ.get("PYTHONPATH", "")]))
        seen = {"PYTHONPATH": code, "MLFLOW_TRACKING_URI": store_uri(self.checkout)}
        if mirrors := parse_mirrors(os.environ.get(MIRROR_VARIABLE, "")):
            # The way from the worktree to them: spaces, which may be in the checkout's path, part mirrors.
            here = self.path.resolve()
            ways = (each if "://" in each else os.path.relpath(self.checkout / each, here) for each in mirrors)
            seen[MIRROR_VARIABLE] = " ".join(ways)
        return seen

    def use(self, params: Params, heading: str) -> None:
        """Write its params.yaml, and commit it: what is registered names a commit that has its parameters.

        A later try of the run has those that the first began with: the checkout's may be others by then.
        """
        subject = f"run {self.name}: parameters"
        if subject in git(self.path, "log", "--format=%s", f"{self.base}..HEAD").splitlines():
            git(self.path, "checkout", "--quiet", "HEAD", "--", "params.yaml", settings=NO_HOOKS)
            return
        write_params(self.path / "params.yaml", params, heading)
        remove_leftovers(self.path, find_leftovers(self.path))  # of tasks of the checkout that this run has not
        git(self.path, "add", "params.yaml")
        if git(self.path, "status", "--porcelain", "--", "params.yaml"):
            commit_staged(self.path, subject)

    def save(self, warn: Callable[[str], object] = print) -> str:
        """Commit what the run has made, keep it under its ref, and remove the worktree.

        Args:
            warn: gets one line where the worktree cannot be removed: the run is saved all the same.

        Returns:
            The commit.
        """
        git(self.path, "add", "--all")
        commit_staged(self.path, f"run {self.name}")
        commit = git(self.path, "rev-parse", "HEAD")
        git(self.checkout, "update-ref", "-m", f"run {self.name}", self.ref, commit)
        try:
            self.remove()
        except (BertlineError, OSError) as error:
            warn(f"{self.name} is saved, but its worktree could not be removed: {one_line(error)}")
        return commit

    def remove(self) -> None:
        """Remove the worktree; what DVC has of its outputs stays in the cache."""
        with _one_at_a_time(self.checkout):
            cut_short = not _made(self.path).is_file()  # git may have been killed then, and have left it locked
            # First: what is left of a removal that was cut short is no worktree, and git takes it for the checkout.
            _made(self.path).unlink(missing_ok=True)
            for shared in (*_SHARED, ".dvc/cache"):
                (self.path / shared).unlink(missing_ok=True)  # links, which nobody must follow
            if not (self.path / ".git").is_file():  # git was killed over it, and would not know it any more
                shutil.rmtree(self.path)
            _find_again(self.checkout, self.path)
            git(self.checkout, "worktree", "remove", *["--force"] * (1 + cut_short), str(self.path))
            _lock(self.checkout, self.name).unlink(missing_ok=True)


def open_worktree(checkout: Path, name: str, base: str = "HEAD", results: str = "") -> Worktree:
    """The worktree of a run: new, or as an earlier try of the same run has left it.

    Two at a time must not open one: `working_in` sees to that.

    Args:
        checkout: the checkout it belongs to.
        name: of the run.
        base: the commit to start from.
        results: a saved run with that base, to go on from what it has made.

    Raises:
        BertlineError: the name cannot name a run, or the checkout is no git repository with a commit.
    """
    checkout = checkout.resolve()
    if not _NAME.fullmatch(name):
        raise BertlineError(f"{name!r} cannot name a run", where="worktree", fix="Use a-z, 0-9 and -")
    path = _folder(checkout) / name
    kept = _made(path)
    if kept.is_file():
        _find_again(checkout, path)
        return Worktree(checkout, name, kept.read_text(encoding="utf-8").strip())
    shutil.rmtree(path, ignore_errors=True)
    commit = git(checkout, "rev-parse", "--verify", f"{base}^{{commit}}")
    with _one_at_a_time(checkout):  # and no longer: bringing data back may take longer than others wait
        # Forced: over an entry of this path alone. Pruning would drop the user's own, whose disk is just not mounted.
        # Twice: a git that was killed as it made one has left it locked.
        # No hook: that of `dvc install` looks for data here, which only the checkout's cache has.
        adding = ("worktree", "add", "--force", "--force", "--quiet", "--detach")
        git(checkout, *adding, str(path), results or commit, settings=NO_HOOKS)
    _share(checkout, path)
    write_text(kept, f"{commit}\n")
    return Worktree(checkout, name, commit, new=True)


@contextmanager
def working_in(checkout: Path, name: str, base: str = "HEAD", results: str = "") -> Iterator[Worktree]:
    """As `open_worktree`; until the end, nobody removes the worktree, and no other try of the run works there.

    Raises:
        BertlineError: as `open_worktree`, or somebody does.
    """
    with _at_work(checkout.resolve(), name):
        yield open_worktree(checkout, name, base, results)


def uncommitted(checkout: Path) -> list[str]:
    """Files that differ from the last commit, and so take no part in a run; data, dvc.lock and params.yaml aside."""
    status = git(checkout, "status", "--porcelain", "--", ".", ":!data", ":!dvc.lock", ":!params.yaml")
    return [line[3:] for line in status.splitlines()]


def saved_runs(checkout: Path) -> dict[str, str]:
    """Name -> commit of every run that can be adopted, the newest first; of several with one name, the newest."""
    fields = "--format=%(refname) %(objectname)"
    listed = git(checkout, "for-each-ref", "--sort=-committerdate", fields, _EXPERIMENTS)
    runs: dict[str, str] = {}
    for ref, _, commit in (line.partition(" ") for line in listed.splitlines()):
        if ref.count("/") == 4:
            runs.setdefault(ref.rpartition("/")[2], commit)
    return runs


def saved_run(checkout: Path, name: str) -> tuple[Worktree, str] | None:
    """A finished run and its commit; None: no run of this name has been saved."""
    listed = git(checkout, "for-each-ref", "--format=%(refname) %(objectname)", f"{_EXPERIMENTS}/*/*/{name}")
    if not listed:
        return None
    ref, _, commit = listed.partition("\n")[0].partition(" ")
    return Worktree(checkout, name, base="".join(ref.split("/")[2:4])), commit


def unfinished_runs(checkout: Path) -> list[str]:
    """The runs whose worktree is still there, or what a killed git has left of it: they run, or have failed."""
    folder = _folder(checkout)
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def adopt(checkout: Path, run: str, branch: str) -> str:
    """Make a branch of the result of a run; neither checkout nor data change.

    Returns:
        The commit.

    Raises:
        BertlineError: no such run, or the branch exists or cannot be named so.
    """
    runs = saved_runs(checkout)
    if run not in runs:
        fix = f"Choose one of: {', '.join(runs) or 'none has finished yet'}"
        raise BertlineError(f"no finished run named {run!r}", where=str(checkout), fix=fix)
    git(checkout, "branch", "--", branch, runs[run])
    return runs[run]


def _folder(checkout: Path) -> Path:
    """Where worktrees lie; not by way of a link to another disk: DVC finds no outputs there."""
    return (Artifacts(checkout).runs / "worktrees").resolve()


def _made(path: Path) -> Path:
    """The commit that a worktree started from. Written last: one without it was cut short as it was made."""
    return path / "data" / "runs" / "base"


def _lock(checkout: Path, name: str) -> Path:
    """Held by the process that works in a worktree. Beside it: over NFS, no folder with an open file can be removed."""
    return _folder(checkout) / f"{name}.lock"


def _at_work(checkout: Path, name: str) -> AbstractContextManager[None]:
    return exclusive_lock(_lock(checkout, name), f"run {name!r}")


def _one_at_a_time(checkout: Path) -> AbstractContextManager[None]:
    return exclusive_lock(Artifacts(checkout).runs / "worktrees.lock", "making or removing a worktree", patience=120)


def _find_again(checkout: Path, path: Path) -> None:
    """Let git know a worktree that was moved with its checkout: each notes the absolute path of the other."""
    with suppress(BertlineError):  # there is nothing to mend, or git cannot: what follows says so
        git(checkout, "worktree", "repair", str(path))


def _share(checkout: Path, path: Path) -> None:
    """Let a new worktree use the checkout's cache and folders, and bring back what DVC has of its outputs."""
    for shared in _SHARED:
        (checkout / shared).mkdir(parents=True, exist_ok=True)
        (path / shared).parent.mkdir(parents=True, exist_ok=True)
        # The way there, which stays right where the checkout is moved with its worktrees.
        way = os.path.relpath(checkout / shared, (path / shared).parent)
        (path / shared).symlink_to(way, target_is_directory=True)
    for folder in OWN_FILES:
        for file in _files(checkout / folder):
            _link(file, path / file.relative_to(checkout))
    share_cache(checkout, path)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder, and its links to folders as such: behind one may lie a corpus, or the link itself.

    What git has of a clone or submodule there is none of them: DVC looks past it, and a submodule's leads to its
    repository from its own place alone.
    """
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if ".git" in path.relative_to(folder).parts:
            continue
        if path.is_file() or (path.is_symlink() and path.is_dir()):
            yield path


def _link(source: Path, target: Path) -> None:
    """The same at another place: a link to a folder again; of a file a hard link if the file system can, or a copy."""
    if target.exists() or target.is_symlink():  # in git
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.symlink_to(source.resolve(), target_is_directory=True)
        return
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)


def main() -> int:
    """List, adopt and remove runs."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.worktree", description="The results of runs in worktrees."
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="finished runs with their commits, and unfinished ones")
    adopting = commands.add_parser("adopt", help="make a branch of a finished run")
    adopting.add_argument("run")
    adopting.add_argument("branch")
    removing = commands.add_parser("remove", help="remove the worktree of an unfinished run")
    removing.add_argument("run")
    arguments = parser.parse_args()
    try:
        return _command(arguments)
    except (BertlineError, OSError) as error:
        print(f"worktree: error: {one_line(error)}", file=sys.stderr)
        return 1


def _command(arguments: argparse.Namespace) -> int:
    root = arguments.root
    if arguments.command == "list":
        for name, commit in saved_runs(root).items():
            print(f"{name}  {commit[:12]}")
        for name in unfinished_runs(root):
            print(f"{name}  unfinished, in {_folder(root) / name}")
    elif arguments.command == "adopt":
        commit = adopt(root, arguments.run, arguments.branch)
        print(f"{arguments.branch} is at {commit[:12]}. Next: git switch {arguments.branch} && dvc checkout")
    elif arguments.run in unfinished_runs(root):
        with _at_work(root.resolve(), arguments.run):
            Worktree(root.resolve(), arguments.run, "").remove()
        print(f"{arguments.run} is removed")
    else:
        fix = f"Choose one of: {', '.join(unfinished_runs(root)) or 'there is none'}"
        raise BertlineError(f"no unfinished run named {arguments.run!r}", where=str(root), fix=fix)
    return 0


if __name__ == "__main__":
    sys.exit(main())
