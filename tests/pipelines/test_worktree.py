"""A worktree run touches nothing of the checkout, shares what may be shared, and can be adopted."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from ruamel.yaml import YAML

from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import exclusive_lock
from bertline.corpus.sources import parse_mirrors
from checkout import ROOT, commit, run_in
from pipelines import worktree
from pipelines.git import git
from pipelines.worktree import adopt, open_worktree, saved_run, saved_runs, uncommitted, unfinished_runs, working_in
from station import tried_again

if TYPE_CHECKING:
    from prefect import State

Repo = Callable[[dict[str, Any]], Path]
STAGES = {
    "a": {"cmd": "echo a >> ran && cp in a", "deps": ["in"], "outs": ["a"]},
    "b": {
        "cmd": "echo b >> ran && cat a params.yaml > b && echo 1 > metrics.json",
        "deps": ["a"],
        "params": ["pretrain.seed"],
        "outs": ["b"],
        "metrics": [{"metrics.json": {"cache": False}}],
    },
}


FOR_EVERY_TASK = """
  task:
    foreach: ${tasks}
    do:
      cmd: mkdir -p data/tasks/${key} && echo 1 > data/tasks/${key}/rows
      outs:
        - data/tasks/${key}
  read:
    cmd: ls data/tasks > data/all
    deps: [data/tasks]
    outs: [data/all]
"""


def seeded(seed: int) -> Params:
    return replace(Params(), pretrain=replace(Params().pretrain, seed=seed))


@pytest.fixture(scope="module")
def template(make_repo: Callable[[Path, dict[str, Any]], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git and DVC repository in which the pipeline has run."""
    folder = make_repo(tmp_path_factory.mktemp("template"), STAGES)
    (folder / ".dvc" / "config").write_text("")
    (folder / ".gitignore").write_text("/a\n/b\n/ran\n/data/runs/\n/data/downloads\n/data/sources/*\n/mlflow.db*\n")
    (folder / "in").write_text("corpus")
    (folder / "params.yaml").write_text("pretrain: {seed: 0}\n")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    assert run_in(folder, "dvc", "repro").returncode == 0
    (folder / "ran").unlink()
    commit(folder)
    return folder


@pytest.fixture
def checkout(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "checkout", symlinks=True))


def state(folder: Path) -> dict[str, bytes]:
    kept = (path for path in folder.rglob("*") if path.is_file())
    inside = (path.relative_to(folder).as_posix() for path in kept)
    watched = (name for name in inside if not name.startswith((".git/", ".dvc/tmp", ".dvc/cache", "data/runs")))
    return {name: (folder / name).read_bytes() for name in watched}


def test_a_run_without_a_task_of_the_checkout_begins_without_what_that_has_made(checkout: Path) -> None:
    (checkout / "dvc.yaml").write_text((checkout / "dvc.yaml").read_text() + FOR_EVERY_TASK)
    (checkout / "params.yaml").write_text("pretrain: {seed: 0}\ntasks: {x: {}}\n")
    assert run_in(checkout, "dvc", "repro").returncode == 0
    commit(checkout)
    tree = open_worktree(checkout, "retrain-1")
    assert (tree.path / "data" / "tasks" / "x").is_dir()
    tree.use(seeded(7), "of a test")
    assert not (tree.path / "data" / "tasks" / "x").exists() and (checkout / "data" / "tasks" / "x").is_dir()


def test_a_run_with_other_parameters_leaves_the_checkout_as_it_was(checkout: Path) -> None:
    before = state(checkout)
    tree = open_worktree(checkout, "retrain-1")
    tree.use(seeded(7), "of a test")
    repro = run_in(tree.path, "dvc", "repro", **tree.environment)
    assert repro.returncode == 0, repro.stderr
    assert (tree.path / "ran").read_text() == "b\n"  # a was brought back from the cache
    made = tree.save()
    assert state(checkout) == before
    assert not tree.path.exists()
    assert run_in(checkout, "git", "worktree", "list", "--porcelain").stdout.count("worktree ") == 1
    assert saved_runs(checkout) == {"retrain-1": made}
    assert run_in(checkout, "git", "status", "--porcelain").stdout == ""


