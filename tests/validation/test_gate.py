"""A gate as such: severity, the report's bytes, what the error says, Data Docs, silence."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any, get_args

import pandas as pd
import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind, Params
from bertline.base.errors import BertlineError
from bertline.base.files import read_json
from bertline.base.gate_config import GateTask
from bertline.validation import data_docs
from bertline.validation.checks import Check, between, none, one_of, rows, unique
from bertline.validation.frames import Frame, summary
from bertline.validation.gate import run_gate
from bertline.validation.suites import corpus_suite, pretrain_suite, task_suite, tokens_suite

THINGS = Frame(
    pd.DataFrame({"name": ["a", "b", "c", "d", "e"], "size": [1, 2, 30, 40, 50], "group": ["x", "x", "y", "<i>", "x"]}),
    "name",
)
FRAMES = {"things": THINGS, "whole": summary({"share": 0.12345678, "count": 5}, {"share": ['"first"', '"second"']})}


def gate(artifacts: Artifacts, *checks: Check) -> dict:
    return run_gate("gate_task/T", artifacts, FRAMES, checks, data="data/tasks/T", statistics={"share": 1 / 3})


def test_a_failed_critical_expectation_tells_count_three_examples_and_the_fix(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    with pytest.raises(BertlineError) as raised:
        gate(artifacts, between("sizes_are_small", "things.size", 0, 1, "Use smaller things"))
    message = str(raised.value)
    assert message.startswith("data/tasks/T: expectation sizes_are_small failed: size must be between 0 and 1")
    assert "4 of 5 rows are not, for example b: 2; c: 30; d: 40." in message
    assert "Use smaller things" in message
    assert str(artifacts.gate("gate_task/T") / "data_docs" / "index.html") in message


def test_a_figure_of_the_whole_is_told_with_its_examples(tmp_path: Path) -> None:
    with pytest.raises(BertlineError, match=r'found 0\.123457, for example "first"; "second"'):
        gate(Artifacts(tmp_path), between("share_is_low", "whole.share", 0, 0.1, "Lower it"))


def test_all_failed_expectations_are_named_the_first_one_first(tmp_path: Path) -> None:
    checks = [
        unique("names_are_unique", "things.name", "…"),
        one_of("groups_are_known", "things.group", ["x", "y"], "Name the group"),
        between("share_is_low", "whole.share", 0, 0.1, "Lower it"),
    ]
    with pytest.raises(BertlineError, match=r"expectation groups_are_known failed.*failed too: share_is_low\. Name"):
        gate(Artifacts(tmp_path), *checks)


def test_a_failed_warning_does_not_stop_and_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = Artifacts(tmp_path)
    report = gate(artifacts, between("sizes_are_small", "things.size", 0, 1, "Use smaller things", severity="warning"))
    out, err = capsys.readouterr()
    assert report["passed"] and artifacts.gate_report("gate_task/T").exists()
    assert out == ""
    assert re.fullmatch(r"gate_task/T: warning: data/tasks/T: sizes_are_small failed: .*\. Use smaller things\.\n", err)


def test_a_share_of_rows_may_be_let_off(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    gate(artifacts, between("most_are_small", "things.size", 0, 30, "…", mostly=0.6))
    with pytest.raises(BertlineError, match="in 80 % of the rows"):
        gate(artifacts, between("most_are_small", "things.size", 0, 30, "…", mostly=0.8))


def test_the_report_is_the_same_bytes_each_time_without_times_or_ids(tmp_path: Path) -> None:
    checks = [
        unique("names_are_unique", "things.name", "…"),
        between("sizes_are_small", "things.size", 0, 1, "…", severity="warning"),
        rows("there_are_rows", "things", 3, "…"),
        between("share_is_low", "whole.share", 0, 0.5, "…"),
    ]
    for place in ("one", "two"):
        gate(Artifacts(tmp_path / place), *checks)
    first, second = (Artifacts(tmp_path / place).gate_report("gate_task/T").read_bytes() for place in ("one", "two"))
    assert first == second
    report = json.loads(first)
    assert report["statistics"] == {"share": 0.333333}
    names = ["names_are_unique", "sizes_are_small", "there_are_rows", "share_is_low"]
    assert [entry["name"] for entry in report["expectations"]] == names
    assert report["expectations"][1] == {
        "name": "sizes_are_small",
        "expectation": "expect_column_values_to_be_between",
        "frame": "things",
        "column": "size",
        "expected": "between 0 and 1",
        "severity": "warning",
        "success": False,
        "observed": None,
        "unexpected_count": 4,
        "rows": 5,
        "examples": ["b: 2", "c: 30", "d: 40"],
        "fix": "…",
    }
    assert [entry["observed"] for entry in report["expectations"][2:]] == [5, 0.123457]
    assert not re.search(rb"\d{4}-\d\d-\d\d|[0-9a-f]{8}-[0-9a-f]{4}", first)


def test_a_figure_that_is_no_number_is_a_word_in_the_report(tmp_path: Path) -> None:
    figures = {"loss": float("nan"), "length": float("inf")}
    check = rows("there_are_rows", "things", 5, "…")
    run_gate("g", Artifacts(tmp_path), FRAMES, [check], data="d", statistics=figures)
    report = json.loads(Artifacts(tmp_path).gate_report("g").read_text(), parse_constant=pytest.fail)
    assert report["statistics"] == {"loss": "nan", "length": "inf"}


def test_another_threshold_changes_the_report_and_not_the_file_that_later_stages_depend_on(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    found = []
    for least in (4, 5):
        gate(artifacts, rows("there_are_rows", "things", least, "…"))
        found.append(
            (artifacts.gate_report("gate_task/T").read_bytes(), artifacts.gate_passed("gate_task/T").read_bytes())
        )
    (report, passed), (other_report, other_passed) = found
    assert report != other_report
    assert passed == other_passed


def test_a_failed_gate_leaves_no_report_for_the_pipeline_but_one_for_people(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    gate(artifacts, rows("there_are_rows", "things", 5, "…"))
    assert artifacts.gate_report("gate_task/T").exists()
    assert artifacts.gate_passed("gate_task/T").exists()
    with pytest.raises(BertlineError, match="rows must be at least 6 rows, found 5"):
        gate(artifacts, rows("there_are_rows", "things", 6, "…"))
    assert not artifacts.gate_report("gate_task/T").exists()
    assert not artifacts.gate_passed("gate_task/T").exists()
    report = json.loads((artifacts.gate("gate_task/T") / "data_docs" / "report.json").read_text())
    assert report["passed"] is False


def test_an_expectation_that_cannot_be_evaluated_fails(tmp_path: Path) -> None:
    with pytest.raises(BertlineError, match=r"sizes_are_there failed.*does not exist"):
        gate(Artifacts(tmp_path), between("sizes_are_there", "things.weight", 0, 1, "…"))


def test_what_is_absent_is_named_rather_than_passed_over(tmp_path: Path) -> None:
    frames = {"whole": summary({"loss": float("nan"), "accuracy": None, "steps": 3})}
    with pytest.raises(BertlineError, match="missing must be none, found loss, accuracy"):
        run_gate("g", Artifacts(tmp_path), frames, [none("all_there", "whole.missing", "…")], data="d", statistics={})


def test_data_docs_open_offline_and_show_data_as_text(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    stale = artifacts.gate("gate_task/T") / "data_docs" / "stale.html"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier run")
    with pytest.raises(BertlineError):
        gate(
            artifacts,
            one_of("groups_are_known", "things.group", ["x", "y"], "Name the group"),
            between("share_is_low", "whole.share", 0, 0.5, "Lower it"),
        )
    page = (stale.parent / "index.html").read_text()
    overview = (artifacts.gate("") / "index.html").read_text()
    assert [path.name for path in stale.parent.glob("*.html")] == ["index.html"]
    for text in (page, overview):
        assert not re.search(r"https?://|<script|<link|\ssrc=|url\(", text), "nothing is fetched"
        assert "<i>" not in text
    assert "Groups are known" in page and "<b>What to do:</b> Name the group." in page
    assert "d: &#34;&lt;i&gt;&#34;" in page
    assert page.index("Groups are known") < page.index("Share is low"), "what failed comes first"
    assert (stale.parent / re.findall(r'href="([^"]+)"', page)[0]).resolve() == artifacts.gate(
        ""
    ).resolve() / "index.html"
    assert (artifacts.gate("") / re.findall(r'href="([^"#]+)"', overview)[0]).samefile(stale.parent / "index.html")


def test_the_overview_shows_every_gate_in_the_order_of_the_pipeline(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    check = rows("there_are_rows", "things", 5, "…")
    doubtful = between("share_is_low", "whole.share", 0, 0.1, "Lower it", severity="warning")
    for name in ("gate_task/a", "gate_pretrain", "gate_tokens", "gate_corpus"):
        run_gate(name, artifacts, FRAMES, [check, doubtful], data="d", statistics={})
    overview = (artifacts.gate("") / "index.html").read_text()
    links = re.findall(r'href="([^"#]+)/data_docs/index.html"', overview)
    assert links == ["gate_corpus", "gate_tokens", "gate_pretrain", "gate_task/a"]
    assert "all passed" in overview and overview.count("1 of 2 hold") == 4
    assert 'href="gate_corpus/data_docs/index.html#share_is_low"' in overview


def test_what_a_killed_gate_had_set_aside_is_no_row_of_the_overview(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    check = rows("there_are_rows", "things", 5, "…")
    run_gate("gate_corpus", artifacts, FRAMES, [check], data="d", statistics={})
    docs = artifacts.gate("gate_corpus") / "data_docs"
    shutil.copytree(docs, docs.with_name(".data_docs.x1y2.old") / docs.name)
    gate(artifacts, check)
    overview = (artifacts.gate("") / "index.html").read_text()
    assert re.findall(r'href="([^"#]+)/data_docs/index.html"', overview) == ["gate_corpus", "gate_task/T"]


def test_gates_that_run_side_by_side_are_all_in_the_overview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = Artifacts(tmp_path)
    check = rows("there_are_rows", "things", 5, "…")
    other = Thread(target=gate, args=(artifacts, check))

    def read_meanwhile(path: Path) -> Any:
        if other.ident is None:
            other.start()
            other.join(timeout=1)
        return read_json(path)

    monkeypatch.setattr(data_docs, "read_json", read_meanwhile)
    run_gate("gate_corpus", artifacts, FRAMES, [check], data="d", statistics={})
    other.join()
    overview = (artifacts.gate("") / "index.html").read_text()
    assert re.findall(r'href="([^"#]+)/data_docs/index.html"', overview) == ["gate_corpus", "gate_task/T"]


def test_a_gate_is_silent_and_sends_and_leaves_nothing(tmp_path: Path) -> None:
    program = """
