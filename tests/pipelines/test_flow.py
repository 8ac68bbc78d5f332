"""The Prefect flow is DVC's DAG: recorded by a real server, in DVC's order, stopped by a failure or a signal."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Crashed

from bertline.base.config import Params, Pretrain
from bertline.base.params import write_params
from checkout import ROOT, dvc_graph, preset
from pipelines.dvc_stage import Outcome, StageFailed, StageRunner
from pipelines.flow import RETRIES, Work, pipeline, run_name, run_plan, verdict
from pipelines.plan import Node, Plan, in_order
from pipelines.resources import Limits, Needs, hold_gpus
from station import tried_again, wait_for

pytestmark = pytest.mark.usefixtures("prefect_server")

Repo = Callable[[dict[str, Any]], Path]


def stages(**commands: tuple[str, str]) -> dict[str, Any]:
    """name=(upstreams, command) as dvc.yaml: each stage reads its upstreams' files and writes one named like it."""
    made = {}
    for name, (upstreams, command) in commands.items():
        stage = {"cmd": f"{command} && echo {name} >> order && echo {name} > {name}.out", "outs": [f"{name}.out"]}
        made[name] = stage | {"deps": ["in", *(f"{above}.out" for above in upstreams.split())]}
    return made


def run(folder: Path, **options: Any) -> State[Any]:
    (folder / "in").touch()
    return pipeline(folder, **options, return_state=True)


def order(folder: Path) -> list[str]:
    """The stages that ran, as they came."""
    return (folder / "order").read_text().split() if (folder / "order").exists() else []


def records(kind: str, state: State[Any]) -> list[dict[str, Any]]:
    """What the server has of a flow run: its task_runs, or its artifacts."""
    wanted = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
    with get_client(sync_client=True) as client:
        found: list[dict[str, Any]] = client.request("POST", f"/{kind}/filter", json=wanted).json()
    return found


def recorded(state: State[Any], count: int) -> dict[str, dict[str, Any]]:
    """The task runs of a flow run by name; they arrive at the server some moments after the run."""

    def ended() -> dict[str, dict[str, Any]]:
        runs = {run["name"]: run for run in records("task_runs", state)}
        return runs if len(runs) == count and all(run["state_type"] != "RUNNING" for run in runs.values()) else {}

    return wait_for(ended, 20, f"{count} task runs are recorded")


def shown(state: State[Any]) -> dict[str, str]:
    """The artifacts of a flow run by key."""
    return {artifact["key"]: artifact["data"] for artifact in records("artifacts", state)}


def edges(runs: dict[str, dict[str, Any]]) -> set[tuple[str, str]]:
    """(upstream, task) pairs as the server has them."""
    names = {run["id"]: name for name, run in runs.items()}
    return {
        (names[above["id"]], name) for name, run in runs.items() for above in run["task_inputs"].get("wait_for", [])
    }


class Recorder(StageRunner):
    """Takes the place of DVC where the test is of the flow: notes what ran, and how much at a time."""

    def __init__(self, seconds: float = 0, failing: str = "") -> None:
        super().__init__(Path())
        self.order: list[str] = []
        self.events: list[str] = []
        self.devices: dict[str, str | None] = {}
        self.busiest = self._busy = 0
        self._seconds, self._failing, self._guard = seconds, failing, threading.Lock()

    def run(
        self,
        stage: str,
        log: Callable[[str], None],
        *,
        force: bool = False,
        environment: Mapping[str, str] | None = None,
        locks: Collection[int] = (),
    ) -> Outcome:
        with self._guard:
            self.devices[stage] = (environment or {}).get("CUDA_VISIBLE_DEVICES")
            self.order.append(stage)
            self.events.append(f"{stage} begins")
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        time.sleep(self._seconds)
        with self._guard:
            self.events.append(f"{stage} ends")
            self._busy -= 1
        if stage == self._failing:
            raise StageFailed(f"{stage}: broken")
        return Outcome.RAN


def work_of(recorder: Recorder, plan: Plan, limits: Limits, needs: Mapping[str, Needs]) -> Work:
    return Work(recorder, limits, {name: Needs() for name in plan.names} | dict(needs), frozenset(), None)


