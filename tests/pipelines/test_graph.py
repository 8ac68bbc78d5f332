"""The plan is DVC's graph: the same stages, the same edges, in an order that works."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.base.errors import BertlineError
from bertline.base.files import exclusive_lock
from bertline.base.params import parse_params, read_yaml, write_params
from checkout import ROOT, dvc_graph, preset, run_in
from pipelines.graph import find_leftovers, read_plan, read_plan_and_changes
from pipelines.leftovers import broken_off, remove_leftovers
from pipelines.plan import Plan, in_order

Repo = Callable[[dict[str, Any]], Path]

DOCS = {
    "download": set(),
    "vocab": {"download"},
    "task@a": {"download"},
    "task@b": {"download"},
    "finetune@a": {"vocab", "task@a"},
    "finetune@b": {"vocab", "task@b"},
    "report": {"finetune@a", "finetune@b", "vocab"},
}
PLAN = in_order(list(DOCS), DOCS)


Graph = tuple[list[str], dict[str, set[str]]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Stage names in any order, and upstreams without circles."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 8)))]
    upstreams = {name: draw(st.sets(st.sampled_from(names[:place]))) for place, name in enumerate(names) if place}
    return draw(st.permutations(names)), {names[0]: set(), **upstreams}


def edges_of(plan: Plan) -> set[tuple[str, str]]:
    """(upstream, stage) pairs."""
    return {(upstream, node.name) for node in plan.nodes for upstream in node.upstreams}


def reachable(edges: set[tuple[str, str]], start: str) -> set[str]:
    found, open_ends = set(), {start}
    while open_ends:
        open_ends = {below for above, below in edges if above in open_ends} - found
        found |= open_ends
    return found


def mermaid_edges(plan: Plan) -> set[tuple[str, str]]:
    text = plan.mermaid()
    names = dict(re.findall(r'^  (\w+)\["(.+)"\]$', text, re.MULTILINE))
    return {(names[above], names[below]) for above, below in re.findall(r"^  (\w+) --> (\w+)$", text, re.MULTILINE)}


def test_stages_and_edges_of_this_project_are_those_that_dvc_shows(empty_repo: Path, tmp_path: Path) -> None:
    (tmp_path / ".dvc").symlink_to(empty_repo / ".dvc")
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    write_params(tmp_path / "params.yaml", preset("quickstart"), "for a test")
    plan = read_plan(tmp_path)
    assert (set(plan.names), edges_of(plan)) == dvc_graph(tmp_path)
    assert plan.names[0] == "download"
    assert plan.names.index("task@docs_qa") < plan.names.index("documents") < plan.names.index("gate_corpus")
    assert {"finetune@docs_qa", "evaluate@docs_qa"} < set(plan.names)


@given(graphs())
def test_every_stage_comes_after_its_upstreams_and_nothing_is_lost(graph: Graph) -> None:
    stages, upstreams = graph
    plan = in_order(stages, upstreams)
    assert sorted(plan.names) == sorted(stages)
    assert edges_of(plan) == {(above, name) for name, above_all in upstreams.items() for above in above_all}
    for node in plan.nodes:
        assert set(node.upstreams) <= set(plan.names[: plan.names.index(node.name)])


def test_stages_keep_the_order_of_dvc_yaml_where_the_graph_allows_it() -> None:
    assert PLAN.names == tuple(DOCS)
    assert in_order(["b", "a"], {"a": set(), "b": set()}).names == ("b", "a")
    assert in_order(["b", "a", "c"], {"a": set(), "b": {"a"}, "c": set()}).names == ("a", "b", "c")
    below = list("zfbeca")
    assert in_order(below, {"z": set("abcef"), **{name: set() for name in "abcef"}}).names == tuple("fbecaz")


@given(graphs())
def test_the_picture_leaves_out_implied_edges_only(graph: Graph) -> None:
    plan = in_order(*graph)
    shown = mermaid_edges(plan)
    assert shown <= edges_of(plan)
    for name in plan.names:
        assert reachable(shown, name) == reachable(edges_of(plan), name)
    for edge in shown:
        assert edge[1] not in reachable(shown - {edge}, edge[0]), "an implied edge is drawn"


def test_targets_select_stages_or_groups_with_all_that_leads_to_them() -> None:
    assert PLAN.up_to(["finetune@a"]).names == ("download", "vocab", "task@a", "finetune@a")
    assert PLAN.up_to(["finetune"]).names == tuple(DOCS)[:-1]
    assert PLAN.up_to(["vocab", "task@b"]).names == ("download", "vocab", "task@b")
    assert PLAN.up_to([]) == PLAN


def test_an_unknown_target_is_refused_with_the_stage_that_was_meant() -> None:
    with pytest.raises(BertlineError, match=r"no stage named 'finetune@aa'.*Did you mean 'finetune@a'"):
        PLAN.up_to(["finetune@aa"])
    with pytest.raises(BertlineError, match="Choose from: download, vocab"):
        PLAN.up_to(["xyz"])


def test_a_folder_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(BertlineError, match=f"{tmp_path}: not a DVC repository"):
        read_plan(tmp_path)


def test_a_broken_dvc_yaml_is_one_line(repo: Repo) -> None:
    folder = repo({})
    (folder / "dvc.yaml").write_text("stages:\n  a: {cmd: [\n")
    with pytest.raises(BertlineError) as raised:
        read_plan(folder)
    assert "dvc.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_of_a_dvc_lock_that_git_could_not_merge_it_is_said_how_to_go_on(repo: Repo) -> None:
    folder = repo({"a": {"cmd": "echo > a", "outs": ["a"]}})
    assert run_in(folder, "dvc", "repro").returncode == 0
    lock = (folder / "dvc.lock").read_text()
    (folder / "dvc.lock").write_text(f"<<<<<<< HEAD\n{lock}=======\n{lock}>>>>>>> other\n")
    with pytest.raises(BertlineError, match=r"dvc\.lock: .*corrupted\. In a merge take one side, `git checkout --ours"):
        read_plan(folder)


def test_a_section_that_params_yaml_lacks_and_dvc_yaml_goes_through_is_named_with_what_to_write(repo: Repo) -> None:
    folder = repo({})
    (folder / "dvc.yaml").write_text("stages:\n  transfer:\n    foreach: ${transfer}\n    do: {cmd: 'true'}\n")
    with pytest.raises(BertlineError, match=r"params\.yaml: no section 'transfer'\. Write `transfer: \{\}` there"):
        read_plan(folder)


@pytest.mark.parametrize("left", ["tasks:\n", "tasks: null\n", "tasks: 3\n"])
def test_a_section_with_nothing_in_it_is_blamed_on_params_yaml(left: str, repo: Repo) -> None:
    folder = repo({})
    (folder / "dvc.yaml").write_text("stages:\n  evaluate:\n    foreach: ${tasks}\n    do: {cmd: 'true'}\n")
    (folder / "params.yaml").write_text(left)
    with pytest.raises(BertlineError, match=r"params\.yaml: no section 'tasks'\. Write `tasks: \{\}` there"):
        read_plan(folder)


def test_what_dvc_says_is_told_to_its_end(repo: Repo) -> None:
    with pytest.raises(BertlineError) as refused:
        read_plan(repo({name: {"cmd": "true", "outs": ["folder/" * 60 + "out"]} for name in ("first", "second")}))
    assert {"first", "second"} <= set(re.findall(r"\w+", refused.value.what))


CHAIN = in_order(["a", "b", "c", "d"], {"a": set(), "b": {"a"}, "c": {"b"}, "d": {"a"}})


def test_what_is_up_to_date_reads_from_nothing_that_changed() -> None:
    assert CHAIN.up_to_date({}) == {"a", "b", "c", "d"}
    assert CHAIN.up_to_date({"b": ("in modified",)}) == {"a", "d"}
    assert CHAIN.up_to_date({"a": ("in modified",)}) == set()
    assert CHAIN.forecast({"b": ("1", "2", "3", "4", "5")}) == {
        "a": "up to date",
        "b": "to run: 1, 2, 3 and 2 more",
        "c": "after b",
        "d": "up to date",
    }


def test_changes_are_those_that_dvc_repro_acts_on(repo: Repo) -> None:
    stages = {
        "a": {"cmd": "cp in a", "deps": ["in"], "params": ["x.y"], "outs": ["a"]},
        "b": {"cmd": "cp a b", "deps": ["a"], "outs": ["b"]},
        "c": {"cmd": "echo c > c", "outs": ["c"]},
    }
    folder = repo(stages)
    (folder / "in").touch()
    (folder / "params.yaml").write_text("x: {y: 1}\n")
    assert read_plan_and_changes(folder)[1] == dict.fromkeys("abc", ("not in dvc.lock yet",))
    assert run_in(folder, "dvc", "repro").returncode == 0
    assert read_plan_and_changes(folder)[1] == {}
    (folder / "in").write_text("2")
    (folder / "params.yaml").write_text("x: {y: 2}\n")
    (folder / "c").unlink()
    plan, changes = read_plan_and_changes(folder)
    assert changes == {"a": ("in modified", "x.y modified"), "c": ("c deleted",)}
    assert plan.up_to_date(changes) == frozenset()
    assert read_plan_and_changes(folder, ["c"])[1] == {"c": ("c deleted",)}
    assert run_in(folder, "dvc", "repro").returncode == 0
    (folder / "dvc.yaml").write_text((folder / "dvc.yaml").read_text().replace("echo c", "echo again"))
    assert read_plan_and_changes(folder)[1] == {"c": ("changed command",)}


def test_what_was_made_for_another_size_of_the_vocabulary_is_not_restored(repo: Repo) -> None:
    """DVC's run-cache does not look at options called size or nfiles, which it takes for those of files."""
    ours = read_yaml(ROOT / "dvc.yaml")["stages"]
    reading = {name: stage["params"] for name, stage in ours.items() if "vocab" in stage.get("params", [])}
    assert reading.keys() == {"vocab", "gate_tokens"}
    folder = repo(
        {
            name: {"cmd": f"cp params.yaml {name}", "deps": ["in"], "params": params, "outs": [name]}
            for name, params in reading.items()
        }
    )
    (folder / "in").write_text("text")
    for size in (1024, 2048):
        preset = parse_params({"tasks": {}, "vocab": {"size": size}}, "params.yaml")
        write_params(folder / "params.yaml", preset, "")
        done = run_in(folder, "dvc", "repro")
        assert done.returncode == 0, done.stderr
    assert [read_yaml(folder / name)["vocab"]["size"] for name in reading] == [2048, 2048]


