"""Which points a sweep tries, and what it makes of their scores."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import State, flow
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import ValidationError

from bertline.base.config import Finetune, Params, Task, TaskData
from bertline.base.errors import BertlineError
from bertline.base.params import write_params
from bertline.tasks.schema import TaskInfo
from checkout import commit, run_in
from pipelines.git import git
from pipelines.resources import ONE_BY_ONE
from pipelines.search import Search
from pipelines.settings import CURRENT, NO_OVERRIDES
from pipelines.sweep import Point, conclude, fan_out, sweep
from pipelines.worktree import saved_runs
from station import tried_again

Scores = list[float | None]


def play(search: Search, judge: Callable[[dict[str, Any]], float | None]) -> list[list[dict[str, Any]]]:
    """The batches of a search whose points are scored by `judge`."""
    proposals, batches = search.proposals(), []
    batch = next(proposals)
    try:
        while True:
            batches.append(batch)
            batch = proposals.send([judge(point) for point in batch])
    except StopIteration:
        return batches


def test_a_grid_is_every_combination_some_at_a_time_and_fewer_where_that_is_asked_for() -> None:
    search = Search(learning_rate=[1e-4, 3e-4, 1e-3], epochs=[1, 2, 3, 4, 5], side_by_side=4)
    batches = play(search, lambda _: 0.0)
    assert [len(batch) for batch in batches] == [4, 4, 4, 3]
    assert batches[0][0] == {"learning_rate": 1e-4, "epochs": 1}
    assert len({tuple(point.items()) for batch in batches for point in batch}) == 15
    assert [len(batch) for batch in play(search.model_copy(update={"trials": 2}), lambda _: 0.0)] == [2]


def test_a_grid_that_nobody_can_mean_is_refused_unless_its_points_are_limited() -> None:
    many = Search(epochs=list(range(1, 31)), seed=list(range(30)))
    with pytest.raises(
        BertlineError, match=r"search: a grid of 2700 points\. Give fewer values, or trials: at most 500"
    ):
        many.check()
    limited = many.model_copy(update={"trials": 500})
    limited.check()
    Search(learning_rate=[1e-3], epochs=list(range(1, 26)), seed=list(range(20))).check()  # 500
    assert sum(len(batch) for batch in play(limited, lambda _: 0.0)) == 500


def test_optuna_proposes_ten_points_where_nothing_is_said_however_many_at_a_time() -> None:
    pytest.importorskip("optuna")
    for side_by_side in (1, 4):
        batches = play(Search(method="optuna", side_by_side=side_by_side), lambda _: 0.0)
        assert sum(map(len, batches)) == 10


def test_optuna_stays_within_the_values_learns_and_gives_the_same_points_again() -> None:
    pytest.importorskip("optuna")
    search = Search(
        method="optuna", learning_rate=[1e-5, 1e-1], epochs=[1, 9], seed=[3, 900], trials=40, side_by_side=4
    )

    def judge(point: dict[str, Any]) -> float | None:
        if point["epochs"] == 9:
            return None  # a point that fails
        return -abs(point["learning_rate"] - 1e-3)

    batches = play(search, judge)
    points = [point for batch in batches for point in batch]
    assert [len(batch) for batch in batches] == [4] * 10
    assert all(1e-5 <= point["learning_rate"] <= 1e-1 and 1 <= point["epochs"] <= 9 for point in points)
    assert {point["seed"] for point in points} == {3, 900}
    assert play(search, judge) == batches
    late = [abs(point["learning_rate"] - 1e-3) for point in points[20:]]
    early = [abs(point["learning_rate"] - 1e-3) for point in points[:10]]
    assert sorted(late)[len(late) // 2] < sorted(early)[len(early) // 2]


def test_a_search_of_nothing_and_a_search_without_optuna_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BertlineError, match="nothing to search"):
        Search(learning_rate=[]).check()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BertlineError, match=r"optuna is not installed\. pip install optuna"):
        Search(method="optuna").check()
    Search().check()


@pytest.mark.parametrize(
    "wrong",
    [{"learning_rate": [0]}, {"epochs": [0]}, {"method": "luck"}, {"trials": 0}, {"side_by_side": 65}, {"x": 1}],
)
def test_a_search_out_of_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Search(**wrong)


def concluded(points: list[Point]) -> State[Any]:
    @flow(name="of a test", persist_result=False)
    def runner() -> State[Any]:
        return conclude("qa", points)

    return runner(return_state=True)


def test_a_point_is_described_by_numbers_that_can_be_typed_again() -> None:
    options = {"learning_rate": 0.00020000000000000004, "seed": 123456, "batch_size": 4096}
    assert Point("sweep-1-001", options, 0.5, "").described == "learning_rate 0.0002, seed 123456, batch_size 4096"


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_best_point_is_named_and_failed_ones_are_counted() -> None:
    points = [
        Point("sweep-1-001", {"learning_rate": 1e-4}, 0.5, ""),
        Point("sweep-1-002", {"learning_rate": 1e-3}, 0.75, ""),
        Point("sweep-1-003", {"learning_rate": 1e-2}, None, "finetune@qa: error: loss is not finite"),
    ]
    state = concluded(points)
    assert state.is_completed()
    assert state.message == "best of 3: learning_rate 0.001: 0.7500 (sweep-1-002), 1 failed"
    failed = concluded(points[2:])
    assert (failed.is_failed(), failed.message) == (True, "finetune@qa: error: loss is not finite")


@pytest.mark.usefixtures("prefect_server")
def test_what_a_failed_point_says_of_the_data_is_text_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("pipelines.show.create_markdown_artifact", lambda text, **_: shown.append(text))
    told = 'gate_task@qa: error: for example "a | b\n![](http://host/x)". Mend it.'
    concluded([Point("sweep-1-001", {"seed": 1}, None, told)])
    line = r'failed: gate\_task@qa: error: for example "a \| b !\[\](http://host/x)". Mend it. |'
    assert shown[0].splitlines()[-1] == f"| sweep-1-001 | seed 1 | {line}"


@pytest.mark.usefixtures("prefect_server")
def test_a_sweep_whose_points_cannot_be_shown_has_succeeded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise httpx.ConnectError("the server is away")

    monkeypatch.setattr("pipelines.show.create_markdown_artifact", away)
    assert concluded([Point("sweep-1-001", {"learning_rate": 1e-4}, 0.5, "")]).is_completed()


def test_points_run_in_threads_unless_a_cluster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BERTLINE_FAN_OUT", raising=False)
    assert isinstance(fan_out(), ThreadPoolTaskRunner)
    monkeypatch.setenv("BERTLINE_FAN_OUT", "")  # as a service's settings leave it
    assert isinstance(fan_out(), ThreadPoolTaskRunner)
    for kind in ("ray", "dask"):
        monkeypatch.setenv("BERTLINE_FAN_OUT", f"{kind}:somewhere")
        monkeypatch.setitem(sys.modules, f"prefect_{kind}", None)
        with pytest.raises(BertlineError, match=rf"prefect_{kind} is not installed\. pip install prefect-{kind}"):
            fan_out()
    monkeypatch.setenv("BERTLINE_FAN_OUT", "slurm:x")
    with pytest.raises(BertlineError, match="'slurm' is no way to spread points"):
        fan_out()


@pytest.fixture
def checkout(repo: Callable[[dict[str, Any]], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline of one task whose fine-tuning, as it goes on, sees a commit made in the checkout."""
    info = TaskInfo("qa", "classification", ("a",), "accuracy", ("accuracy",), False, {"train": 1}, "a test")
    metrics = "data/reports/finetune/qa/metrics.json"
    others = "git -C $CHECKOUT commit --quiet --no-gpg-sign --no-verify --allow-empty --message 'of somebody else'"
    scores = json.dumps({"pretrained": {"validation": {"accuracy": 0.5}}})
    scored = f"mkdir -p {Path(metrics).parent} && echo '{scores}' > {metrics}"
    tuned = {"cmd": f"{others} && {scored}", "deps": ["data/tasks/qa"], "params": ["tasks.qa"]}
    folder = repo(
        {
            "task": {
                "foreach": ["qa"],
                "do": {"cmd": "cp -r in data/tasks/qa", "deps": ["in"], "outs": ["data/tasks/qa"]},
            },
            "finetune": {"foreach": ["qa"], "do": tuned | {"metrics": [{metrics: {"cache": False}}]}},
        }
    )
    (folder / ".dvc" / "config").write_text("")
    (folder / ".gitignore").write_text("/data/runs/\n/data/downloads\n")
    for kept in ("in", "data/tasks"):
        (folder / kept).mkdir(parents=True)
    info.write(folder / "in")
    (folder / "data" / "tasks" / ".gitkeep").touch()
    write_params(folder / "params.yaml", Params(tasks={"qa": Task(data=TaskData(train="rows.jsonl"))}), "Of a test.")
    run_in(folder, "git", "init", "--quiet")
    commit(folder)
    for key, value in {"user.name": "Test", "user.email": "test@example.com"}.items():
        git(folder, "config", key, value)
    monkeypatch.setenv("CHECKOUT", str(folder))
    monkeypatch.delenv("BERTLINE_FAN_OUT", raising=False)
    for module in ("sweep", "retrain"):
        monkeypatch.setattr(f"pipelines.{module}.CHECKOUT", folder)
    return folder


