"""What is imported is declared in pyproject.toml, and the lock pins what `make lock` asks for."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
FROM_DISTRIBUTIONS = packages_distributions()


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {plain(re.split(r"[\s\[<>=!~;]", requirement)[0]) for requirement in requirements}


def imported(*folders: str) -> dict[str, str]:
    """Packages of others that the code names, each with a file that does."""
    found = {}
    for path in (file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [str(node.module)]
            found |= {module.split(".")[0]: path.name for module in modules}
    own = {*sys.stdlib_module_names, "bertline", "pipelines"}
    return {name: path for name, path in found.items() if name not in own}


@pytest.mark.parametrize(("package", "path"), imported("src", "pipelines").items())
def test_what_is_imported_is_declared(package: str, path: str) -> None:
    declared = names(PROJECT["dependencies"]).union(*map(names, EXTRAS.values()))
    providers = {plain(name) for name in FROM_DISTRIBUTIONS.get(package, [package])}
    assert providers & declared, f"{path} imports {package}: name it in pyproject.toml"


def test_the_lock_pins_of_what_is_declared_just_that_which_make_lock_asks_for() -> None:
    (asked,) = re.findall(r"install .*'\.\[(.+)\]'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    wanted = names(PROJECT["dependencies"]).union(*(names(EXTRAS[extra]) for extra in asked.split(",")))
    locked = names((ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines())
    assert locked >= wanted
    assert not (set().union(*map(names, EXTRAS.values())) - wanted) & locked, "the next `make lock` drops them"