def test_reading_the_changes_waits_for_no_stage_that_runs(repo: Repo) -> None:
    folder = repo({"a": {"cmd": "touch began; while [ ! -e go ]; do sleep 0.05; done; echo > a", "outs": ["a"]}})
    with subprocess.Popen([sys.executable, "-m", "dvc", "repro"], cwd=folder, stdout=subprocess.DEVNULL) as dvc:
        try:
            while not (folder / "began").exists():
                assert dvc.poll() is None
                time.sleep(0.05)
            assert read_plan_and_changes(folder)[1] == {"a": ("another run is writing its files",)}
        finally:
            (folder / "go").touch()
    assert read_plan_and_changes(folder)[1] == {}


def test_the_command_prints_what_a_run_would_do_and_says_in_one_line_what_is_wrong(repo: Repo) -> None:
    folder = repo({"a": {"cmd": "echo > a", "outs": ["a"]}, "b": {"cmd": "cat a > b", "deps": ["a"], "outs": ["b"]}})
    assert run_in(folder, "dvc", "repro", "a").returncode == 0

    plan = ("python", "-m", "pipelines.graph", "--root", str(folder))
    assert run_in(ROOT, *plan).stdout.splitlines() == ["a  up to date", "b  to run: not in dvc.lock yet"]
    picture = run_in(ROOT, *plan, "--mermaid").stdout
    assert "s0 --> s1" in picture
    assert picture.endswith("  class s0 settled\n")
    wrong = run_in(ROOT, *plan, "c")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (1, 1)
    full = run_in(ROOT, "sh", "-c", '"$@" > /dev/full', "sh", *plan)
    assert full.returncode != 0 and "Traceback" not in full.stderr
    assert full.stderr.startswith("error: disk: No space left on device.")


