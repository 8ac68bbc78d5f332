"""The code a registered model carries, so that it answers wherever MLflow, torch and tokenizers are installed.

`stage_code` copies served_model.py and the modules it imports, and no others, into a package of its own named by their
hash (bertline_1a2b3c4d), and rewrites their imports to that name. So a model keeps the code it was registered with:
it needs no bertline, is not disturbed by the one that is installed, and hides nothing of it.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions
from pathlib import Path

_PACKAGE = "bertline"
_ENTRY = f"{_PACKAGE}.registry.served_model"
_IMPORT = re.compile(rf"^(\s*)(from|import) {_PACKAGE}(?=[.\s])", re.MULTILINE)


@dataclass(frozen=True)
class ServedCode:
    """Staged code.

    Attributes:
        entry: served_model.py, for `python_model` (models from code).
        package: the package beside it, for `code_paths`.
        requirements: pinned distributions that the code imports.
    """

    entry: Path
    package: Path
    requirements: tuple[str, ...]


def stage_code(directory: Path) -> ServedCode:
    """Write the code a model carries into `directory`."""
    sources = served_modules()
    lines = [f"{name}\n{text}" for name, text in sorted(sources.items())]
    package = f"{_PACKAGE}_{hashlib.sha256(chr(0).join(lines).encode()).hexdigest()[:8]}"
    for name, text in sources.items():
        path = directory / _file(name).replace(_PACKAGE, package, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_renamed(text, package), encoding="utf-8")
    entry = directory / "served_model.py"
    entry.write_text(_renamed(_source(_ENTRY), package), encoding="utf-8")
    return ServedCode(entry, directory / package, _requirements([_source(_ENTRY), *sources.values()]))


@cache
def served_modules() -> dict[str, str]:
    """Module name -> source of every module of this package that served_model.py imports, at once or later."""
    found: dict[str, str] = {}
    waiting = sorted(_imports(_source(_ENTRY)))
    while waiting:
        name = waiting.pop()
        if name in found or name.split(".")[0] != _PACKAGE:
            continue
        found[name] = _source(name)
        waiting.extend(sorted(_imports(found[name])))
        waiting.extend([name.rpartition(".")[0]] if "." in name else [])
    return found


def _imports(source: str) -> set[str]:
    """Every module that a source imports; of `from a import b`, also a.b where that is a module of this package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module.split(".")[0] == _PACKAGE:
                below = (f"{node.module}.{alias.name}" for alias in node.names)
                names.update(name for name in below if _path(name))
    return names


def _path(name: str) -> Path | None:
    root = Path(import_module(_PACKAGE).__path__[0]).parent
    stem = root.joinpath(*name.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def _source(name: str) -> str:
    path = _path(name)
    if path is None:
        raise ModuleNotFoundError(f"no source of {name}", name=name)
    return path.read_text(encoding="utf-8")


def _file(name: str) -> str:
    """The file of a module inside the staged package."""
    path = _path(name)
    is_package = path is not None and path.name == "__init__.py"
    return name.replace(".", "/") + ("/__init__.py" if is_package else ".py")


def _renamed(source: str, package: str) -> str:
    return _IMPORT.sub(rf"\1\2 {package}", source)


def _requirements(sources: list[str]) -> tuple[str, ...]:
    """The installed distributions behind the imports, pinned; no local suffixes (2.13.0+cpu), which no index knows."""
    modules = {name.split(".")[0] for source in sources for name in _imports(source)}
    return tuple(sorted(filter(None, map(_pin, modules - set(sys.stdlib_module_names) - {_PACKAGE}))))


@cache
def _pin(module: str) -> str:
    """name==version of the distribution that a module comes from; empty for a module that is in none."""
    try:
        distribution = metadata(module)
    except PackageNotFoundError:  # named otherwise than its module: sklearn
        owners = sorted(packages_distributions().get(module, []))  # reads every installed package: a second
        if not owners:
            return ""
        distribution = metadata(owners[0])
    return f"{distribution['Name']}=={distribution['Version'].split('+')[0]}"


@contextmanager
def importable(code: ServedCode) -> Iterator[None]:
    """Let the staged package be imported inside the block, and forget it afterwards: its directory will be gone."""
    paths, bytecode, name = list(sys.path), sys.dont_write_bytecode, code.package.name
    sys.path.insert(0, str(code.package.parent))
    sys.dont_write_bytecode = True  # what is imported here is uploaded next
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = paths, bytecode
        for module in [module for module in sys.modules if module.split(".")[0] == name]:
            del sys.modules[module]
