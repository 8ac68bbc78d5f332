"""On a real server, as an operator uses it: runs from the API, cancel, retry, and everything killed in turn."""

import os
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from bertline.base.files import exclusive_lock
from checkout import dvc_graph, run_in
from pipelines.worktree import saved_runs, unfinished_runs
from station import Station, processes_of, wait_for

pytestmark = pytest.mark.slow

TUNED = {"overrides": {"more": ["tasks.docs_qa.finetune.learning_rate=0.0007"]}}
AFTER_TUNING = {"finetune@docs_qa", "transfer@docs_qa", "evaluate@docs_qa", "report", "register"}


def names(tasks: dict[str, dict[str, Any]], state: str) -> set[str]:
    return {name for name, run in tasks.items() if run["state_name"] == state}


def long_pretraining(seed: int) -> dict[str, Any]:
    """Parameters of a pre-training that is long enough to be disturbed, and leaves a checkpoint soon."""
    more = [f"pretrain.seed={seed}", "pretrain.budget=500", "pretrain.checkpoint_every=20"]
    return {"overrides": {"more": more}, "targets": ["pretrain"]}


def begun(station: Station) -> Path:
    """The folder of checkpoints of a pre-training that has just written its first one."""
    known = station.seen

    def found() -> Path | None:
        manifests = (station.checkout / "data" / "runs" / "pretrain").glob("*/step-*/manifest.json")
        return next((path.parents[1] for path in manifests if path.parents[1].name not in known), None)

    run = wait_for(found, 240, "pre-training has a checkpoint")
    known.add(run.name)
    return run


def nothing_runs(place: Path) -> bool:
    return not [each for each in processes_of(place) if "bertline.stages" in " ".join(each.cmdline())]


def test_a_run_with_a_parameter_reaches_the_registry_and_shows_what_it_did(station: Station) -> None:
    before = run_in(station.checkout, "git", "status", "--porcelain").stdout
    run = station.run("retrain", **TUNED)
    state = station.ended(run)
    assert state["type"] == "COMPLETED", station.logs(run)[-3000:]
    assert state["message"] == "19 stages: 5 ran, 14 up to date"
    tasks = station.tasks(run)
    assert names(tasks, "Completed") == AFTER_TUNING
    # Tasks and edges are DVC's.
    ids = {each["id"]: name for name, each in tasks.items()}
    above = {name: each["task_inputs"].get("wait_for", []) for name, each in tasks.items()}
    edges = {(ids[each["id"]], name) for name, upstreams in above.items() for each in upstreams}
    assert (set(tasks), edges) == dvc_graph(station.checkout)
    # The registry, the checkout, the result.
    with closing(sqlite3.connect(station.checkout / "mlflow.db")) as store:
        tags = store.execute(
            "SELECT run_uuid FROM tags WHERE key = 'prefect.flow_run_id' AND value = ?", (run,)
        ).fetchall()
        versions = store.execute("SELECT name, count(*) FROM model_versions GROUP BY name").fetchall()
    assert tags
    assert dict(versions)["bertline-docs_qa"] == 2
    assert dict(versions)["bertline-docs_topic"] == 1
    assert run_in(station.checkout, "git", "status", "--porcelain").stdout == before
    name = f"retrain-{run[-8:]}"
    assert name in saved_runs(station.checkout)
    assert name not in unfinished_runs(station.checkout)
    # What the UI shows.
    shown = station.artifacts(run)
    assert {"plan", "scoreboard", "registry", "result", "gate-corpus", "gate-pretrain", "gate-task-docs-qa"} <= set(
        shown
    )
    assert re.search(r"^finetune@docs_qa +to run: ", shown["plan"], re.MULTILINE)
    assert "bertline-docs_qa | " in shown["registry"]
    for picture in ("pre-training-mlm-loss", "docs-qa-fine-tuning-loss", "docs-qa-transfer-loss"):
        assert shown[picture].startswith("data:image/png;base64,")
    page = re.search(r"\[Data Docs\]\((http://127\.0\.0\.1:[^)]*)\)", shown["gate-corpus"])
    assert page
    assert "gate_corpus" in subprocess.run(["curl", "-s", page[1]], capture_output=True, text=True, check=True).stdout


