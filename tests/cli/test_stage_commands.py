"""A command a stage, as dvc.yaml has them; errors on one line; help that loads nothing heavy."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.stage import takes_task
from bertline.cli import app
from bertline.cli.stages import STAGES
from checkout import ROOT, run_in
from cli.typed import Type


def a_stage(monkeypatch: pytest.MonkeyPatch, name: str, run: Callable[..., Mapping[str, Any]]) -> None:
    """Put a stage of a test in the place of a real one."""
    module = ModuleType(f"bertline.stages.{name}")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_the_commands_are_the_stages_of_dvc_yaml_in_its_order() -> None:
    stages = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
    assert [(stage.name, stage.per_task) for stage in STAGES] == [
        (name, "foreach" in it) for name, it in stages.items()
    ]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_command_asks_for_a_task_where_its_stage_takes_one(stage: Any) -> None:
    assert takes_task(import_module(f"bertline.stages.{stage.name}").run) == stage.per_task


def test_help_groups_stages_questions_and_set_up(type_in: Type) -> None:
    text = type_in("--help").output
    places = [
        text.index(title) for title in ("Ask the models", "predict", "Set up", "doctor", "Run one stage", "download")
    ]
    assert places == sorted(places)
    assert all(stage.name in text for stage in STAGES)


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from bertline.cli import app
app(["--help"], standalone_mode=False)
heavy = {"torch", "transformers", "mlflow", "dvc", "prefect", "great_expectations", "sklearn", "pandas", "numpy"}
assert not heavy & {*sys.modules}, heavy & {*sys.modules}
"""
    result = run_in(ROOT, "python", "-c", code)
    assert result.returncode == 0, result.stderr


def test_a_prediction_does_not_import_the_compiler() -> None:
    """It takes two seconds to import, and a decorator of its own is enough to do so."""
    code = "import sys, bertline.inference.predictor as p; sys.exit('torch._dynamo' in sys.modules or not p.torch)"
    assert run_in(ROOT, "python", "-c", code).returncode == 0


def test_a_stage_gets_params_paths_and_task(checkout: Path, type_in: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(params: Params, artifacts: Artifacts, task: str) -> dict[str, Any]:
        seen.update(tasks=list(params.tasks), here=Path.cwd(), task=task)
        return {"rows": 3}

    a_stage(monkeypatch, "finetune", run)
    below = checkout / "data" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    result = type_in("finetune", "docs_qa")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("finetune@docs_qa: rows 3")
    assert seen == {"tasks": ["docs_topic", "docs_pair", "docs_params", "docs_qa"], "here": checkout, "task": "docs_qa"}
    assert Path.cwd() == below, "the current directory is put back"


def test_an_unknown_task_lists_the_tasks(type_in: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    a_stage(monkeypatch, "finetune", lambda params, artifacts, task: {})
    result = type_in("finetune", "docs_que")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "finetune@docs_que: error: params.yaml, key tasks: no task named 'docs_que'."
        " Choose one of: docs_topic, docs_pair, docs_params, docs_qa."
    ]


def test_a_fault_is_one_line_and_a_traceback_only_on_request(type_in: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
        raise BertlineError("row 3 has no label", where="rows.jsonl", fix="Add one")

    a_stage(monkeypatch, "report", run)
    plain = type_in("report")
    assert (plain.exit_code, plain.stderr) == (1, "report: error: rows.jsonl: row 3 has no label. Add one.\n")
    assert "Traceback" in type_in("report", "--debug").stderr


def test_outside_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (
        ["vocab"],
        ["scoreboard"],
        ["preset", "list"],
        ["doctor"],
        ["predict", "t", "x"],
        ["fill-mask", "x"],
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"error: {tmp_path}: not in a checkout of bertline")
        assert len(result.stderr.splitlines()) == 1
    assert "no dvc.yaml" in CliRunner().invoke(app, ["scoreboard", "--root", "nowhere"]).stderr


def test_the_installed_command_works_from_a_shell(checkout: Path) -> None:
    assert run_in(checkout, "bertline", "--version").stdout.startswith("bertline ")
    failed = run_in(checkout / "pipelines", "bertline", "task", "nope")
    assert failed.returncode == 1
    assert "no task named 'nope'" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert run_in(checkout, "bertline", "no-such-command").returncode == 2