def test_a_lock_is_checked_without_its_data_and_what_does_not_fit_is_named(repo: Repo) -> None:
    folder = repo(
        {
            "a": {"cmd": "mkdir -p d && cat in > d/a", "deps": ["in"], "outs": ["d/a"]},
            "b": {"cmd": "cat d/a > b", "deps": ["d/a"], "outs": ["b"]},
            "c": {"cmd": "ls d > c", "deps": ["d", "b"], "metrics": [{"c": {"cache": False}}]},
        }
    )
    (folder / "in").write_text("1")
    assert run_in(folder, "dvc", "repro").returncode == 0
    shutil.rmtree(folder / ".dvc" / "cache")  # as in a fresh clone
    (folder / "d" / "a").unlink()
    (folder / "b").unlink()

    def checked() -> str:
        done = run_in(ROOT, "python", "-m", "pipelines.graph", "--root", str(folder), "--check")
        assert done.returncode == int(bool(done.stderr))
        return done.stderr

    assert checked() == ""
    lock = (folder / "dvc.lock").read_text()
    first, second, rest = lock.partition("  b:")
    (folder / "dvc.lock").write_text(first + second + re.sub(r"md5: \w+", f"md5: {'a' * 32}", rest, count=1))
    assert "out of date: b (d/a modified)." in checked()
    (folder / "dvc.lock").write_text(lock)
    (folder / "c").write_text("by hand")
    assert "out of date: c (c modified)." in checked()
    (folder / "c").write_text("a\n")
    (folder / "in").write_text("2")
    assert "out of date: a (in modified)." in checked()


