"""The workflows of GitHub Actions: they run what contributors run, with the least rights, and never for forks."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from checkout import PRESETS, ROOT, commit, run_in
from station import free_port, processes_of

Smoke = tuple[Path, subprocess.CompletedProcess[str]]

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted((ROOT / ".github" / "scripts").glob("*.sh"))
MAY_WRITE = {"retrain.yml": {"contents": "write", "pull-requests": "write"}}
"""Workflow -> rights of its job, where reading is not enough: to push a branch, and to open a pull request."""


def read(name: str) -> dict[str, Any]:
    workflow: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / ".github" / "workflows" / name).read_text())
    return workflow


def commands(name: str) -> list[str]:
    return [step["run"] for job in read(name)["jobs"].values() for step in job["steps"] if "run" in step]


LINTERS = (["check-jsonschema", "--builtin-schema", "vendor.github-workflows"], ["zizmor", "--offline"], ["actionlint"])


@pytest.mark.parametrize("command", LINTERS, ids=lambda command: command[0])
def test_a_linter_finds_no_fault_in_the_workflows_and_would_find_one(command: list[str], tmp_path: Path) -> None:
    linter = [str(Path(sys.executable).parent / command[0]), *command[1:]]

    def faults(*files: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*linter, *map(str, files)], capture_output=True, text=True, check=False)

    done = faults(*WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "retrain.yml"
    text = (ROOT / ".github" / "workflows" / "retrain.yml").read_text()
    broken.write_text(
        text.replace("runs-on:", "runs-once:").replace("run: make", "run: echo ${{ github.event.issue.title }} &&")
    )
    assert broken.read_text().count("runs-once:") and broken.read_text().count("issue.title")
    assert faults(broken).returncode != 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_beside_it(path: Path) -> None:
    used = re.findall(r"uses: *(.*)", path.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_the_least_rights_and_cannot_run_for_ever(path: Path) -> None:
    workflow = read(path.name)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert job.get("permissions") == MAY_WRITE.get(path.name)
        assert job["timeout-minutes"] <= 1440
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_secret_is_given_to_the_script_that_needs_it_alone(path: Path) -> None:
    workflow = read(path.name)
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if not step.get("run", "").startswith(".github/scripts/"):
                assert not re.search(r"secrets\.|github\.token", str(step)), step
        assert not re.search(r"secrets\.|github\.token", str([workflow.get("env"), job.get("env")]))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_input_is_part_of_a_command(path: Path) -> None:
    assert not [command for command in commands(path.name) if "${{" in command]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_stop_at_the_first_fault_and_can_be_started(script: Path) -> None:
    assert "set -euo pipefail" in script.read_text()
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_ci_runs_what_a_contributor_types() -> None:
    smoke = [f".github/scripts/smoke.sh {step}" for step in ("run", "again", "serve")]
    ready = "make .venv/.ready"
    assert commands("ci.yml") == [
        "make test",
        "make test-slow",
        ready,
        *smoke,
        ready,
        ".venv/bin/bertline plan --check",
    ]


@pytest.fixture
def small(repo: Callable[[dict[str, Any]], Path]) -> Path:
    """A pipeline of one stage with the scripts, which has run."""
    folder = repo({"a": {"cmd": "cat in > a", "deps": ["in"], "outs": ["a"]}})
    (folder / "in").touch()
    shutil.copytree(ROOT / ".github" / "scripts", folder / ".github" / "scripts")
    assert run_in(folder, "dvc", "repro").returncode == 0
    return folder


def test_a_second_run_that_runs_anything_fails(small: Path) -> None:
    again = (".github/scripts/smoke.sh", "again")
    assert run_in(small, *again).returncode == 0
    (small / "in").write_text("other")
    ran = run_in(small, *again)
    assert (ran.returncode, ran.stderr) == (1, "smoke: error: the second run ran: a\n")
    (small / "in").unlink()
    assert run_in(small, *again).returncode != 0


@pytest.mark.slow
def test_the_smoke_job_s_steps_pass_in_a_checkout(smoke_run: Smoke, tmp_path: Path) -> None:
    checkout = Path(shutil.copytree(smoke_run[0], tmp_path / "checkout", symlinks=True))
    edited = (checkout / "params.yaml").read_bytes() + b"# mine\n"
    (checkout / "params.yaml").write_bytes(edited)
    assert "not committed" in run_in(checkout, ".github/scripts/smoke.sh", "run").stderr
    assert (checkout / "params.yaml").read_bytes() == edited
    commit(checkout)
    for step in ("run", "again", "serve"):
        done = run_in(checkout, ".github/scripts/smoke.sh", step, SMOKE_PORT=str(free_port()))
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.splitlines()[-4:] == [
        f"{flow} is offered" for flow in ("retrain", "sweep", "promote", "rollback")
    ]
    assert not processes_of(checkout)


def group(name: str, **facts: str) -> str:
    """The concurrency group of a run; of GitHub's expressions, `${{ a }}` and `${{ a == 'b' && c || d }}` are known."""
    known = {"github.workflow": name} | {key.replace("_", ".", 1): value for key, value in facts.items()}

    def value(match: re.Match[str]) -> str:
        choice = re.fullmatch(r"(\S+) == '(.*)' && (\S+) \|\| (\S+)", match[1])
        if not choice:
            return known[match[1]]
        return known[choice[3] if known[choice[1]] == choice[2] else choice[4]]

    return re.sub(r"\$\{\{ (.*?) \}\}", value, read(name)["concurrency"]["group"])


