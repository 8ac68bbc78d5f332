"""Retraining in CI: parameters from the environment in, a branch and the text of a pull request out.

    python -m pipelines.pull_request configure             BERTLINE_PRESET and BERTLINE_OVERRIDES to params.yaml; looks
                                                           at BRANCH, which must be new on `origin`
    python -m pipelines.flow
    python -m pipelines.pull_request propose BRANCH BODY   commit what came out, push it, write the text to BODY

.github/workflows/retrain.yml calls it; it works the same on any machine with a git remote. Inputs come as environment
variables and are checked before they are used: none of them is ever part of a shell's command line.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError, one_line
from bertline.base.params import load_params, write_params
from pipelines import registered_by
from pipelines.git import commit_beside, git
from pipelines.graph import find_leftovers, read_plan_and_changes, remote_address
from pipelines.leftovers import remove_leftovers
from pipelines.settings import CURRENT, Overrides, configured

_PROPOSED = ("params.yaml", "dvc.lock", "data/reports")  # the rest of data/ is DVC's
_LONGEST = 65_000
"""Characters of a pull request's text, less its headings: GitHub refuses one of more than 65,536."""
_BRANCH = re.compile(r"(?=.{1,100}$)[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*")


def configure(root: Path, given: Mapping[str, str]) -> None:
    """Write params.yaml as the environment variables ask for.

    Args:
        root: the checkout.
        given: BERTLINE_PRESET (unset or empty: params.yaml as it stands), and BERTLINE_OVERRIDES: KEY=VALUE words,
            quoted where a value has spaces. BRANCH, where the result will be pushed, is looked at here if it is set:
            a name that is none, or is taken, must not come out after the training. So are BASE, the branch that a
            pull request is for, and the program that opens it, where GH_TOKEN says that there will be one.

    Raises:
        BertlineError: no such preset, an unknown option or wrong value, BRANCH cannot name a new branch, BASE is
            none, or there is no gh.
    """
    if given.get("GH_TOKEN") and given.get("BASE"):
        _check_base(root, given["BASE"])
        if not shutil.which("gh"):  # a runner of one's own need not have it
            fix = "Install it (https://cli.github.com), or unset GH_TOKEN: the branch is pushed all the same"
            raise BertlineError("no program gh on PATH, which opens the pull request", where="GH_TOKEN", fix=fix)
    if given.get("BRANCH"):
        _check_branch(given["BRANCH"], "BRANCH")
        _refuse(_in_its_way(root, given["BRANCH"])[1], "BRANCH")
    preset = given.get("BERTLINE_PRESET") or CURRENT
    try:
        overrides = Overrides(more=shlex.split(given.get("BERTLINE_OVERRIDES", "")))
    except ValueError:  # pydantic's are such too
        fix = "Write KEY=VALUE, separated by spaces, as pretrain.budget=20000 pretrain.seed=1"
        raise BertlineError("not a list of options", where="BERTLINE_OVERRIDES", fix=fix) from None
    params = configured(root, preset, overrides)
    if preset != CURRENT or overrides.more:
        write_params(Artifacts(root).params, params, "Written by a retraining run.")
        remove_leftovers(root, find_leftovers(root))


def propose(root: Path, branch: str, body: Path) -> bool:
    """Commit what a run has changed, push it as a branch, and describe it. What failed can be tried again.

    Args:
        root: the checkout, in which the flow has run; its HEAD is what the result is compared with.
        branch: the new branch on the remote `origin`.
        body: where the description goes, in Markdown; not written where nothing has changed.

    Returns:
        Whether there is anything to propose.

    Raises:
        BertlineError: the branch cannot be named so or is there already, or git or DVC refuses.
    """
    _check_branch(branch, "propose")
    base = git(root, "rev-parse", "HEAD")
    git(root, "add", "--", *(path for path in _PROPOSED if (root / path).exists()))
    if not git(root, "diff", "--cached", "--name-only"):
        return False
    there, name = _in_its_way(root, branch)
    arrived = name == branch and _is_ours(root, there, base)  # the push of an earlier try, whose answer was lost
    if not arrived:
        _refuse(name, "propose")
    body.write_text(describe(root, base), encoding="utf-8")
    if arrived:
        git(root, "reset", "--quiet", "--soft", there)
    else:
        _push(root, branch, base)
    registered_by.forget(root)
    return True


def _push(root: Path, branch: str, base: str) -> None:
    """Commit what is staged and push it as a new branch. HEAD follows a push that succeeded, and nothing else.

    With the commit on HEAD, the try after one that failed or was killed would find nothing to propose.
    """
    made = commit_beside(root, base, "chore: retrained\n\nWhat `dvc repro` gives for these parameters, data and code.")
    new = f"--force-with-lease=refs/heads/{branch}:"  # expects none: nothing is ever moved, nor forced
    git(root, "push", "--quiet", new, "origin", f"{made}:refs/heads/{branch}")
    git(root, "reset", "--quiet", "--soft", made)


def _in_its_way(root: Path, branch: str) -> tuple[str, str]:
    """Commit and name of what stands on origin in the place of a branch: it, or one above or below it; or nothing."""
    for name, commit in _heads(root).items():
        if f"{name}/".startswith(f"{branch}/") or f"{branch}/".startswith(f"{name}/"):
            return commit, name
    return "", ""


def _heads(root: Path) -> dict[str, str]:
    """The branches on origin, and the commit of each."""
    lines = git(root, "ls-remote", "--heads", "origin").splitlines()
    return {ref.removeprefix("refs/heads/"): commit for commit, _, ref in (line.partition("\t") for line in lines)}


