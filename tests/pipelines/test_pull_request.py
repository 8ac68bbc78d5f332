"""Retraining in CI: inputs are checked, and what comes out is a branch that a fresh clone can restore."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bertline.base.errors import BertlineError
from bertline.base.params import load_params, write_params
from checkout import ROOT, commit, run_in
from pipelines import registered_by
from pipelines.git import git
from pipelines.pull_request import configure, describe, main, propose
from pipelines.settings import NO_OVERRIDES, configured
from station import wait_for

Smoke = tuple[Path, subprocess.CompletedProcess[str]]
SEED = "grep -m1 '  seed:' params.yaml | sed 's/ #.*//; s/.*seed: */{\"seed\": /; s/$/}/'"
STAGES: dict[str, Any] = {
    "score": {
        "cmd": f"mkdir -p data/reports data/gates; touch data/gates/report.json; {SEED} > data/reports/metrics.json",
        "deps": [".gitignore"],
        "params": ["pretrain.seed"],
        "outs": ["data/gates/report.json"],
        "metrics": [{"data/reports/metrics.json": {"cache": False}}],
    }
}
CODE = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
NASTY = '"; touch x"'


def bare_remote(checkout: Path) -> Path:
    """A git remote named origin, beside the checkout."""
    remote = checkout.parent / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    subprocess.run(["git", "remote", "add", "origin", str(remote)], cwd=checkout, check=True)
    return remote


@pytest.fixture(scope="module")
def template(make_repo: Callable[[Path, dict[str, Any]], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline that has run, in git."""
    folder = make_repo(tmp_path_factory.mktemp("template"), STAGES)
    (folder / ".dvc" / "config").write_text("")
    shutil.copy(ROOT / ".gitignore", folder)
    shutil.copytree(ROOT / "pipelines" / "presets", folder / "pipelines" / "presets")
    write_params(folder / "params.yaml", configured(ROOT, "smoke", NO_OVERRIDES), "Here.")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    assert run_in(folder, "dvc", "repro").returncode == 0
    commit(folder)
    return folder


@pytest.fixture
def checkout(template: Path, tmp_path: Path) -> Path:
    """A copy of it, with a remote."""
    folder = Path(shutil.copytree(template, tmp_path / "repo", symlinks=True))
    bare_remote(folder)
    return folder


def test_options_from_the_environment_are_written_to_params(checkout: Path) -> None:
    given = {"BERTLINE_PRESET": "glue-cpu", "BERTLINE_OVERRIDES": "pretrain.seed=7  download.timeout=9"}
    with pytest.raises(BertlineError, match=r"download\.timeout"):
        configure(checkout, given)
    configure(checkout, {**given, "BERTLINE_OVERRIDES": "pretrain.seed=7 register.experiment='two words'"})
    params = load_params(checkout / "params.yaml")
    assert (params.pretrain.seed, params.register.experiment) == (7, "two words")
    assert set(params.tasks) == set(configured(ROOT, "glue-cpu", NO_OVERRIDES).tasks)


