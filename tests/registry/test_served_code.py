"""The code that a registered model carries."""

import ast
import sys
from pathlib import Path

import pytest

from bertline.registry.served_code import importable, served_modules, stage_code


def test_only_what_serving_needs_is_carried() -> None:
    rooms = {name.split(".")[1] for name in served_modules() if "." in name}
    assert {"base", "inference", "model", "tokens", "tasks"} <= rooms
    assert not rooms & {"cli", "stages", "registry", "corpus", "pretraining", "finetuning", "validation"}
    assert "bertline.base.params" not in served_modules(), "it needs pydantic and ruamel"


def test_the_package_is_named_by_its_content_and_never_bertline(tmp_path: Path) -> None:
    one, two = stage_code(tmp_path / "one"), stage_code(tmp_path / "two")
    assert one.package.name == two.package.name
    assert one.package.name.startswith("bertline_")
    for path in [one.entry, *one.package.rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "bertline" for name in names), path


def test_requirements_are_pinned_as_an_index_knows_them(tmp_path: Path) -> None:
    requirements = stage_code(tmp_path).requirements
    names = {requirement.partition("==")[0] for requirement in requirements}
    assert {"torch", "tokenizers", "safetensors", "numpy", "pandas", "mlflow"} <= names
    assert not any("+" in requirement for requirement in requirements)
    assert "pydantic" not in names


def test_what_was_imported_to_try_a_model_is_forgotten_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    code, paths = stage_code(tmp_path), list(sys.path)
    with importable(code):
        __import__(f"{code.package.name}.tasks.schema")
        assert f"{code.package.name}.tasks.schema" in sys.modules
    assert sys.path == paths
    assert not any(name.startswith(code.package.name) for name in sys.modules)
    assert not sys.dont_write_bytecode and not list(tmp_path.rglob("__pycache__")), "the code is uploaded next"