def _is_ours(root: Path, commit: str, base: str) -> bool:
    """Whether a commit is what would be made now: the same files on the same base."""
    try:
        made = git(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}")
        return (made, git(root, "rev-parse", f"{commit}^")) == (git(root, "write-tree"), base)
    except BertlineError:  # it is not known here, so it was not made here
        return False


def _refuse(name: str, where: str) -> None:
    if name:
        fix = "Name a new one, as retrain/mine-2"
        raise BertlineError(f"branch {name!r} is on origin already", where=where, fix=fix)


def _check_base(root: Path, name: str) -> None:
    if name not in _heads(root):
        fix = "Name the branch that the pull request is for, as main (a tag has none)"
        raise BertlineError(f"no branch {name!r} on origin", where="BASE", fix=fix)


def _check_branch(name: str, where: str) -> None:
    if not _BRANCH.fullmatch(name):
        fix = "Use a-z, 0-9, -, _ and / between them, as retrain/mine"
        raise BertlineError(f"{name!r} cannot name a branch", where=where, fix=fix)


def describe(root: Path, base: str) -> str:
    """What has changed since a commit, as people who review it want to see it: Markdown.

    Raises:
        BertlineError: DVC cannot compare the two.
    """
    scoreboard = Artifacts(root).scoreboard / "scoreboard.md"
    opening = f"Retrained at {base[:12]}. Merging it makes these parameters and results those of the branch."
    opening += _stale(root)
    scores = scoreboard.read_text(encoding="utf-8").strip() if scoreboard.is_file() else "There are none."
    registry = _decisions(root)
    closing = f"{_page()}{_models(root)}"
    room = _LONGEST - sum(map(len, (opening, scores, registry, closing)))
    parameters = _differences(root, "params", base, room // 2)
    metrics = _folded(_differences(root, "metrics", base, room - len(parameters)))
    sections = {"Parameters": parameters, "Scores": scores, "Registry": registry, "Metrics": metrics}
    text = [f"## {title}\n\n{content or 'Nothing has changed.'}" for title, content in sections.items()]
    return "\n\n".join((opening, *text, closing)) + "\n"


def _stale(root: Path) -> str:
    """The stages that no run has brought up to date, as where BERTLINE_TARGETS stops before the end."""
    plan, changes = read_plan_and_changes(root, of_what_is_here=True)
    settled = plan.up_to_date(changes)
    stale = [f"`{name}`" for name in plan.names if name not in settled]
    told = "What is told of them is of an earlier run, and `bertline plan --check` refuses dvc.lock."
    return f"\n\n**Not up to date: {', '.join(stale)}.** {told}" if stale else ""


def _page() -> str:
    """Where the run of a workflow is seen; empty where none runs."""
    run = [os.environ.get(f"GITHUB_{part}", "") for part in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    address = f"{run[0]}/{run[1]}/actions/runs/{run[2]}"
    told = f"Plots beside those of the base, Data Docs of the gates and the log: [the run]({address}).\n\n"
    return told if all(run) else ""


def _models(root: Path) -> str:
    """How to have the models: of a remote that is a folder, a reviewer elsewhere has nothing."""
    address = remote_address(root)
    if not address:
        return "There is no DVC remote that has the models: `dvc repro` makes them anew."
    there = "" if "://" in address else f", on the machine that trained: the DVC remote, `{address}`, is a folder there"
    return f"To have the models: `git switch` to this branch, then `dvc pull`{there}."


def _differences(root: Path, what: str, base: str, most: int) -> str:
    """DVC's table in so many characters: without what pads its columns, and of its lines the first that fit."""
    lines = re.sub(" {2,}", " ", _dvc(root, what, "diff", base, "--md")).splitlines(keepends=True)
    fit = bisect_right(list(accumulate(map(len, lines))), most)
    rest = f"\n\nAnd {len(lines) - fit:,} more: `dvc {what} diff {base[:12]}`." if fit < len(lines) else ""
    return "".join(lines[:fit]).rstrip() + rest


def _dvc(root: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        problem = done.stderr.strip().splitlines() or [f"dvc ended with status {done.returncode}"]
        where = f"dvc {' '.join(arguments[:2])}"
        raise BertlineError(problem[-1].removeprefix("ERROR: ").rstrip("."), where=where, fix="Run it")
    return done.stdout.strip()


def _folded(table: str) -> str:
    return f"<details><summary>what has changed</summary>\n\n{table}\n\n</details>" if table else ""


def _decisions(root: Path) -> str:
    from bertline.registry import decisions  # noqa: PLC0415  (mlflow takes seconds)

    artifacts = Artifacts(root)
    return decisions.describe(artifacts, load_params(artifacts.params).register, registered_by.flow_run_of(root))


def main() -> int:
    """Do the one or the other; exit status 0, or 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.pull_request", description="Retraining in CI.")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("configure", help="write params.yaml from BERTLINE_PRESET and BERTLINE_OVERRIDES")
    proposing = commands.add_parser("propose", help="commit, push and describe what a run has changed")
    proposing.add_argument("branch")
    proposing.add_argument("body", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "configure":
            configure(arguments.root, os.environ)
        elif propose(arguments.root, arguments.branch, arguments.body):
            print(f"{arguments.branch}: pushed; its description is in {arguments.body}")
        else:
            print("nothing has changed: nothing to propose")
    except (BertlineError, OSError) as error:
        print(f"pull_request: error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