def test_the_commit_with_the_parameters_comes_before_the_results(checkout: Path) -> None:
    tree = open_worktree(checkout, "run")
    tree.use(seeded(7), "of a test")
    assert run_in(tree.path, "git", "status", "--porcelain").stdout == ""
    assert "seed: 7" in run_in(tree.path, "git", "show", "HEAD:params.yaml").stdout
    run_in(tree.path, "dvc", "repro", **tree.environment)
    made = tree.save()
    changed = run_in(checkout, "git", "show", "--name-only", "--format=%s", made).stdout.split("\n")
    assert changed[0] == "run run"
    assert "dvc.lock" in changed
    assert "params.yaml" not in changed


def test_two_runs_do_not_meet_and_both_are_experiments_of_dvc(checkout: Path) -> None:
    trees = [open_worktree(checkout, f"run-{seed}") for seed in (1, 2)]
    for seed, tree in enumerate(trees, start=1):
        tree.use(seeded(seed), "of a test")
    command = ["python", "-m", "dvc", "repro"]
    started = [subprocess.Popen(command, cwd=tree.path, stdout=subprocess.DEVNULL) for tree in trees]
    assert [process.wait(timeout=60) for process in started] == [0, 0]
    for seed, tree in enumerate(trees, start=1):
        assert f"seed: {seed}" in (tree.path / "b").read_text()
        tree.save()
    listed = run_in(checkout, "dvc", "exp", "list", "--name-only").stdout.split()
    assert sorted(listed) == ["run-1", "run-2"]


def test_the_result_can_be_adopted_as_a_branch(checkout: Path) -> None:
    tree = open_worktree(checkout, "run")
    tree.use(seeded(3), "of a test")
    run_in(tree.path, "dvc", "repro", **tree.environment)
    made = tree.save()
    assert adopt(checkout, "run", "better") == made
    assert "seed: 3" not in (checkout / "b").read_text()
    assert run_in(checkout, "git", "switch", "better").returncode == 0
    assert run_in(checkout, "dvc", "checkout").returncode == 0
    assert "seed: 3" in (checkout / "b").read_text()
    assert "up to date" in run_in(checkout, "dvc", "status").stdout
    with pytest.raises(BertlineError, match="already exists"):
        adopt(checkout, "run", "better")
    with pytest.raises(BertlineError, match=r"no finished run named 'rum'\. Choose one of: run"):
        adopt(checkout, "rum", "other")
    for wrong in ("-D", "a b", "x; touch y", "..", "--force"):
        with pytest.raises(BertlineError):
            adopt(checkout, "run", wrong)