def test_every_push_to_main_keeps_its_verdict_and_a_pull_request_has_that_of_its_last() -> None:
    # In a group GitHub keeps one run that goes on and one that waits; it cancels any other that waits.
    main = {"github_event_name": "push", "github_ref": "refs/heads/main"}
    assert len({group("ci.yml", **main, github_run_id=run) for run in "123"}) == 3
    change = {"github_event_name": "pull_request", "github_ref": "refs/pull/7/merge"}
    assert len({group("ci.yml", **change, github_run_id=run) for run in "123"}) == 1
    assert group("ci.yml", **change, github_run_id="1") != group(
        "ci.yml", **(change | {"github_ref": "refs/pull/8/merge"}), github_run_id="1"
    )
    assert read("ci.yml")["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"


def test_promotions_of_different_models_do_not_wait_for_each_other() -> None:
    assert group("promote.yml", inputs_model="qa") != group("promote.yml", inputs_model="ner")
    assert read("promote.yml")["concurrency"]["cancel-in-progress"] is False


def test_no_retraining_that_was_asked_for_is_dropped_for_another_or_for_another_label() -> None:
    asked = {"github_event_name": "workflow_dispatch", "github_ref": "refs/heads/main", "github_event.label.name": ""}
    assert len({group("retrain.yml", **asked, github_run_id=run) for run in "123"}) == 3
    change = {"github_event_name": "pull_request", "github_ref": "refs/pull/7/merge"}
    labels = [
        group("retrain.yml", **change, **{"github_event.label.name": label}, github_run_id=run)
        for run, label in (("1", "retrain"), ("2", "documentation"), ("3", "retrain"))
    ]
    assert labels[0] == labels[2] != labels[1], "the same branch is not trained twice at once"


def test_the_data_docs_that_a_retraining_keeps_have_their_index() -> None:
    (steps,) = (job["steps"] for job in read("retrain.yml")["jobs"].values())
    kept = steps[-1]["with"]["path"].split()
    assert {"data/gates/index.html", "data/gates/**/data_docs/"} <= set(kept)


def test_retraining_by_a_label_is_for_branches_of_this_repository_alone() -> None:
    (job,) = read("retrain.yml")["jobs"].values()
    assert "github.event.pull_request.head.repo.full_name == github.repository" in job["if"]
    assert "github.event.label.name == 'retrain'" in job["if"]


def test_retraining_offers_every_preset() -> None:
    inputs = YAML(pure=True).load((ROOT / ".github" / "workflows" / "retrain.yml").read_text())["on"][
        "workflow_dispatch"
    ]
    assert list(inputs["inputs"]["preset"]["options"]) == ["current", *PRESETS]


def test_a_promotion_waits_for_a_person() -> None:
    (job,) = read("promote.yml")["jobs"].values()
    assert job["environment"] == "production"
