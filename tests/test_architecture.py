"""The house keeps its own rules: floors, who may import what, DVC's deps, sizes, no pickle."""

import ast
import dataclasses
import fnmatch
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])
DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())
READ_OF_A_DEP = {("tasks", "documents")}  # which tasks there are: their rows are its dep
CORE = ("model", "training", "pretraining", "finetuning", "evaluation", "inference", "tasks.features", "tokens.store")
LIGHT = {
    "torch",
    "numpy",
    "safetensors",
    "tokenizers",
    "transformers",
    "sklearn",
    "scipy",
    "threadpoolctl",
    "optuna",  # an extra, imported when it is asked for
    "tqdm",
    "bertline",
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("bertline", include_external_packages=True, cache_dir=None)


def stages() -> Iterator[tuple[str, dict]]:
    """Each stage of dvc.yaml; one with foreach stands for all of its tasks."""
    for name, stage in DVC["stages"].items():
        yield name, stage.get("do", stage)


def test_imports_go_down_the_floors_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_import_circles(graph: grimp.ImportGraph) -> None:
    for module in graph.modules:
        if module.startswith("bertline") and graph.find_children(module) == set():
            assert module not in graph.find_upstream_modules(module), f"{module} imports itself by way of others"


@pytest.mark.parametrize(("name", "stage"), list(stages()), ids=[name for name, _ in stages()])
def test_a_stage_depends_on_all_the_code_it_imports(name: str, stage: dict, graph: grimp.ImportGraph) -> None:
    module = f"bertline.stages.{name}"
    imported = {module} | {other for other in graph.find_upstream_modules(module) if other.startswith("bertline.")}
    deps = [ROOT / dep for dep in stage["deps"]]
    missing = []
    for needed in sorted(imported):
        path = ROOT / "src" / Path(*needed.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        only_a_docstring = len(ast.parse(file.read_text()).body) <= 1
        if not only_a_docstring and not any(file == dep or dep in file.parents for dep in deps):
            missing.append(file.relative_to(ROOT).as_posix())
    assert not missing, f"dvc.yaml, stage {name}: add to deps: {missing}"


@pytest.mark.parametrize(("name", "stage"), list(stages()), ids=[name for name, _ in stages()])
def test_dvc_can_restore_every_stage_that_takes_time(name: str, stage: dict) -> None:
    """DVC keeps no run of a stage that has a plain out in git, one that is neither a metric nor a plot."""
    in_git = [out for out in stage.get("outs", []) if isinstance(out, dict)]
    assert not in_git or name == "report", in_git


@pytest.mark.parametrize(("name", "stage"), list(stages()), ids=[name for name, _ in stages()])
def test_a_stage_is_named_like_its_file_and_depends_on_code_that_exists(name: str, stage: dict) -> None:
    assert stage["cmd"].split()[:3] == ["python", "-m", f"bertline.stages.{name}"]
    for dep in stage["deps"]:
        assert dep.startswith("data/") or (ROOT / dep).exists(), dep


@pytest.mark.parametrize(("name", "stage"), list(stages()), ids=[name for name, _ in stages()])
def test_dvc_knows_of_every_option_that_a_stage_file_reads(name: str, stage: dict) -> None:
    tree = ast.parse((ROOT / "src" / "bertline" / "stages" / f"{name}.py").read_text(encoding="utf-8"))
    sections = {field.name for field in dataclasses.fields(Params)}
    listed = [each if isinstance(each, str) else next(iter(each)) for each in stage.get("params", [])]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params":
            known = any(each.partition(".")[0] == node.attr for each in listed) or node.attr not in sections
            assert known or (node.attr, name) in READ_OF_A_DEP, f"{name} reads {node.attr}, which is not in its params"


def test_dvc_and_artifacts_name_the_same_paths() -> None:
    artifacts = Artifacts()
    known = {
        "download": {artifacts.raw},
        "documents": {artifacts.documents, artifacts.metrics("documents")},
        "gate_corpus": {artifacts.gate_report("gate_corpus"), artifacts.gate_passed("gate_corpus")},
        "vocab": {artifacts.vocab, artifacts.metrics("vocab")},
        "encode": {artifacts.tokens(""), artifacts.metrics("encode")},
        "gate_tokens": {artifacts.gate_report("gate_tokens"), artifacts.gate_passed("gate_tokens")},
        "pretrain": {
            artifacts.pretrained,
            artifacts.metrics("pretrain"),
            artifacts.curve("pretrain"),
            artifacts.report("pretrain") / "validation_curve.json",
        },
        "gate_pretrain": {artifacts.gate_report("gate_pretrain"), artifacts.gate_passed("gate_pretrain")},
        "task": {artifacts.task("${key}")},
        "gate_task": {artifacts.gate_report("gate_task/${key}"), artifacts.gate_passed("gate_task/${key}")},
        "finetune": {
            artifacts.finetuned("${key}"),
            artifacts.predictions("${key}", "finetune"),
            artifacts.metrics("finetune", "${key}"),
            artifacts.curve("finetune", "${key}"),
        },
        "transfer": {
            artifacts.predictions("${key}", "transfer"),
            artifacts.metrics("transfer", "${key}"),
            artifacts.curve("transfer", "${key}"),
        },
        "evaluate": {
            artifacts.metrics("evaluate", "${key}"),
            artifacts.report("evaluate", "${key}") / "predictions.jsonl",
            artifacts.report("evaluate", "${key}") / "confusion.csv",
            artifacts.report("evaluate", "${key}") / "analysis.json",
        },
        "report": {artifacts.scoreboard / name for name in ("report.html", "scoreboard.md", "scoreboard.json")},
        "register": {artifacts.registered.parent},
    }
    for name, stage in stages():
        listed = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
        outs = {Path(out if isinstance(out, str) else next(iter(out))) for out in listed}
        assert outs == known[name], name


def test_stages_behind_a_gate_depend_on_its_pass_and_not_on_its_report() -> None:
    behind = {"vocab": 1, "pretrain": 1, "finetune": 2, "transfer": 1}
    for name, stage in stages():
        gates = [dep for dep in stage.get("deps", []) if dep.startswith("data/gates/")]
        assert [Path(dep).name for dep in gates] == ["passed.json"] * behind.get(name, 0), name


def test_a_model_that_is_only_compared_with_makes_no_stage_before_fine_tuning_run() -> None:
    asking = {
        folder: {name for name, stage in stages() if folder in stage.get("deps", [])}
        for folder in ("data/initial", "data/baselines")
    }
    assert asking == {"data/initial": {"vocab", "pretrain"}, "data/baselines": {"finetune"}}


def test_folders_that_tasks_fill_exist_in_a_clone_without_tasks() -> None:
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kept = {Path(name).parent.as_posix() for name in listed.splitlines() if name.endswith("/.gitkeep")}
    outs = [
        name if isinstance(name, str) else next(iter(name))
        for _, stage in stages()
        for kind in ("outs", "metrics", "plots")
        for name in stage.get(kind, [])
    ]
    for name, stage in stages():
        for dep in (dep for dep in stage["deps"] if "${key}" not in dep):
            inside = [out for out in outs if out.startswith(f"{dep}/")]
            if inside and all("${key}" in out for out in inside):
                assert dep in kept, f"dvc.yaml, stage {name}: {dep} is missing where `tasks: {{}}`"


def test_the_guide_to_the_house_has_every_file_in_its_room() -> None:
    guide = re.split(r"^ *([a-z/]+)/ ", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), flags=re.M)
    named = {
        Path(room).name: re.findall(r"[\w*]+\.py", text) for room, text in zip(guide[1::2], guide[2::2], strict=True)
    }
    files = [path for path in [*SOURCES, *(ROOT / "benchmarks").glob("*.py")] if path.name != "__init__.py"]
    for path in files:
        room = path.parent.name  # of stages, dvc.yaml has the names
        found = room == "stages" or any(fnmatch.fnmatch(path.name, name) for name in named[room])
        assert found, f"{room}/{path.name} is not in it"
    gone = [name for names in named.values() for name in names if not fnmatch.filter([p.name for p in files], name)]
    assert gone == []


def test_the_training_core_runs_where_no_orchestrator_is_installed(graph: grimp.ImportGraph) -> None:
    for module in sorted(graph.modules):
        if not module.startswith(tuple(f"bertline.{room}" for room in CORE)):
            continue
        external = {name.split(".")[0] for name in graph.find_modules_directly_imported_by(module)}
        heavy = external - LIGHT - sys.stdlib_module_names
        assert not heavy, f"{module} imports {heavy}"
        assert "bertline.base.params" not in graph.find_upstream_modules(module), f"{module} needs pydantic"


@pytest.mark.parametrize(
    ("package", "room"), [("dvc", ""), ("prefect", ""), ("mlflow", "registry"), ("great_expectations", "validation")]
)
def test_each_orchestrator_has_its_one_room(package: str, room: str, graph: grimp.ImportGraph) -> None:
    users = {
        name
        for name in graph.modules
        if name.startswith("bertline.")
        and package in {other.split(".")[0] for other in graph.find_modules_directly_imported_by(name)}
    }
    assert all(room and name.startswith(f"bertline.{room}.") for name in users), users


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_is_short_and_safe(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "every module opens with what it is"
    assert len(text.splitlines()) <= 350, "files of about 300 lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= 55, f"{node.name} has {lines} lines; about 40 is the rule"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            call = f"{node.value.id}.{node.attr}"
            assert call not in ("torch.load", "torch.save", "pickle.load", "pickle.dump", "pickle.loads"), call
        if isinstance(node, ast.keyword):
            assert node.arg != "trust_remote_code"