def test_of_runs_with_one_name_the_newest_is_listed_and_adopted(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for day in (1, 2):  # each from another commit of the checkout: DVC keeps experiments by that
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-01-0{day}T12:00:00")
        tree = open_worktree(checkout, "run")
        tree.use(seeded(day), "of a test")
        made.append(tree.save())
        assert saved_runs(checkout) == {"run": made[-1]}
        (checkout / "in").write_text(f"corpus of day {day}")
        commit(checkout)
    assert adopt(checkout, "run", "mine") == made[1]


def test_a_second_try_of_a_run_goes_on_where_the_first_was(checkout: Path) -> None:
    first = open_worktree(checkout, "run")
    first.use(seeded(3), "of a test")
    (first.path / "left-behind").touch()
    second = open_worktree(checkout, "run")
    assert second == first
    assert (second.path / "left-behind").exists()
    assert unfinished_runs(checkout) == ["run"]
    (first.path / "data" / "runs" / "base").unlink()  # as if the first had been killed while it was made
    assert not (open_worktree(checkout, "run").path / "left-behind").exists()


def test_a_worktree_that_lacks_its_data_is_made_anew(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(worktree, "share_cache", killed)
        open_worktree(checkout, "run")
    tree = open_worktree(checkout, "run")
    assert tree.new and (tree.path / "a").read_text() == "corpus"


def test_what_an_unfinished_run_has_changed_and_made_is_removed_with_it(checkout: Path) -> None:
    tree = open_worktree(checkout, "run")
    (tree.path / "in").write_text("of the run")
    (tree.path / "half-written").touch()
    assert removed(checkout, "run").returncode == 0
    assert not tree.path.exists()


def test_what_a_run_makes_that_the_checkout_has_not_is_part_of_its_result(checkout: Path) -> None:
    tree = open_worktree(checkout, "run")
    (tree.path / "report.html").write_text("<p>")
    made = tree.save()
    assert "report.html" in git(checkout, "ls-tree", "--name-only", made).splitlines()


def test_a_worktree_is_made_once_another_one_is(checkout: Path) -> None:
    lock = exclusive_lock(checkout / "data" / "runs" / "worktrees.lock", "a test")
    with ExitStack() as held:
        held.enter_context(lock)
        threading.Timer(0.5, held.close).start()
        assert open_worktree(checkout, "run").new


def test_only_a_run_of_the_very_name_is_one_that_has_finished(checkout: Path) -> None:
    made = open_worktree(checkout, "sweep-1-001").save()
    git(checkout, "update-ref", "refs/exps/exec/EXEC_HEAD", made)  # DVC's own, as it runs an experiment
    assert saved_run(checkout, "sweep-1") is None
    assert saved_runs(checkout) == {"sweep-1-001": made}


def test_a_worktree_that_git_was_killed_over_is_made_anew_or_removed(checkout: Path) -> None:
    for command in ("open", "remove"):
        tree = open_worktree(checkout, "run")
        (tree.path / "data" / "runs" / "base").unlink()
        (checkout / ".git" / "worktrees" / "run" / "locked").write_text("initializing\n")  # git's own, as it makes one
        if command == "open":
            open_worktree(checkout, "run").remove()
        else:
            assert removed(checkout, "run").returncode == 0
        assert unfinished_runs(checkout) == []
        assert run_in(checkout, "git", "worktree", "list", "--porcelain").stdout.count("worktree ") == 1


def test_a_run_moves_with_its_checkout(checkout: Path) -> None:
    for name in ("tried-again", "removed"):
        open_worktree(checkout, name)
    (checkout / "data" / "runs" / "pretrain" / "kept").touch()
    moved = checkout.rename(checkout.with_name("moved"))

    tree = open_worktree(moved, "tried-again")
    assert not tree.new
    tree.use(seeded(0), "As it was.")
    assert (tree.path / "data" / "runs" / "pretrain" / "kept").is_file()
    assert (tree.path / ".dvc" / "cache").samefile(moved / ".dvc" / "cache")
    assert tree.save()
    assert removed(moved, "removed").returncode == 0
    assert not any(path.is_dir() for path in (moved / "data" / "runs" / "worktrees").iterdir())


def test_the_hooks_that_dvc_installs_keep_no_run_from_its_worktree(checkout: Path) -> None:
    assert run_in(checkout, "dvc", "install").returncode == 0
    tree = open_worktree(checkout, "run")
    for _ in range(2):  # once more: what a person's hook says of it stops no retry
        tree.use(seeded(3), "of a test")
        hook = checkout / ".git" / "hooks" / "post-checkout"
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    assert (tree.path / "a").read_text() == "corpus"
    tree.save()


def test_a_checkout_may_lie_in_a_folder_of_any_name(checkout: Path, tmp_path: Path) -> None:
    place = checkout.rename(tmp_path / "Jörg's 模型 %2F")
    tree = open_worktree(place, "run")
    assert (tree.path / "a").read_text() == "corpus"
    tree.use(seeded(3), "of a test")
    tree.save()


def test_runs_may_lie_on_another_disk(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "other disk" / "deep").mkdir(parents=True)
    (checkout / "data").mkdir(exist_ok=True)
    (checkout / "data" / "runs").symlink_to(tmp_path / "other disk" / "deep")
    tree = open_worktree(checkout, "run")
    assert (tree.path / "a").read_text() == "corpus"
    tree.use(seeded(3), "of a test")
    tree.save()


def test_a_mirror_beside_the_checkout_is_that_of_its_runs_too(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTLINE_MIRROR", f"https://mirror.example.com ../mirror:{tmp_path}/whole ../other")
    (tmp_path / "mirror").mkdir()
    tree = open_worktree(checkout, "run")
    first, *folders = parse_mirrors(tree.environment["BERTLINE_MIRROR"])
    assert first == "https://mirror.example.com"
    places = [tmp_path / name for name in ("mirror", "whole", "other")]
    assert [(tree.path / folder).resolve() for folder in folders] == places
    monkeypatch.delenv("BERTLINE_MIRROR")
    assert "BERTLINE_MIRROR" not in tree.environment


def test_a_submodule_of_own_files_is_seen_as_in_the_checkout_and_stays_in_the_result(
    checkout: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert run_in(tmp_path, "git", "init", "--quiet", "other").returncode == 0
    (other / "text.txt").write_text("text")
    commit(other)
    (checkout / "data" / "sources").mkdir(parents=True)
    adding = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--force")
    assert run_in(checkout, "git", *adding, str(other), "data/sources/other").returncode == 0
    commit(checkout)
    tree = open_worktree(checkout, "run")
    assert (tree.path / "data" / "sources" / "other" / "text.txt").read_text() == "text"
    tree.use(seeded(3), "of a test")
    made = tree.save(pytest.fail)
    listed = run_in(checkout, "git", "diff", "--name-only", "HEAD", made).stdout
    assert listed == "params.yaml\n"


def test_checkpoints_downloads_and_own_files_are_shared_and_outlive_the_worktree(checkout: Path) -> None:
    (checkout / "data" / "sources" / "deep").mkdir(parents=True)
    (checkout / "data" / "sources" / "deep" / "mine.txt").write_text("text")
    tree = open_worktree(checkout, "run")
    assert (tree.path / "data" / "sources" / "deep" / "mine.txt").read_text() == "text"
    for folder in ("data/runs/pretrain", "data/runs/download", "data/downloads"):
        (tree.path / folder / "kept").write_text("x")
    tree.use(seeded(3), "of a test")
    tree.save()
    for folder in ("data/runs/pretrain", "data/runs/download", "data/downloads"):
        assert (checkout / folder / "kept").read_text() == "x"
    assert (checkout / "data" / "sources" / "deep" / "mine.txt").exists()
    assert (
        "downloads" not in run_in(checkout, "git", "ls-tree", "-r", "--name-only", saved_runs(checkout)["run"]).stdout
    )


def test_a_worktree_of_the_user_s_on_a_disk_that_is_away_outlives_a_run(checkout: Path, tmp_path: Path) -> None:
    mine, away = tmp_path / "disk" / "mine", tmp_path / "unmounted"
    assert run_in(checkout, "git", "worktree", "add", "--quiet", "--detach", str(mine)).returncode == 0
    mine.parent.rename(away)
    tree = open_worktree(checkout, "run")
    shutil.rmtree(tree.path)  # git has it on its list still
    assert open_worktree(checkout, "run").new
    away.rename(mine.parent)
    assert run_in(mine, "git", "status").returncode == 0


def test_folders_behind_links_are_seen_as_in_the_checkout(checkout: Path, tmp_path: Path) -> None:
    elsewhere, sources, initial = tmp_path / "elsewhere", checkout / "data" / "sources", checkout / "data" / "initial"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "deep" / "mine.txt").write_text("text")
    (elsewhere / "again").symlink_to(elsewhere)  # for ever
    (sources / "own").mkdir(parents=True)
    (sources / "own" / "inner").symlink_to(elsewhere)
    (sources / "outer").symlink_to("../../../elsewhere")
    (sources / "nowhere").symlink_to("not there")
    initial.symlink_to(elsewhere)
    tree = open_worktree(checkout, "run")
    for found in ("sources/own/inner", "sources/outer", "initial"):
        assert (tree.path / "data" / found / "deep" / "mine.txt").read_text() == "text"
    tree.use(seeded(3), "of a test")
    tree.save()
    assert not tree.path.exists()
    assert (elsewhere / "deep" / "mine.txt").read_text() == "text"


@pytest.mark.parametrize("disks", [1, 2])
def test_a_file_behind_a_link_is_there_also_where_it_lies_on_another_disk(
    disks: int, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (tmp_path / "mine.txt").write_text("text")
    (checkout / "data" / "sources").mkdir(parents=True)
    (checkout / "data" / "sources" / "mine.txt").symlink_to("../../../mine.txt")
    if disks == 2:
        monkeypatch.setattr(os, "link", other_disk)
    found = open_worktree(checkout, "run").path / "data" / "sources" / "mine.txt"
    assert found.read_text() == "text" and not found.is_symlink()


def test_a_link_that_is_in_git_stays_as_it_is(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (checkout / "data" / "initial").mkdir(parents=True)
    (checkout / "data" / "initial" / "mine").symlink_to("../../../elsewhere")
    commit(checkout)
    tree = open_worktree(checkout, "run")
    assert run_in(tree.path, "git", "status", "--porcelain").stdout == ""


def test_stages_run_the_code_of_the_commit_and_register_in_the_checkout(checkout: Path) -> None:
    tree = open_worktree(checkout, "run")
    assert tree.environment["PYTHONPATH"].split(":")[0] == str(tree.path / "src")
    assert tree.environment["MLFLOW_TRACKING_URI"] == f"sqlite:///{checkout.resolve()}/mlflow.db"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{checkout}/mlflow.db"),  # as the README prints it
        ("sqlite:///deep/my.db?timeout=9", "sqlite:///{checkout}/deep/my.db?timeout=9"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_a_relative_database_is_the_checkout_s_and_outlives_the_worktree(
    given: str, seen: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    tree = open_worktree(checkout, "run")
    assert tree.environment["MLFLOW_TRACKING_URI"] == seen.format(checkout=checkout.resolve())


def test_edits_that_take_no_part_are_named(checkout: Path) -> None:
    assert uncommitted(checkout) == []
    (checkout / "in").write_text("other")
    (checkout / "params.yaml").write_text("pretrain: {seed: 5}\n")
    assert uncommitted(checkout) == ["in"]


@pytest.mark.parametrize("name", ["", "-x", "a/b", "..", "A", "x y", '"; touch x"'])
def test_a_name_that_is_none_is_refused(checkout: Path, name: str) -> None:
    with pytest.raises(BertlineError, match="cannot name a run"):
        open_worktree(checkout, name)


def test_a_checkout_without_a_commit_is_said(repo: Repo) -> None:
    with pytest.raises(BertlineError, match="not a git repository"):
        open_worktree(repo(STAGES), "run")


def test_the_command_lists_adopts_and_removes(checkout: Path) -> None:
    tree = open_worktree(checkout, "done")
    tree.use(seeded(1), "of a test")
    made = tree.save()
    open_worktree(checkout, "stuck")
    base = ("python", "-m", "pipelines.worktree", "--root", str(checkout))
    assert run_in(ROOT, *base, "list").stdout.splitlines()[0] == f"done  {made[:12]}"
    assert run_in(ROOT, *base, "adopt", "done", "mine").stdout.startswith(f"mine is at {made[:12]}.")
    assert run_in(ROOT, *base, "remove", "stuck").stdout == "stuck is removed\n"
    assert unfinished_runs(checkout) == []
    wrong = run_in(ROOT, *base, "remove", "stuck")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)


def removed(checkout: Path, run: str) -> subprocess.CompletedProcess[str]:
    return run_in(ROOT, "python", "-m", "pipelines.worktree", "--root", str(checkout), "remove", run)


def test_the_worktree_of_a_run_that_goes_on_is_not_removed_and_no_second_try_works_there(checkout: Path) -> None:
    with working_in(checkout, "run") as tree:
        tree.use(seeded(1), "of a test")
        refused = removed(checkout, "run")
        assert refused.returncode == 1
        assert "run 'run' is already running: process " in refused.stderr and refused.stderr.count("\n") == 1
        with pytest.raises(BertlineError, match="already running"), working_in(checkout, "run"):
            pass
        with working_in(checkout, "other") as other:
            other.save()
        assert tree.path.exists()
    assert removed(checkout, "run").stdout == "run is removed\n"
    assert [path.name for path in tree.path.parent.iterdir()] == []


def test_a_run_whose_data_takes_long_to_bring_back_keeps_no_other_from_beginning_or_ending(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, allowed = threading.Event(), threading.Event()
    shared = worktree.share_cache

    def slow(root: Path, path: Path) -> None:
        if path.name == "large":
            begun.set()
            assert allowed.wait(60)
        shared(root, path)

    def made_and_saved(run: str) -> str:
        with working_in(checkout, run) as tree:
            return tree.save()

    monkeypatch.setattr(worktree, "share_cache", slow)
    with ThreadPoolExecutor() as threads:
        large = threads.submit(made_and_saved, "large")
        try:
            assert begun.wait(60)
            small = threads.submit(made_and_saved, "small").result(timeout=20)
        finally:
            allowed.set()
    assert {"small": small, "large": large.result()} == saved_runs(checkout)


def test_a_finished_run_whose_worktree_cannot_be_removed_is_saved_and_says_so(checkout: Path) -> None:
    tree, said = open_worktree(checkout, "run"), list[str]()
    assert run_in(checkout, "git", "worktree", "lock", str(tree.path)).returncode == 0
    made = tree.save(said.append)
    assert saved_runs(checkout) == {"run": made}
    (warning,) = said
    assert warning.startswith("run is saved, but its worktree could not be removed: ")


@pytest.mark.parametrize("then", ["retry", "remove"])
def test_what_a_removal_that_was_killed_has_left_is_not_taken_for_the_checkout(
    then: str, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, said, path = open_worktree(checkout, "run"), list[str](), os.environ["PATH"]
    tree.use(seeded(3), "of a test")
    killed = tmp_path / "bin" / "git"  # it removes files in the order of the file system, .git often before data
    killed.parent.mkdir()
    removing = '[[ "$*" = *"worktree remove"* ]] && rm "${@: -1}/.git" && kill -9 $$'
    killed.write_text(f'#!/bin/bash\n{removing}\nexec {shutil.which("git")} "$@"\n')
    killed.chmod(0o755)
    monkeypatch.setenv("PATH", f"{killed.parent}{os.pathsep}{path}")
    made = tree.save(said.append)
    assert len(said) == 1
    monkeypatch.setenv("PATH", path)
    before = run_in(checkout, "git", "rev-parse", "HEAD").stdout
    (checkout / "in").write_text("an edit of the user's")
    if then == "retry":
        again = open_worktree(checkout, "run", tree.base, made)
        again.use(seeded(3), "of a test")
        again.save()
    else:
        assert removed(checkout, "run").stdout == "run is removed\n"
    assert run_in(checkout, "git", "rev-parse", "HEAD").stdout == before
    assert run_in(checkout, "git", "status", "--porcelain").stdout == " M in\n"
    assert unfinished_runs(checkout) == []
    assert run_in(checkout, "git", "worktree", "list", "--porcelain").stdout.count("worktree ") == 1


def retrained(
    checkout: Path, stage: str, command: str, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> "State[Any]":
    """The flow retrain in a checkout whose pipeline is one stage."""
    from pipelines.retrain import retrain  # noqa: PLC0415  (Prefect takes seconds)

    with (checkout / "dvc.yaml").open("w") as file:
        YAML().dump({"stages": {stage: {"cmd": command}}}, file)
    commit(checkout)
    monkeypatch.setattr("pipelines.retrain.CHECKOUT", checkout)
    state: State[Any] = retrain(**options, return_state=True)
    return state


def retried(failed: "State[Any]") -> "State[Any]":
    """The same run of retrain once more."""
    from pipelines.resources import ONE_BY_ONE  # noqa: PLC0415
    from pipelines.retrain import retrain  # noqa: PLC0415
    from pipelines.settings import CURRENT, NO_OVERRIDES  # noqa: PLC0415

    parameters = {"preset": CURRENT, "overrides": NO_OVERRIDES, "targets": None, "force": False}
    return tried_again(retrain, failed, parameters | {"promote": "by the rule", "limits": ONE_BY_ONE})


@pytest.mark.usefixtures("prefect_server")
def test_the_worktree_of_a_flow_cannot_be_removed_while_its_stages_run(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = checkout / "data" / "runs" / "said"
    remove = f"python -m pipelines.worktree --root {checkout} remove $run 2> {said}; test $? = 1"
    state = retrained(checkout, "a", f"run=$(basename $PWD); cd {ROOT}; {remove}", monkeypatch)
    assert state.is_completed(), state.message
    assert "is already running: process " in said.read_text()
    assert len(saved_runs(checkout)) == 1
    assert unfinished_runs(checkout) == []


@pytest.mark.usefixtures("prefect_server")
def test_a_retry_that_cannot_begin_leaves_what_the_run_has_finished(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = f"mkdir -p data/runs/finetune && touch data/runs/finetune/seed-0 && [ -e {checkout / 'data/runs/allowed'} ]"
    failed = retrained(checkout, "train", train, monkeypatch)
    assert failed.is_failed()
    (run,) = unfinished_runs(checkout)
    finished = checkout / "data" / "runs" / "worktrees" / run / "data" / "runs" / "finetune" / "seed-0"
    assert finished.exists()
    lock = checkout / ".git" / "worktrees" / run / "index.lock"  # as a killed git leaves it
    lock.touch()
    again = retried(failed)
    assert "another git program works there" in str(again.message)
    assert finished.exists()
    lock.unlink()
    (checkout / "data" / "runs" / "allowed").touch()
    assert retried(failed).is_completed()
    assert unfinished_runs(checkout) == []


@pytest.mark.usefixtures("prefect_server")
def test_a_retry_has_the_parameters_that_the_run_began_with(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = retrained(checkout, "train", f"[ -e {checkout / 'data/runs/allowed'} ]", monkeypatch)
    (run,) = unfinished_runs(checkout)
    tree = checkout / "data" / "runs" / "worktrees" / run
    began_with = (tree / "params.yaml").read_text()
    (checkout / "params.yaml").write_text("pretrain: {seed: 9}\n")
    (tree / "params.yaml").write_text("pretrain: {seed: 8}\n")
    (checkout / "data" / "runs" / "allowed").touch()
    state = retried(failed)
    assert state.is_completed(), state.message
    made = run_in(checkout, "git", "show", f"{saved_runs(checkout)[run]}:params.yaml").stdout
    assert "seed: 0" in made and made == began_with


@pytest.mark.usefixtures("prefect_server")
def test_a_finished_run_that_is_tried_again_keeps_its_result(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = retrained(checkout, "train", "true", monkeypatch)
    (run,) = saved_runs(checkout)
    before = run_in(checkout, "git", "show", f"{saved_runs(checkout)[run]}:params.yaml").stdout
    (checkout / "params.yaml").write_text("pretrain: {seed: 9}\n")
    (checkout / "in").write_text("another corpus")
    commit(checkout)
    assert retried(done).is_completed()
    assert run_in(checkout, "git", "show", f"{saved_runs(checkout)[run]}:params.yaml").stdout == before
    assert run_in(checkout, "git", "show", f"{saved_runs(checkout)[run]}:in").stdout == "corpus"
    assert unfinished_runs(checkout) == []


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_could_not_begin_leaves_no_worktree(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = retrained(checkout, "a", "true", monkeypatch, targets=["zzz"])
    assert "no stage named 'zzz'" in str(refused.message)
    assert unfinished_runs(checkout) == []


@pytest.mark.usefixtures("prefect_server")
def test_a_run_whose_results_cannot_be_shown_or_noted_is_kept_all_the_same(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise httpx.ConnectError("the server is away")

    monkeypatch.setattr("pipelines.show.create_markdown_artifact", away)
    monkeypatch.setattr("bertline.registry.decisions.describe", away)
    state = retrained(checkout, "register", "mkdir -p data/runs/registered-by.json/in-the-way", monkeypatch)
    assert state.is_completed(), state.message
    assert len(saved_runs(checkout)) == 1


@pytest.mark.usefixtures("prefect_server")
def test_a_fault_beside_the_stages_leaves_what_they_have_finished(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import flow  # noqa: PLC0415

    run_plan = flow.run_plan

    def then_breaks(*arguments: Any) -> None:
        run_plan(*arguments)
        raise OSError("no space left on device")

    monkeypatch.setattr(flow, "run_plan", then_breaks)
    state = retrained(checkout, "a", "touch finished", monkeypatch)
    assert state.is_failed() and "No space left on device" in str(state.message)
    (run,) = unfinished_runs(checkout)
    assert (checkout / "data" / "runs" / "worktrees" / run / "finished").exists()


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_the_registry_is_shown_as_the_run_s_parameters_name_it(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    from pipelines.settings import Overrides  # noqa: PLC0415

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    register = "import mlflow; [mlflow.MlflowClient().create_registered_model(n) for n in ('mine-x', 'bertline-x')]"
    options = Overrides(more=["register.prefix=mine", "register.experiment=of mine"])
    state = retrained(checkout, "register", f'python -c "{register}"', monkeypatch, overrides=options)
    assert state.is_completed(), state.message
    wanted = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/artifacts/filter", json=wanted).json()
    (shown,) = [artifact["data"] for artifact in found if artifact["key"] == "registry"]
    assert "mine-x | " in shown and "bertline-x" not in shown
    assert f"MLflow store: sqlite:///{checkout.resolve()}/mlflow.db" in shown


def test_a_killed_run_leaves_no_lock(checkout: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from pipelines.worktree import working_in
with working_in(Path({str(checkout)!r}), "run"):
    print("there", flush=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/src"}, stdout=-1) as run:
        assert run.stdout and run.stdout.readline() == b"there\n"
        refused = removed(checkout, "run")
        run.kill()
    assert refused.returncode == 1
    assert removed(checkout, "run").returncode == 0


def test_a_lock_that_a_killed_git_has_left_is_named_with_what_to_do(checkout: Path) -> None:
    tree = open_worktree(checkout, "retrain-1")
    (lock,) = [path / "index.lock" for path in (checkout / ".git" / "worktrees").iterdir()]
    lock.touch()
    with pytest.raises(BertlineError, match="another git program works there") as caught:
        tree.use(seeded(7), "of a test")
    assert caught.value.fix == f"Wait for the other git; where none runs, one was killed: rm {lock}"
    lock.unlink()
    tree.use(seeded(7), "of a test")