def test_without_options_params_stay_as_they_are(checkout: Path) -> None:
    before = (checkout / "params.yaml").read_bytes()
    configure(checkout, {"BERTLINE_PRESET": "", "BERTLINE_OVERRIDES": ""})
    assert (checkout / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("given", [NASTY, "'", "pretrain.seed", "pretrain.seed=$(touch x)", "pretrain.seed=`touch x`"])
def test_what_is_no_option_is_refused_and_nothing_is_run(given: str, checkout: Path) -> None:
    before = run_in(checkout, "git", "status", "--porcelain").stdout
    with pytest.raises(BertlineError):
        configure(checkout, {"BERTLINE_OVERRIDES": given})
    with pytest.raises(BertlineError, match="cannot name a branch"):
        propose(checkout, NASTY, checkout / "body.md")
    assert run_in(checkout, "git", "status", "--porcelain").stdout == before


def test_what_tasks_that_are_no_more_have_left_takes_no_part(checkout: Path, tmp_path: Path) -> None:
    made = {"cmd": "mkdir data/tasks/${key}", "outs": ["data/tasks/${key}"]}
    read = {"cmd": "ls data/tasks > all", "deps": ["data/tasks"], "outs": ["all"]}
    with (checkout / "dvc.yaml").open("w") as file:
        YAML().dump({"stages": {"task": {"foreach": "${tasks}", "do": made}, "read": read}}, file)
    tasks, elsewhere = checkout / "data" / "tasks", tmp_path / "elsewhere"
    for folder in (tasks / "gone", elsewhere):
        folder.mkdir(parents=True)
        (folder / "rows").touch()
    (tasks / "on-another-disk").symlink_to(elsewhere)
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    assert list(tasks.iterdir()) == []
    assert (elsewhere / "rows").exists()


def test_a_run_becomes_a_branch_with_what_has_changed_in_words(checkout: Path, tmp_path: Path) -> None:
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    assert run_in(checkout, "dvc", "repro").returncode == 0
    body = tmp_path / "body.md"
    assert propose(checkout, "retrain/1-1", body)
    pushed = run_in(checkout, "git", "ls-remote", "--heads", "origin").stdout
    assert "refs/heads/retrain/1-1" in pushed
    kept = run_in(checkout, "git", "show", "--stat", "--format=%s", "origin/retrain/1-1").stdout
    assert kept.startswith("chore: retrained")
    assert "dvc.lock" in kept and "params.yaml" in kept
    text = body.read_text()
    assert "pretrain.seed" in text and "more: `dvc" not in text
    for title in ("Parameters", "Scores", "Registry", "Metrics"):
        assert f"## {title}" in text
    assert "seed" in text.partition("## Metrics")[2]


def test_a_description_has_room_at_github_however_much_has_changed(checkout: Path, tmp_path: Path) -> None:
    metrics = checkout / "data" / "reports" / "metrics.json"
    configure(checkout, {"BERTLINE_PRESET": "glue-cpu", "BERTLINE_OVERRIDES": "pretrain.seed=7"})
    assert run_in(checkout, "dvc", "repro").returncode == 0
    metrics.write_text(json.dumps({f"figure_{place:04}": place for place in range(2000)}))
    assert run_in(checkout, "dvc", "commit", "--force").returncode == 0
    assert propose(checkout, "retrain/1-1", tmp_path / "body.md")
    text = (tmp_path / "body.md").read_text()
    assert len(text) < 65_536
    assert "| pretrain.seed |" in text and "figure_0000" in text and "figure_1999" not in text
    shown = text.count("| data/reports/metrics.json |")
    left = re.search(r"\n\nAnd ([\d,]+) more: `dvc metrics diff [0-9a-f]{12}`\.\n\n</details>", text)
    assert left, text[-500:]
    assert shown + int(left[1].replace(",", "")) == 2000 + 1, "the figures, and the one that is gone"


def test_what_was_not_run_is_not_shown_as_a_result(checkout: Path, tmp_path: Path) -> None:
    with (checkout / "dvc.yaml").open("w") as file:
        report = {"cmd": "cp data/reports/metrics.json out.json", "deps": ["data/reports/metrics.json"]}
        YAML().dump({"stages": STAGES | {"report": report | {"outs": ["out.json"]}}}, file)
    assert run_in(checkout, "dvc", "repro").returncode == 0
    commit(checkout)
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    assert run_in(checkout, "dvc", "repro", "score").returncode == 0
    assert propose(checkout, "retrain/1-1", tmp_path / "body.md")
    assert (
        "**Not up to date: `report`.** What is told of them is of an earlier run" in (tmp_path / "body.md").read_text()
    )
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=8"})
    assert run_in(checkout, "dvc", "repro").returncode == 0
    assert propose(checkout, "retrain/1-2", tmp_path / "body.md")
    assert "Not up to date" not in (tmp_path / "body.md").read_text()


@pytest.mark.parametrize(
    ("remote", "said"),
    [
        ("", "There is no DVC remote that has the models"),
        (
            "/srv/store",
            "then `dvc pull`, on the machine that trained: the DVC remote, `/srv/store`, is a folder there.",
        ),
        pytest.param("s3://bucket/store", "then `dvc pull`.", marks=pytest.mark.slow),
    ],
)
def test_a_description_says_where_the_models_can_be_had(remote: str, said: str, checkout: Path, tmp_path: Path) -> None:
    if remote:
        assert run_in(checkout, "dvc", "remote", "add", "--default", "store", remote).returncode == 0
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    assert propose(checkout, "retrain/1-1", tmp_path / "body.md")
    assert said in (tmp_path / "body.md").read_text().splitlines()[-1]


def test_a_description_leads_to_the_run_of_the_workflow_where_there_is_one(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, value in {"SERVER_URL": "https://github.com", "REPOSITORY": "me/mine", "RUN_ID": "7"}.items():
        monkeypatch.setenv(f"GITHUB_{part}", value)
    assert "[the run](https://github.com/me/mine/actions/runs/7)" in describe(checkout, "HEAD")
    monkeypatch.delenv("GITHUB_RUN_ID")
    assert "[the run]" not in describe(checkout, "HEAD")
    with pytest.raises(BertlineError, match=r"dvc params diff: .*nothing"):
        describe(checkout, "nothing")


def test_a_run_that_reports_nothing_can_be_proposed(checkout: Path, tmp_path: Path) -> None:
    with (checkout / "dvc.yaml").open("w") as file:
        YAML().dump({"stages": {"a": {"cmd": "echo > a", "params": ["pretrain.seed"], "outs": ["a"]}}}, file)
    shutil.rmtree(checkout / "data")
    (checkout / "dvc.lock").unlink()
    commit(checkout)
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    assert run_in(checkout, "dvc", "repro").returncode == 0
    assert propose(checkout, "retrain/1-1", tmp_path / "body.md")
    assert "There are none." in (tmp_path / "body.md").read_text()


def test_a_branch_of_somebody_else_is_refused_though_its_commit_is_not_known_here(
    checkout: Path, tmp_path: Path
) -> None:
    git(checkout, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    git(tmp_path, "clone", "--quiet", "--branch", "main", str(checkout.parent / "origin.git"), str(tmp_path / "theirs"))
    (tmp_path / "theirs" / "file").touch()
    commit(tmp_path / "theirs")
    git(tmp_path / "theirs", "push", "--quiet", "origin", "HEAD:refs/heads/mine")
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    with pytest.raises(BertlineError, match="branch 'mine' is on origin already"):
        propose(checkout, "mine", tmp_path / "body.md")


def test_a_run_that_changed_nothing_proposes_nothing(checkout: Path, tmp_path: Path) -> None:
    assert not propose(checkout, "retrain/1-1", tmp_path / "body.md")
    assert not (tmp_path / "body.md").exists()
    assert run_in(checkout, "git", "ls-remote", "--heads", "origin").stdout == ""


def test_a_remote_that_is_not_there_is_one_line(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(checkout.parent / "origin.git")
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    monkeypatch.chdir(checkout)
    monkeypatch.setattr("sys.argv", ["pull_request", "propose", "b", "body.md"])
    assert main() == 1
    told = capsys.readouterr().err
    assert told.startswith("pull_request: error: ") and told.count("\n") == 1


def test_a_push_that_failed_can_be_repeated(checkout: Path, tmp_path: Path) -> None:
    refuses = checkout.parent / "origin.git" / "hooks" / "pre-receive"
    refuses.write_text("#!/bin/sh\nexit 1\n")
    refuses.chmod(0o755)
    base = git(checkout, "rev-parse", "HEAD")
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    with pytest.raises(BertlineError, match="git push"):
        propose(checkout, "retrain/1-1", tmp_path / "body.md")
    assert git(checkout, "rev-parse", "HEAD") == base
    refuses.unlink()
    assert propose(checkout, "retrain/1-1", tmp_path / "body.md")
    assert "pretrain.seed" in (tmp_path / "body.md").read_text()
    assert "refs/heads/retrain/1-1" in git(checkout, "ls-remote", "--heads", "origin")


def test_a_push_whose_answer_was_lost_can_be_repeated(checkout: Path, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    lost.write_text('#!/bin/sh\ngit-receive-pack "$@" || true\nexit 1\n')  # the branch is there, and git says it failed
    lost.chmod(0o755)
    git(checkout, "config", "remote.origin.receivepack", str(lost))
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    with pytest.raises(BertlineError, match="git push"):
        propose(checkout, "retrain/1-1", tmp_path / "body.md")
    there = git(checkout, "ls-remote", "--heads", "origin", "retrain/1-1").split()[0]
    git(checkout, "config", "--unset", "remote.origin.receivepack")
    assert propose(checkout, "retrain/1-1", tmp_path / "body.md")
    assert git(checkout, "rev-parse", "HEAD") == there
    assert git(checkout, "ls-remote", "--heads", "origin", "retrain/1-1").split()[0] == there
    assert not propose(checkout, "retrain/1-1", tmp_path / "body.md")


def test_a_proposal_that_was_killed_as_it_pushed_can_be_repeated(checkout: Path, tmp_path: Path) -> None:
    hangs, begun = tmp_path / "hangs", tmp_path / "begun"
    hangs.write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 60\n")
    hangs.chmod(0o755)
    git(checkout, "config", "remote.origin.receivepack", str(hangs))
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    command = [sys.executable, "-m", "pipelines.pull_request", "--root", str(checkout), "propose", "b", "body.md"]
    environment = os.environ | {"PYTHONPATH": CODE}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as proposing:
        wait_for(begun.exists, 60, "git pushes")
        os.killpg(proposing.pid, signal.SIGKILL)
    git(checkout, "config", "--unset", "remote.origin.receivepack")
    assert propose(checkout, "b", tmp_path / "body.md")
    assert git(checkout, "ls-remote", "--heads", "origin", "b").split()[0] == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize(("there", "branch"), [("main", "main"), ("retrain", "retrain/mine"), ("a/b/c", "a/b")])
def test_a_branch_that_is_on_origin_already_is_refused_before_the_training_and_after_it(
    there: str, branch: str, checkout: Path, tmp_path: Path
) -> None:
    git(checkout, "push", "--quiet", "origin", f"HEAD:refs/heads/{there}")
    heads, before = git(checkout, "ls-remote", "--heads", "origin"), (checkout / "params.yaml").read_text()
    given = {"BERTLINE_OVERRIDES": "pretrain.seed=7"}
    with pytest.raises(BertlineError, match=f"BRANCH: branch '{there}' is on origin already. Name a new one"):
        configure(checkout, given | {"BRANCH": branch})
    assert (checkout / "params.yaml").read_text() == before
    configure(checkout, given)
    with pytest.raises(BertlineError, match=f"propose: branch '{there}' is on origin already"):
        propose(checkout, branch, tmp_path / "body.md")
    assert git(checkout, "ls-remote", "--heads", "origin") == heads
    assert propose(checkout, "retrain-mine/too", tmp_path / "body.md")


def test_a_branch_that_somebody_pushed_meanwhile_is_not_moved(checkout: Path, tmp_path: Path) -> None:
    races = tmp_path / "races"  # what a push starts there, after all checks
    races.write_text('#!/bin/sh\ngit --git-dir "$1" update-ref refs/heads/mine main\nexec git-receive-pack "$@"\n')
    races.chmod(0o755)
    git(checkout, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    git(checkout, "config", "remote.origin.receivepack", str(races))
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    with pytest.raises(BertlineError, match="git push"):
        propose(checkout, "mine", tmp_path / "body.md")
    assert len(set(git(checkout, "ls-remote", "--heads", "origin", "main", "mine").split()[::2])) == 1


REGISTER = """
import os
from pathlib import Path
from bertline.base.artifacts import Artifacts
from bertline.registry.store import open_store

def registered(flow_run, reason):
    with open_store(Artifacts(Path(__file__).parent), "bertline") as store:
        run = store.client.create_run(store.experiment_id, tags={"prefect.flow_run_id": flow_run}).info.run_id
        said = {"promote": True, "reasons": [reason]}
        store.client.log_dict(run, said, "verdicts/bertline-docs_qa/verdict.json")
        if not store.client.search_registered_models():
            store.client.create_registered_model("bertline-docs_qa")

if __name__ == "__main__":
    registered(os.environ["PREFECT__FLOW_RUN_ID"], "of this run")
"""


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    "targets",
    [pytest.param(None, id="registered"), pytest.param(["score"], id="nothing registered", marks=pytest.mark.slow)],
)
def test_the_verdicts_are_those_of_this_run_and_never_of_another(
    targets: list[str] | None, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.flow import pipeline  # noqa: PLC0415  (Prefect takes seconds)

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (checkout / "registers.py").write_text(REGISTER)
    register = {"cmd": "python registers.py", "deps": ["data/gates/report.json"], "params": ["pretrain.seed"]}
    with (checkout / "dvc.yaml").open("w") as file:
        YAML().dump({"stages": STAGES | {"register": register}}, file)
    commit(checkout)
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    assert pipeline(checkout, targets, return_state=True).is_completed()
    others = ["python", "-c", "import registers; registers.registered('another', 'of another run')"]
    assert run_in(checkout, *others).returncode == 0
    assert pipeline(checkout, targets, return_state=True).is_completed()  # once more, as after a `dvc push` that failed
    assert propose(checkout, "retrain/1-1", tmp_path / "body.md")
    text = (tmp_path / "body.md").read_text()
    assert "of another run" not in text
    assert ("**promoted**: of this run" in text) == (targets is None)
    assert ("This run registered nothing." in text) == (targets is not None)
    assert registered_by.flow_run_of(checkout) == "", "its verdicts have been shown"


def test_a_description_that_failed_can_be_repeated(checkout: Path, tmp_path: Path) -> None:
    configure(checkout, {"BERTLINE_OVERRIDES": "pretrain.seed=7"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(BertlineError, match="the server does not answer"):
            propose(checkout, "retrain/1-1", tmp_path / "body.md")
    assert propose(checkout, "retrain/1-1", tmp_path / "body.md")
    assert (tmp_path / "body.md").exists()


@pytest.mark.parametrize("variable", ["BERTLINE_PRESET", "BERTLINE_OVERRIDES", "BERTLINE_TARGETS", "BRANCH"])
def test_no_input_of_the_script_is_run_by_its_shell(variable: str, checkout: Path) -> None:
    done = retrained(checkout, **{variable: NASTY})
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if ": warning: " not in line]  # this checkout has no remote
    assert len(said) == 1 and ": error: " in said[0], done.stderr
    assert not list(checkout.rglob("x"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"BRANCH": ""}, "BRANCH: name the branch to push, as retrain/mine"),
        ({"BRANCH": "Mine"}, "'Mine' cannot name a branch"),
        ({"BRANCH": "a/"}, "'a/' cannot name a branch"),
        ({"BRANCH": "taken"}, "branch 'taken' is on origin already"),
        ({"GH_TOKEN": "t", "BASE": "take?"}, "BASE: no branch 'take?' on origin. Name the branch"),
        ({"GH_TOKEN": "t", "BASE": ""}, "BASE: name the branch that the pull request is for, as main"),
    ],
)
def test_where_the_result_goes_is_asked_before_anything_is_trained(
    given: dict[str, str], said: str, checkout: Path
) -> None:
    before = run_in(checkout, "git", "status", "--porcelain").stdout
    git(checkout, "push", "--quiet", "origin", "HEAD:refs/heads/taken")
    done = retrained(checkout, BERTLINE_OVERRIDES="pretrain.seed=7", **given)
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    (checkout / ".github").rename(checkout.parent / "scripts")
    assert run_in(checkout, "git", "status", "--porcelain").stdout == before


def test_the_program_that_opens_a_pull_request_is_looked_for_before_anything_is_trained(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git(checkout, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    given = {"GH_TOKEN": "t", "BASE": "main"}
    with pytest.raises(BertlineError, match="GH_TOKEN: no program gh on PATH"):
        configure(checkout, given)
    (tmp_path / "bin" / "gh").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "gh").chmod(0o755)
    configure(checkout, given)
    (tmp_path / "bin" / "gh").unlink()
    configure(checkout, given | {"GH_TOKEN": ""})


@pytest.mark.slow
def test_the_token_is_seen_by_what_pushes_and_opens_the_pull_request_alone(
    checkout: Path, tmp_path: Path, prefect_server: str
) -> None:
    with (checkout / "dvc.yaml").open("w") as file:
        seen = STAGES["score"] | {"cmd": f"env > {tmp_path / 'stage'}; {STAGES['score']['cmd']}"}
        YAML().dump({"stages": {"score": seen}}, file)
    commit(checkout)
    git(checkout, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    gh.write_text(f'#!/bin/sh\nenv > {tmp_path / "gh"}\necho "$@" > {tmp_path / "asked"}\n')
    gh.chmod(0o755)
    given = {
        "BERTLINE_OVERRIDES": "pretrain.seed=7",
        "GH_TOKEN": "s3cret",
        "BASE": "main",
        "RUNNER_TEMP": str(tmp_path),
    }
    path = f"{gh.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = retrained(checkout, **given, PREFECT_API_URL=prefect_server, PATH=path)
    assert done.returncode == 0, done.stderr
    assert "s3cret" not in (tmp_path / "stage").read_text()
    assert "GH_TOKEN=s3cret" in (tmp_path / "gh").read_text()
    assert (tmp_path / "asked").read_text().split()[:6] == ["pr", "create", "--base", "main", "--head", "b"]


def retrained(checkout: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """What the script does in a checkout, which gets it."""
    shutil.copytree(ROOT / ".github" / "scripts", checkout / ".github" / "scripts")
    inputs = {"BERTLINE_PRESET": "", "BERTLINE_OVERRIDES": "", "BERTLINE_TARGETS": "score", "BRANCH": "b"}
    environment = inputs | {"GH_TOKEN": ""} | given
    return run_in(checkout, ".github/scripts/retrain.sh", **environment, PYTHONPATH=CODE)


@pytest.mark.parametrize("remote", ["none", "not there", pytest.param("there", marks=pytest.mark.slow)])
def test_a_dvc_remote_that_is_missing_is_named_before_all_is_trained_anew(remote: str, checkout: Path) -> None:
    store = checkout.parent / "two words"
    if remote != "none":
        run_in(checkout, "dvc", "remote", "add", "--default", "store", str(store))
    if remote == "there":
        store.mkdir()
    done = retrained(checkout, BERTLINE_TARGETS="nothing")
    warned = [line for line in done.stderr.splitlines() if line.startswith("retrain: warning: ")]
    said = {"none": ["no DVC remote"], "not there": [f"the DVC remote {store} is a folder that is not"], "there": []}
    assert [line for line in warned if not any(part in line for part in said[remote])] == []
    assert len(warned) == len(said[remote]), done.stderr
    assert "nothing" in done.stderr.splitlines()[-1]  # no such target: the script ends there


@pytest.mark.slow
def test_what_a_failed_run_has_made_is_pushed_all_the_same(checkout: Path, prefect_server: str) -> None:
    with (checkout / "dvc.yaml").open("w") as file:
        YAML().dump({"stages": STAGES | {"register": {"cmd": "false"}}}, file)
    commit(checkout)
    store = checkout.parent / "store"
    run_in(checkout, "dvc", "remote", "add", "--default", "store", str(store))
    given = {"BERTLINE_OVERRIDES": "pretrain.seed=7", "BERTLINE_TARGETS": "score register"}
    done = retrained(checkout, **given, PREFECT_API_URL=prefect_server)
    assert done.returncode == 1
    assert "pipeline: error: register: " in done.stderr, done.stderr
    assert (store / "files" / "md5").is_dir() and (store / "runs").is_dir()
    assert git(checkout, "ls-remote", "--heads", "origin") == ""


@pytest.mark.slow
def test_the_script_retrains_and_a_fresh_clone_of_its_branch_runs_nothing(smoke_run: Smoke, tmp_path: Path) -> None:
    assert smoke_run[1].returncode == 0, smoke_run[1].stderr
    checkout = Path(shutil.copytree(smoke_run[0], tmp_path / "checkout", symlinks=True))
    commit(checkout)
    remote = bare_remote(checkout)
    environment = {
        "BERTLINE_OVERRIDES": "tasks.docs_qa.finetune.learning_rate=0.0007",
        "BERTLINE_TARGETS": "",
        "BRANCH": "retrain/7-1",
        "BASE": "main",
        "RUNNER_TEMP": str(tmp_path),
        "GH_TOKEN": "",
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    done = run_in(checkout, ".github/scripts/retrain.sh", **environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"{tmp_path / 'bertline-store'} is a folder that is not on this machine" in done.stderr  # as committed
    body = (tmp_path / "pull-request.md").read_text()
    assert "tasks.docs_qa.finetune.learning_rate" in body
    assert "bertline-docs_qa" in body and "promoted" in body
    assert (checkout / "dvc_plots" / "index.html").is_file()
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--branch", "retrain/7-1", str(remote), str(clone)], check=True)
    assert run_in(clone, "bertline", "plan", "--check").returncode == 0
    assert run_in(clone, "dvc", "pull", "--run-cache").returncode == 0
    again = run_in(clone, "dvc", "repro")
    assert again.returncode == 0
    assert "Running stage" not in again.stdout, again.stdout


def test_promote_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    script = str(ROOT / ".github" / "scripts" / "promote.sh")
    without = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for environment, said in (
        ({"ACTION": "promote", "MODEL": "docs_qa"}, "MLFLOW_TRACKING_URI"),
        ({"ACTION": NASTY, "MODEL": "docs_qa", "MLFLOW_TRACKING_URI": store}, "ACTION must be"),
        ({"ACTION": "promote", "MODEL": NASTY, "VERSION": "1", "MLFLOW_TRACKING_URI": store}, "no "),
    ):
        done = subprocess.run(
            [script], cwd=tmp_path, env=without | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done.stderr
        assert said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists() and not (ROOT / "x").exists()