import socket, pathlib, sys
def refuse(*arguments, **options): raise AssertionError("a gate spoke to the network")
socket.socket.connect = refuse
sys.path.insert(0, sys.argv[1])
import test_gate as t
assert "great_expectations" not in sys.modules, "imported before a gate runs"
t.gate(t.Artifacts(pathlib.Path("here")), t.unique("names_are_unique", "things.name", "fix"))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GX_")}
    tests = Path(__file__).parent
    result = subprocess.run(
        [sys.executable, "-c", program, str(tests)],
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": str(tests.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert {path.name for path in tmp_path.iterdir()} == {"here"}


@pytest.mark.parametrize("suite", ["corpus", "tokens", "pretrain", *get_args(Kind)])
def test_every_check_of_a_suite_has_a_name_of_its_own_and_a_fix(suite: str) -> None:
    params = Params()
    suites = {
        "corpus": lambda: corpus_suite(params.gate_corpus, params.documents, 1000),
        "tokens": lambda: tokens_suite(params.gate_tokens, params.vocab, "th"),
        "pretrain": lambda: pretrain_suite(params.gate_pretrain, params.pretrain),
    }
    checks = suites[suite]() if suite in suites else task_suite(GateTask(), suite)
    names = [check.name for check in checks]
    assert len(set(names)) == len(names)
    for check in checks:
        assert re.fullmatch(r"[a-z0-9_]+", check.name)
        assert len(check.fix) > 10 and not check.fix.endswith("."), "a sentence without its full stop"