def run_with(
    recorder: Recorder, plan: Plan, limits: Limits, needs: Mapping[str, Needs] | None = None
) -> dict[str, State[Any]]:
    @flow(name="of a test", persist_result=False)
    def runner() -> Any:
        return [run_plan(plan, work_of(recorder, plan, limits, needs or {}))]

    (states,) = runner()
    return states


WIDE = Plan((Node("a"), Node("b", ("a",)), Node("c", ("a",)), Node("d", ("a",)), Node("e", ("b", "c", "d"))))


def test_tasks_and_edges_of_this_project_are_those_that_dvc_shows(
    empty_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").symlink_to(empty_repo / ".dvc")
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    write_params(tmp_path / "params.yaml", preset("quickstart"), "for a test")
    recorder = Recorder()
    monkeypatch.setattr("pipelines.flow.StageRunner", lambda root, **options: recorder)
    state = pipeline(tmp_path, return_state=True)
    assert state.is_completed()
    names, lines = dvc_graph(tmp_path)
    runs = recorded(state, len(names))
    assert set(runs) == names == set(recorder.order)
    assert edges(runs) == lines


def test_stages_run_after_their_upstreams_and_are_cached_the_second_time(repo: Repo) -> None:
    folder = repo(stages(d=("b c", "true"), b=("a", "true"), c=("a", "true"), a=("", "echo hello")))
    first = run(folder)
    assert first.is_completed()
    assert first.message == "4 stages: 4 ran, 0 up to date"
    assert order(folder) == ["a", "b", "c", "d"]
    second = run(folder)
    assert second.message == "4 stages: 0 ran, 4 up to date"
    assert order(folder) == ["a", "b", "c", "d"]
    runs = recorded(second, 4)
    assert {run["state_name"] for run in runs.values()} == {"Cached"}
    assert edges(runs) == {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}


def test_dvc_is_started_for_what_changed_and_below_it_alone(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = repo(stages(a=("", "true"), b=("a", "cat other"), c=("b", "true"), d=("a", "true")))
    (folder / "other").touch()
    assert run(folder).is_completed()
    (folder / "b.out").unlink()
    started: list[str] = []
    real = StageRunner.run

    def noted(self: StageRunner, stage: str, *arguments: Any, **options: Any) -> Outcome:
        started.append(stage)
        return real(self, stage, *arguments, **options)

    monkeypatch.setattr(StageRunner, "run", noted)
    state = run(folder)
    assert started == ["b", "c"]
    assert state.message == "4 stages: 0 ran, 4 up to date"
    assert (folder / "b.out").exists()


def test_a_failed_stage_gives_its_message_and_stops_what_depends_on_it_alone(repo: Repo) -> None:
    gate = "{ echo 'gate: error: row 3 has no label. Add one.' >&2; false; }"
    folder = repo(stages(a=("", "true"), gate=("a", gate), train=("gate", "true"), other=("a", "true")))
    state = run(folder)
    assert state.is_failed()
    assert state.message == "gate: error: row 3 has no label. Add one. (1 stage below not run)"
    assert order(folder) == ["a", "other"]
    runs = recorded(state, 4)
    names = {name: run["state_name"] for name, run in runs.items()}
    assert names == {"a": "Completed", "gate": "Failed", "train": "NotReady", "other": "Completed"}


def test_targets_and_force_choose_what_runs(repo: Repo) -> None:
    folder = repo(stages(a=("", "true"), b=("a", "true"), c=("a", "true")))
    assert run(folder, targets=["b"]).is_completed()
    assert order(folder) == ["a", "b"]
    assert run(folder, targets=["b"], force=True).message == "2 stages: 2 ran, 0 up to date"
    assert order(folder) == ["a", "b", "a", "b"]
    wrong = run(folder, targets=["x"])
    assert wrong.is_failed()
    assert "no stage named 'x'" in str(wrong.message)


def retried(state: State[Any], folder: Path, **options: Any) -> State[Any]:
    """The same flow run once more."""
    parameters = {"root": folder, "targets": None, "force": False, "limits": Limits()}
    return tried_again(pipeline, state, parameters | options)


@pytest.mark.slow
def test_a_retry_of_a_forced_run_forces_what_is_left_alone(repo: Repo) -> None:
    folder = repo(stages(a=("", "true"), b=("a", "true"), c=("b", "[ -e allowed ]"), d=("c", "true")))
    (folder / "allowed").touch()
    assert run(folder).is_completed()
    (folder / "allowed").unlink()
    (folder / "order").unlink()
    failed = run(folder, force=True)
    assert failed.is_failed()
    assert order(folder) == ["a", "b"]
    (folder / "allowed").touch()
    again = retried(failed, folder, force=True)
    assert again.message == "4 stages: 2 ran, 2 up to date"
    assert order(folder) == ["a", "b", "c", "d"]
    assert run(folder, force=True).message == "4 stages: 4 ran, 0 up to date"
    assert not list((folder / "data" / "runs").rglob("*forced*"))


def test_what_a_forced_run_had_done_runs_again_where_it_was_changed_since(repo: Repo) -> None:
    folder = repo(stages(a=("", "true"), b=("a", "[ -e allowed ]")))
    failed = run(folder, force=True)
    assert order(folder) == ["a"]
    (folder / "in").write_text("other")
    (folder / "allowed").touch()
    assert retried(failed, folder, force=True).message == "2 stages: 2 ran, 0 up to date"
    assert order(folder) == ["a", "a", "b"]


ENTRY = {
    "name": "sentences_given",
    "severity": "critical",
    "expected": "a text | no [MASK]",
    "observed": None,
    "unexpected_count": 3,
    "rows": 10,
    "frame": "sentences",
    "column": "text",
    "examples": [],
    "fix": "Look",
    "success": False,
}


def writes(path: str, value: Any) -> dict[str, Any]:
    """A stage that writes a JSON file."""
    return {"cmd": f"mkdir -p {Path(path).parent} && echo '{json.dumps(value)}' > {path}", "outs": [path]}


def test_what_the_stages_leave_is_shown_as_artifacts(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    board = "data/reports/report/scoreboard.md"
    page = "data/reports/report/report.html"
    report = {
        "cmd": f"mkdir -p data/reports/report && echo '| docs_qa | 0.5 |' > {board} && echo '<p>page' > {page}",
        "outs": [board, page],
    }
    entry = ENTRY | {"severity": "warning"}
    gate = {"gate": "gate_corpus", "passed": True, "statistics": {"documents": 3}, "expectations": [entry]}
    curve = [{"step": step, "mlm_loss": 7.0 - step, "nsp_loss": None} for step in range(3)]
    reports = "data/reports/pretrain"
    pretrain = writes(f"{reports}/curve.json", curve)
    pretrain["cmd"] += f" && cp {reports}/curve.json {reports}/validation_curve.json"
    gated = writes("data/gates/gate_corpus/report.json", gate)
    folder = repo({"gate_corpus": gated, "pretrain": pretrain, "report": report})
    made = shown(run(folder))
    assert set(made) == {"plan", "gate-corpus", "pre-training-mlm-loss", "scoreboard"}
    assert "report       to run: " in made["plan"]
    scores, _, link = made["scoreboard"].partition("\n")
    assert scores == "| docs_qa | 0.5 |"
    assert Path(link.strip().removeprefix("The report: ").strip("`")).read_text() == "<p>page\n"
    assert base64.b64decode(made["pre-training-mlm-loss"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert "0 of 1 expectations hold" in made["gate-corpus"]
    assert r"| **failed** | sentences given |  | a text \| no \[MASK\] | 3 | warning |" in made["gate-corpus"]
    (page,) = folder.glob("data/runs/pages/*/gate_corpus/data_docs/index.html")
    assert f"Data Docs: `{page}`" in made["gate-corpus"]
    monkeypatch.setenv("BERTLINE_PAGES_URL", "http://127.0.0.1:4201")
    again = shown(run(folder))
    assert re.search(
        r"\[Data Docs\]\(http://127.0.0.1:4201/pipeline-\w{8}/gate_corpus/data_docs/index.html\)", again["gate-corpus"]
    )


def test_a_failed_gate_is_shown_too_and_a_broken_report_fails_no_run(repo: Repo) -> None:
    gate = {"gate": "gate_corpus", "passed": False, "statistics": {}, "expectations": [ENTRY]}
    failing = writes("data/gates/gate_corpus/data_docs/report.json", gate)
    failing = {"cmd": failing["cmd"] + " && false", "outs": ["data/gates/gate_corpus/report.json"]}
    broken = writes("data/gates/gate_tokens/report.json", [1])
    state = run(repo({"gate_corpus": failing, "gate_tokens": broken}))
    assert "**gate_corpus: failed**, 0 of 1" in shown(state)["gate-corpus"]
    assert state.is_failed()
    assert "gate_tokens" not in str(state.message)


def test_a_gate_that_dies_before_its_verdict_shows_none_of_an_earlier_run(repo: Repo) -> None:
    """Whether the earlier run has passed or failed."""
    report = {"gate": "gate_corpus", "passed": True, "statistics": {}, "expectations": [ENTRY | {"success": True}]}
    path, docs = Path("data/gates/gate_corpus/report.json"), Path("data/gates/gate_corpus/data_docs/report.json")
    judge = f"mkdir -p {docs.parent} && cp verdict {docs} && if [ -e passes ]; then cp verdict {path}; else false; fi"
    gate = {"cmd": f"[ ! -e dies ] || kill -9 $$; {judge}", "deps": ["in"], "outs": [str(path)]}
    folder = repo({"gate_corpus": gate})
    for passed in (True, False):
        (folder / "passes").touch() if passed else (folder / "passes").unlink()
        (folder / "verdict").write_text(json.dumps(report | {"passed": passed}))
        (folder / "in").write_text(f"judged: {passed}")
        judged = shown(pipeline(folder, return_state=True))["gate-corpus"]
        assert judged.startswith(f"**gate_corpus: {'passed' if passed else 'failed'}**")
        (folder / "in").write_text(f"died: {passed}")
        (folder / "dies").touch()
        page = shown(pipeline(folder, return_state=True))["gate-corpus"]
        (folder / "dies").unlink()
        assert page.startswith("**gate_corpus: no verdict**. ")
        assert "expectations hold" not in page


def test_what_did_not_end_well_shows_no_result_and_what_did_not_begin_shows_nothing(repo: Repo) -> None:
    """A curve that lies there is of an earlier run."""
    folder = repo(stages(download=("", "true"), pretrain=("download", "false"), gate_pretrain=("pretrain", "true")))
    reports = folder / "data" / "reports" / "pretrain"
    reports.mkdir(parents=True)
    for name in ("curve", "validation_curve"):
        (reports / f"{name}.json").write_text(json.dumps([{"step": 1, "mlm_loss": 7.0}]))
    assert set(shown(run(folder))) == {"plan"}


def test_a_picture_of_a_transfer_is_drawn_from_its_own_curve(repo: Repo) -> None:
    curve = writes("data/reports/transfer/qa/curve.json", [{"step": 1, "transfer_loss": 0.5}])
    drawn = shown(run(repo({"transfer": {"foreach": ["qa"], "do": curve}})))
    assert set(drawn) == {"plan", "qa-transfer-loss"}


def test_a_gate_is_shown_again_with_its_data_docs_where_its_run_is_tried_again(repo: Repo) -> None:
    entries = [ENTRY | {"name": "sentences_held", "success": True}, ENTRY | {"severity": "warning"}]
    report = {"gate": "gate_corpus", "passed": True, "statistics": {}, "expectations": entries}
    gate = writes("data/gates/gate_corpus/report.json", report)
    gate["cmd"] += " && mkdir data/gates/gate_corpus/data_docs && cd data/gates/gate_corpus/data_docs"
    gate["cmd"] += " && cp ../report.json . && echo '<p>' > index.html"
    folder = repo({"gate_corpus": gate, **stages(below=("", "[ -e allowed ]"))})
    failed = run(folder)
    (folder / "allowed").touch()
    assert retried(failed, folder).is_completed()
    first, second = [each["data"] for each in records("artifacts", failed) if each["key"] == "gate-corpus"]
    assert first == second
    assert "1 of 2 expectations hold" in first
    assert first.index("sentences given") < first.index("sentences held"), "what failed comes first"
    (page,) = folder.glob("data/runs/pages/*/gate_corpus/data_docs/index.html")
    assert page.read_text() == "<p>\n"


def test_a_gate_that_is_restored_shows_its_own_data_docs_and_not_those_that_lie_there(repo: Repo) -> None:
    report = {"gate": "gate_corpus", "passed": True, "statistics": {}, "expectations": [ENTRY | {"success": True}]}
    folder = repo({"gate_corpus": writes("data/gates/gate_corpus/report.json", report)})
    other = folder / "data" / "gates" / "gate_corpus" / "data_docs"
    other.mkdir(parents=True)
    (other / "report.json").write_text(json.dumps(report | {"passed": False}))
    (other / "index.html").write_text("of another run")
    assert "gate_corpus: passed" in shown(run(folder))["gate-corpus"]
    (page,) = folder.glob("data/runs/pages/*/gate_corpus/data_docs/index.html")
    assert "of another run" not in page.read_text()


@pytest.mark.parametrize("cpu", [1, 2, 3])
def test_no_more_stages_than_cores_run_at_a_time(cpu: int) -> None:
    recorder = Recorder(seconds=0.4)
    states = run_with(recorder, WIDE, Limits(cpu=cpu))
    assert all(state.is_completed() for state in states.values())
    assert recorder.busiest == cpu
    assert recorder.order[0] == "a"
    assert recorder.order[-1] == "e"
    if cpu == 1:
        assert recorder.order == list(WIDE.names)


def test_a_stage_that_needs_all_cores_runs_alone_and_more_than_all_are_all() -> None:
    recorder = Recorder(seconds=0.3)
    run_with(recorder, Plan((Node("a"), Node("b"), Node("c"))), Limits(cpu=2), {"b": Needs(cpu=8)})
    events = recorder.events
    assert events[events.index("b begins") + 1] == "b ends"
    assert events.index("c begins") < events.index("a ends")


@pytest.mark.usefixtures("own_machine")
def test_stages_on_gpus_share_them_with_stages_on_cores_and_each_has_its_own() -> None:
    plan = Plan((Node("a"), Node("b"), Node("c"), Node("d")))
    on_gpu = {name: Needs(gpu=1) for name in "abc"}
    recorder = Recorder(seconds=0.4)
    run_with(recorder, plan, Limits(cpu=4, gpu=1), on_gpu)
    assert recorder.busiest == 2  # one of them, and d
    assert recorder.devices == {"a": "0", "b": "0", "c": "0", "d": None}
    recorder = Recorder(seconds=0.4)
    run_with(recorder, plan, Limits(cpu=4, gpu=2), on_gpu)
    assert {recorder.devices["a"], recorder.devices["b"]} == {"0", "1"}


@pytest.mark.usefixtures("own_machine")
@pytest.mark.slow
def test_two_runs_on_one_machine_take_turns_on_its_gpu_whatever_their_checkouts(
    make_repo: Callable[[Path, dict[str, Any]], Path], tmp_path: Path
) -> None:
    alone = (
        f"mkdir {tmp_path}/busy && echo $CUDA_VISIBLE_DEVICES >> {tmp_path}/devices && sleep 2 && rmdir {tmp_path}/busy"
    )
    checkouts = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        checkouts.append(make_repo(tmp_path / name, stages(pretrain=("", alone))))
        write_params(checkouts[-1] / "params.yaml", Params(pretrain=Pretrain(device="cuda")), "Of a test.")
    ended: list[State[Any]] = []
    runs = [threading.Thread(target=lambda root=root: ended.append(run(root))) for root in checkouts]  # type: ignore[misc]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert [state.message for state in ended] == ["1 stages: 1 ran, 0 up to date"] * 2
    assert (tmp_path / "devices").read_text() == "0\n0\n"


@pytest.mark.usefixtures("own_machine")
def test_a_stage_that_waits_for_a_gpu_as_the_run_is_stopped_never_begins() -> None:
    recorder = Recorder()
    with ExitStack() as held:
        held.enter_context(hold_gpus(1, 1, lambda: False, print))
        threading.Timer(1, recorder.stop_all).start()
        late = threading.Timer(20, held.close)  # or else a run that waits on would wait for ever
        late.start()
        states = run_with(recorder, Plan((Node("a"),)), Limits(), {"a": Needs(gpu=1)})
        late.cancel()
    assert (states["a"].is_failed(), states["a"].message, recorder.order) == (True, "a: stopped", [])


def test_a_stage_that_crashed_fails_the_run() -> None:
    state = verdict({"a": Completed(), "b": Crashed(message="b: its task was ended")})
    assert (state.is_failed(), state.message) == (True, "b: its task was ended")


def test_the_runs_of_a_schedule_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ("01a2279e-4028-741e-a986-06169d9ddb2d", "01a2279e-4028-7271-8a8b-ef2b1ad3f46e")  # by one server, in one go
    names = set()
    for run_id in made:
        monkeypatch.setattr("prefect.runtime.flow_run.id", run_id, raising=False)
        names.add(run_name("retrain"))
    assert len(names) == 2


def test_a_stage_that_waits_for_its_upstream_keeps_no_core_from_another() -> None:
    recorder = Recorder(seconds=1)
    run_with(recorder, Plan((Node("a"), Node("b", ("a",)), Node("c"))), Limits(cpu=2))
    assert recorder.events.index("c begins") < recorder.events.index("a ends")


def test_a_download_is_tried_again_and_a_gate_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RETRIES, "download", [0.1, 0.1])
    plan = Plan((Node("download"), Node("gate_corpus")))
    recorder = Recorder(failing="download")
    assert run_with(recorder, plan, Limits())["download"].is_failed()
    assert recorder.order == ["download"] * 3 + ["gate_corpus"]
    recorder = Recorder(failing="gate_corpus")
    assert run_with(recorder, plan, Limits())["gate_corpus"].is_failed()
    assert recorder.order == ["download", "gate_corpus"]


def test_a_download_that_was_stopped_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RETRIES, "download", [0.1, 0.1])
    recorder = Recorder(failing="download")
    recorder.stop_all()
    assert run_with(recorder, Plan((Node("download"),)), Limits())["download"].is_failed()
    assert recorder.order == ["download"]


def test_nothing_below_a_failure_runs_however_far_below() -> None:
    chain = in_order(["a", "b", "c", "d"], {"a": set(), "b": {"a"}, "c": {"b"}, "d": {"c"}})
    recorder = Recorder(failing="b")
    states = run_with(recorder, chain, Limits())
    assert recorder.order == ["a", "b"]
    assert [state.name for state in states.values()] == ["Completed", "Failed", "NotReady", "NotReady"]


def start(folder: Path, server: str, *arguments: str, under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start the flow as a program, as a user does."""
    (folder / "in").touch()
    return subprocess.Popen(
        [*under, sys.executable, "-m", "pipelines.flow", "--root", str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, "PREFECT_API_URL": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_flow_alone_ends_every_process_of_its_stage(
    repo: Repo, prefect_server: str, number: signal.Signals, tmp_path: Path
) -> None:
    marker = str(tmp_path / "trainer")
    program = "import os, sys, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    folder = repo(stages(a=("", "true"), train=("a", f'python -c "{program}" {marker}'), below=("train", "true")))
    process = start(folder, prefect_server)
    deadline = time.monotonic() + 60
    while not (folder / "pid").exists() or not (folder / "pid").read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the stage has not begun"
        time.sleep(0.1)
    trainer = psutil.Process(int((folder / "pid").read_text()))
    family = [trainer, *trainer.parents()[:2]]  # the trainer, the shell, dvc
    assert any("dvc" in " ".join(member.cmdline()) for member in family)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
    assert order(folder) == ["a"]


@pytest.mark.usefixtures("own_machine")
def test_no_other_run_gets_the_gpu_of_a_killed_flow_before_its_stage_has_ended(repo: Repo, prefect_server: str) -> None:
    """Its messages go to a file: nobody reads the pipe any more."""
    save = "touch saving; while [ ! -e allowed ]; do sleep 0.1; done; exit 143"
    folder = repo(
        stages(pretrain=("", f"exec 2> errors; trap '{save}' TERM; touch begun; while true; do sleep 0.1; done"))
    )
    write_params(folder / "params.yaml", Params(pretrain=Pretrain(device="cuda")), "Of a test.")

    def free() -> bool:
        try:
            with hold_gpus(1, 1, lambda: False, print):
                return True
        except InterruptedError:
            return False

    process = start(folder, prefect_server)
    wait_for((folder / "begun").exists, 60, "the stage runs")
    process.kill()
    process.wait()
    wait_for((folder / "saving").exists, 20, "the stage is asked to end")
    assert not free()
    (folder / "allowed").touch()
    wait_for(free, 20, "the stage has ended")


@pytest.mark.slow
def test_a_flow_that_nohup_started_outlives_its_terminal(repo: Repo, prefect_server: str) -> None:
    folder = repo(stages(a=("", "touch begun && while [ ! -e allowed ]; do sleep 0.1; done")))
    process = start(folder, prefect_server, under=("nohup",))
    wait_for((folder / "begun").exists, 120, "the stage runs")
    process.send_signal(signal.SIGHUP)
    time.sleep(3)  # an end would take less
    (folder / "allowed").touch()
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, order(folder)) == (0, ["a"]), output + errors


@pytest.mark.slow
def test_the_program_tells_success_and_failure_by_its_exit_status_and_one_line(repo: Repo, prefect_server: str) -> None:
    folder = repo(stages(a=("", "true"), b=("a", "[ -e allowed ]")))
    failed = start(folder, prefect_server)
    _, errors = failed.communicate()
    assert failed.returncode == 1
    assert errors.splitlines()[-1].startswith("pipeline: error: b: failed to reproduce")
    (folder / "allowed").touch()
    passed = start(folder, prefect_server)
    output, _ = passed.communicate()
    assert passed.returncode == 0
    assert output.splitlines()[-1] == "pipeline: 2 stages: 1 ran, 1 up to date"


def test_a_wrong_target_is_refused_before_any_server_is_asked(repo: Repo) -> None:
    folder = repo(stages(a=("", "true")))
    process = start(folder, "http://127.0.0.1:9/api", "--targets", "zzz")
    output, errors = process.communicate()
    assert (process.returncode, output) == (1, "")
    assert errors == "pipeline: error: dvc.yaml: no stage named 'zzz'. Choose from: a.\n"


def test_a_server_that_does_not_answer_is_one_line_without_its_password(repo: Repo) -> None:
    folder = repo(stages(a=("", "true")))
    process = start(folder, "http://me:geheim@127.0.0.1:9/api")
    output, errors = process.communicate()
    assert (process.returncode, output) == (1, "")
    assert errors.startswith("pipeline: error: http://me:***@127.0.0.1:9/api: no Prefect server answers. Start that")
    assert errors.count("\n") == 1
    assert order(folder) == []


def test_a_lock_of_dvc_that_is_left_behind_is_named_with_what_to_do(repo: Repo) -> None:
    folder = repo(stages(a=("", "true")))
    (folder / "in").touch()
    lock = folder / ".dvc" / "tmp" / "rwlock"
    lock.write_text("")  # as a full disk leaves it
    state = run(folder)
    assert state.is_failed()
    assert "RWLock" in str(state.message) and str(state.message).endswith("rm .dvc/tmp/rwlock.")
    holder = {"pid": os.getpid(), "cmd": "dvc repro"}  # a number that another program has by now
    lock.write_text(json.dumps({"write": {str(folder / "a.out"): holder}, "read": {}}))
    state = run(folder)
    assert state.is_failed()
    assert "is busy, it is being blocked by" in str(state.message)
    assert str(state.message).endswith("if it is no DVC: rm .dvc/tmp/rwlock.")
    lock.unlink()
    assert run(folder).is_completed()


@pytest.mark.slow
def test_without_a_server_a_temporary_one_records_the_run_and_ends_with_it(repo: Repo, tmp_path: Path) -> None:
    folder = repo(stages(a=("", "true")))
    (folder / "in").touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = tmp_path / "prefect-home"
    result = subprocess.run(
        [sys.executable, "-m", "pipelines.flow", "--root", str(folder)],
        cwd=ROOT,
        env={**environment, "PREFECT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "pipeline: 1 stages: 1 ran" in result.stdout
    assert (home / "prefect.db").exists()
    left = [process.info["environ"] or {} for process in psutil.process_iter(["environ"])]
    assert str(home) not in [environ.get("PREFECT_HOME") for environ in left]