def test_what_could_be_a_command_is_refused_by_the_server_or_the_flow(station: Station) -> None:
    nasty = '"; touch x"'
    for flow, parameters in [
        ("retrain", {"targets": [nasty]}),
        ("retrain", {"preset": nasty}),
        ("retrain", {"promote": nasty}),
        ("retrain", {"overrides": {"more": [nasty]}}),
        ("retrain", {"overrides": {"pretrain_seed": nasty}}),
        ("retrain", {"limits": {"cpu": 0}}),
        ("sweep", {"task": nasty}),
        ("sweep", {"task": "docs_qa", "search": {"learning_rate": [7]}}),
        ("promote", {"model": nasty}),
        ("promote", {"model": "docs_qa", "version": nasty}),
        ("rollback", {"model": nasty}),
    ]:
        assert station.refused(flow, **parameters).status_code in (409, 422), (flow, parameters)
    run = station.run("retrain", overrides={"more": [f"register.experiment={nasty}"]}, targets=["download"])
    assert station.ended(run)["type"] in ("COMPLETED", "FAILED")
    assert not list(station.checkout.rglob("x"))


def test_promote_and_rollback(station: Station) -> None:
    state = station.ended(station.run("promote", model="docs_qa", version="1"))
    assert state["type"] == "COMPLETED"
    run = station.run("promote", model="docs_qa", version="2")
    assert station.ended(run)["message"].startswith("bertline-docs_qa: version 2 ")
    back = station.run("rollback", model="docs_qa")
    assert re.match(r"bertline-docs_qa: version 1 .* is champion, instead of 2", station.ended(back)["message"])
    assert "bertline-docs_qa | 1 " in station.artifacts(back)["registry"]
    wrong = station.ended(station.run("promote", model="docs_qa", version="99"))
    assert (wrong["type"], "no version '99'" in wrong["message"]) == ("FAILED", True)