@pytest.mark.usefixtures("prefect_server")
def test_points_are_kept_under_the_commit_that_the_sweep_started_from(checkout: Path) -> None:
    base = git(checkout, "rev-parse", "HEAD")
    state = sweep("qa", Search(learning_rate=[1e-4, 1e-3]), return_state=True)
    assert state.is_completed(), state.message
    assert git(checkout, "rev-list", "--count", f"{base}..HEAD") == "2"
    assert len(saved_runs(checkout)) == 3
    listed = git(checkout, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    assert {"".join(ref.split("/")[2:4]) for ref in listed} == {base}  # as DVC cuts the commit


@pytest.mark.usefixtures("prefect_server")
def test_a_retry_of_a_sweep_has_the_parameters_and_the_commit_that_it_began_with(checkout: Path) -> None:
    base, search = git(checkout, "rev-parse", "HEAD"), Search(learning_rate=[1e-4])
    lock = checkout / ".git" / "index.lock"  # keeps fine-tuning from its commit
    lock.touch()
    failed = sweep("qa", search, return_state=True)
    assert failed.is_failed()
    lock.unlink()
    edited = Params(finetune=Finetune(seed=9), tasks={"other": Task(data=TaskData(train="rows.jsonl"))})
    write_params(checkout / "params.yaml", edited, "Of a test.")
    commit(checkout)
    parameters = {"task": "qa", "search": search, "preset": CURRENT, "overrides": NO_OVERRIDES, "limits": ONE_BY_ONE}
    state = tried_again(sweep, failed, parameters)
    assert state.is_completed(), state.message
    listed = git(checkout, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    assert ["".join(ref.split("/")[2:4]) for ref in listed] == [base, base]
    for made in saved_runs(checkout).values():
        assert "seed: 9" not in git(checkout, "show", f"{made}:params.yaml")