def test_what_a_task_that_was_taken_out_has_left_is_named_and_fails_the_check(repo: Repo) -> None:
    made = {
        "cmd": "mkdir -p data/tasks/${key} data/sources && echo 1 > data/tasks/${key}/rows",
        "outs": ["data/tasks/${key}/rows"],
    }
    read = {"cmd": "ls data/tasks > all", "deps": ["data/tasks", "data/sources"], "outs": ["all"]}
    folder = repo({"task": {"foreach": "${tasks}", "do": made}, "all": read})
    (folder / "params.yaml").write_text("tasks: {a: {}, b: {}}")
    (folder / ".dvcignore").write_text(".gitkeep\n")
    for name in ("tasks/.gitkeep", "sources/mine.csv"):
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).touch()
    assert run_in(folder, "dvc", "repro").returncode == 0
    plan = ("python", "-m", "pipelines.graph", "--root", str(folder))
    assert run_in(ROOT, *plan, "--check").returncode == 0
    (folder / "data" / "tasks" / "nothing" / "in it").mkdir(parents=True)  # DVC sees no folder
    (folder / "params.yaml").write_text("tasks: {a: {}}")
    assert run_in(folder, "dvc", "repro").returncode == 0
    refused = run_in(ROOT, *plan, "--check")
    assert refused.returncode == 1 and "depends on data/tasks/b, which no stage makes" in refused.stderr
    (folder / "data" / "tasks" / "my notes").touch()
    assert "rm -r data/tasks/b 'data/tasks/my notes'\n" in run_in(ROOT, *plan).stderr
    (folder / "data" / "tasks" / "my notes").unlink()
    shutil.rmtree(folder / "data" / "tasks" / "b")
    assert run_in(folder, "dvc", "repro").returncode == 0
    assert run_in(ROOT, *plan, "--check").returncode == 0


def test_pre_training_that_was_broken_off_is_named_with_what_it_takes(repo: Repo) -> None:
    """Other parameters are another run: what this one has begun would stay unseen."""
    root = repo({})
    for name, checkpoint in (("left", True), ("going on", True), ("finished", False)):
        run = root / "data" / "runs" / "pretrain" / name
        (run / "step-40").mkdir(parents=True) if checkpoint else run.mkdir(parents=True)
        (run / "lock").write_text("process 1 on a host\n")
    (root / "data" / "runs" / "pretrain" / "left" / "step-40" / "model.safetensors").write_bytes(bytes(3 << 20))
    with exclusive_lock(root / "data" / "runs" / "pretrain" / "going on" / "lock", "pre-training"):
        assert broken_off(root) == ["data/runs/pretrain/left (3 MiB)"]
        plan = ("python", "-m", "pipelines.graph", "--root", str(root))
        told = run_in(ROOT, *plan)
        assert told.stderr.splitlines() == [
            "pre-training that was broken off: data/runs/pretrain/left (3 MiB) goes on when its parameters come back;"
            " else remove it"
        ]
        assert not run_in(ROOT, *plan, "--mermaid").stderr


def test_where_no_task_is_left_the_folders_that_stages_read_stay(repo: Repo) -> None:
    made = {"cmd": "echo 1 > data/reports/evaluate/${key}", "outs": ["data/reports/evaluate/${key}"]}
    scores = {"cmd": "ls data/reports/evaluate > scores", "deps": ["data/reports/evaluate"], "outs": ["scores"]}
    report = {"cmd": "ls data/reports > all", "deps": ["data/reports"], "outs": ["all"]}
    folder = repo({"task": {"foreach": "${tasks}", "do": made}, "scores": scores, "report": report})
    (folder / "params.yaml").write_text("tasks: {a: {}, b: {}}")
    (folder / "data" / "reports" / "evaluate").mkdir(parents=True)
    assert run_in(folder, "dvc", "repro").returncode == 0
    (folder / "params.yaml").write_text("tasks: {}")
    assert find_leftovers(folder) == ["data/reports/evaluate/a", "data/reports/evaluate/b"]
    remove_leftovers(folder, find_leftovers(folder))
    assert run_in(folder, "dvc", "repro").returncode == 0
    assert find_leftovers(folder) == []


def test_bertline_plan_works_from_any_folder_of_the_checkout() -> None:
    shown = run_in(ROOT / "src", "bertline", "plan", "gate_tokens")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0].split()[0] == "download"
    assert shown.stdout.splitlines()[-1].split()[0] == "gate_tokens"
    wrong = run_in(ROOT, "bertline", "plan", "gate_toke")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == "error: dvc.yaml: no stage named 'gate_toke'. Did you mean 'gate_tokens'.\n"