def test_a_schedule_makes_runs(station: Station) -> None:
    """Prefect 3.8.8 beside SQLAlchemy 2.1 makes none, and nobody is told."""
    found = station.deployment("retrain/local")
    assert found
    schedules = f"/deployments/{found['id']}/schedules"
    [made] = station.ask("POST", schedules, [{"active": True, "schedule": {"interval": 86_400}}])
    body = {"deployments": {"id": {"any_": [found["id"]]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    runs = wait_for(lambda: station.ask("POST", "/flow_runs/filter", body), 100, "the schedule makes runs")
    station.ask("DELETE", f"{schedules}/{made['id']}")
    assert {run["auto_scheduled"] for run in runs} == {True}


def test_two_runs_at_once_with_different_parameters_both_end_right(station: Station) -> None:
    rates = {"0.0003", "0.0004"}
    runs = {
        rate: station.run("retrain", overrides={"more": [f"tasks.docs_topic.finetune.learning_rate={rate}"]})
        for rate in sorted(rates)
    }
    for rate, run in runs.items():
        state = station.ended(run, 400)
        assert (state["type"], state["message"]) == ("COMPLETED", "19 stages: 6 ran, 13 up to date"), station.logs(run)[
            -2000:
        ]
        result = saved_runs(station.checkout)[f"retrain-{run[-8:]}"]
        params = run_in(station.checkout, "git", "show", f"{result}:params.yaml").stdout
        assert f"learning_rate: {rate}" in params
    commits = [saved_runs(station.checkout)[f"retrain-{run[-8:]}"] for run in runs.values()]
    metrics = {run_in(station.checkout, "git", "show", f"{made}:dvc.lock").stdout for made in commits}
    assert len(metrics) == 2


def test_a_cancelled_run_leaves_no_process_and_no_lock_and_the_next_goes_on_from_its_checkpoint(
    station: Station,
) -> None:
    parameters = long_pretraining(1)
    run = station.run("retrain", **parameters)
    checkpoints = begun(station)
    tree = station.checkout / "data" / "runs" / "worktrees" / f"retrain-{run[-8:]}"
    station.cancel(run)
    since = time.monotonic()
    wait_for(lambda: nothing_runs(tree), 30, "nothing of the stage runs on")
    with exclusive_lock(checkpoints / "lock", "a test"):
        pass
    assert station.ended(run, 60)["type"] == "CANCELLED"
    assert time.monotonic() - since < 30
    following = station.run("retrain", **parameters)
    assert station.ended(following, 300)["type"] == "COMPLETED", station.logs(following)[-3000:]
    assert re.search(rf"going on from step [\d,]+ \({checkpoints.name}\)", station.logs(following))


def test_a_retry_does_only_what_is_left(station: Station) -> None:
    run = station.run("retrain", overrides={"more": ["finetune.seed=3"]})
    tree = station.checkout / "data" / "runs" / "worktrees" / f"retrain-{run[-8:]}"

    def second_task() -> psutil.Process | None:
        for process in processes_of(tree):
            if process.cmdline()[1:4] == ["-m", "bertline.stages.finetune", "docs_qa"]:
                return process
        return None

    wait_for(second_task, 240, "the second fine-tuning runs").kill()
    assert station.ended(run)["type"] == "FAILED"
    done = names(station.tasks(run, attempt=1), "Completed")
    assert "finetune@docs_topic" in done
    left = {"finetune@docs_topic", "evaluate@docs_topic", *AFTER_TUNING} - done
    station.retry(run)
    wait_for(lambda: station.state(run)["type"] not in ("FAILED", "SCHEDULED"), 60, "it is tried again")
    state = station.ended(run)
    message = f"19 stages: {len(left)} ran, {19 - len(left)} up to date"
    assert (state["type"], state["message"]) == ("COMPLETED", message), station.logs(run)[-2000:]
    assert names(station.tasks(run, attempt=2), "Completed") == left


def test_a_killed_flow_takes_its_stage_with_it_and_loses_nothing_finished(station: Station) -> None:
    parameters = long_pretraining(2)
    run = station.run("retrain", **parameters)
    checkpoints = begun(station)
    tree = station.checkout / "data" / "runs" / "worktrees" / f"retrain-{run[-8:]}"
    station.flow_process(run).send_signal(signal.SIGKILL)
    wait_for(lambda: nothing_runs(tree), 30, "the stage has ended")
    assert station.ended(run, 120)["type"] == "CRASHED"
    station.retry(run)
    wait_for(lambda: station.state(run)["type"] not in ("CRASHED", "SCHEDULED"), 60, "it is tried again")
    assert station.ended(run, 300)["type"] == "COMPLETED", station.logs(run)[-3000:]
    assert f"({checkpoints.name})" in station.logs(run)


def test_a_run_survives_the_one_that_started_it(station: Station) -> None:
    run = station.run("retrain", **long_pretraining(4))
    begun(station)
    serving = station.started[-1]
    os.kill(serving.pid, signal.SIGKILL)
    serving.wait()
    station.started.remove(serving)
    try:
        assert station.ended(run, 300)["type"] == "COMPLETED", station.logs(run)[-3000:]
    finally:
        station.start_serving()
    following = station.run("retrain", **long_pretraining(4))
    assert station.ended(following)["message"] == "9 stages: 0 ran, 9 up to date"


def test_a_killed_server_loses_nothing_that_was_finished(station: Station) -> None:
    run = station.run("retrain", **long_pretraining(5))
    checkpoints = begun(station)
    server = station.started[0]
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    time.sleep(5)
    station.started[0] = station.start_server()
    station.started.pop()
    first = station.ended(run, 300)["type"]
    following = station.run("retrain", **long_pretraining(5))
    assert station.ended(following, 300)["type"] == "COMPLETED", station.logs(following)[-3000:]
    if first == "COMPLETED":
        assert station.state(following)["message"] == "9 stages: 0 ran, 9 up to date"
    else:
        assert f"({checkpoints.name})" in station.logs(following)


def test_a_work_pool_takes_the_deployments_of_prefect_yaml(station: Station) -> None:
    assert station.prefect("work-pool", "create", "bench", "--type", "process").returncode == 0
    deployed = station.prefect(
        "--no-prompt", "deploy", "--all", BERTLINE_POOL="bench", BERTLINE_CHECKOUT=str(station.checkout)
    )
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    station.start_worker("bench")
    run = station.run("retrain", "pool", targets=["gate_tokens"])
    state = station.ended(run)
    assert (state["type"], state["message"]) == ("COMPLETED", "8 stages: 0 ran, 8 up to date"), station.logs(run)[
        -2000:
    ]
    os.killpg(station.started.pop().pid, signal.SIGTERM)


def test_a_sweep_tries_its_points_on_validation_rows_and_keeps_each(station: Station) -> None:
    search = {"learning_rate": [0.0001, 0.001], "epochs": [1, 2], "trials": 3, "side_by_side": 2}
    run = station.run("sweep", task="docs_qa", search=search)
    state = station.ended(run, 400)
    assert state["type"] == "COMPLETED", station.logs(run)[-3000:]
    assert state["message"].startswith("best of 3: learning_rate ")
    table = station.artifacts(run)["sweep"]
    scores = [float(score) for score in re.findall(r"\| ([0-9.]+) \|$", table, re.MULTILINE)]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    kept = [name for name in saved_runs(station.checkout) if name.startswith(f"sweep-{run[-8:]}-")]
    assert sorted(kept) == [f"sweep-{run[-8:]}-{number:03}" for number in (1, 2, 3)]


def test_everything_listens_on_this_machine_alone(station: Station) -> None:
    listening = [
        connection.laddr.ip
        for process in station.started
        for member in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for connection in member.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 2
    assert set(listening) <= {"127.0.0.1", "::1"}
