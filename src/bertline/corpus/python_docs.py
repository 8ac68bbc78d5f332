"""The quickstart's text: the docstrings of installed Python packages, read with `ast`, never imported.

    rows = read_docstrings(["stdlib", "numpy"])     # one docstring a row, sorted by package, module and name
    package_versions(["stdlib", "numpy"])           # {"numpy": "2.4.6", "stdlib": "3.11.7"}

A package name is `stdlib`, or any top-level module or package that is installed. Nothing is downloaded and nothing is
shipped: the text depends on the installed versions alone. requirements.lock pins those of packages; the standard
library is that of the Python that runs.
"""

import ast
import gc
import importlib.metadata
import importlib.util
import os
import platform
import sys
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bertline.base.errors import BertlineError
from bertline.base.files import JsonRow
from bertline.base.workers import Workers, worker_count

STDLIB = "stdlib"
PACKAGES = (
    STDLIB,
    "torch",
    "transformers",
    "sklearn",
    "scipy",
    "numpy",
    "pandas",
    "matplotlib",
    "mlflow",
    "sqlalchemy",
)
_ALIASES = {"scikit-learn": "sklearn"}
# Tests document fixtures, not an interface; vendored copies are another package's text.
_TESTS = frozenset(["test", "tests", "testing", "_test", "_tests", "_testing", "idle_test"])
_VENDORED = frozenset(["vendor", "_vendor", "vendored", "_vendored", "third_party", "externals", "_bundled"])
_NOT_SOURCE = frozenset(["__pycache__", "site-packages", "dist-packages", "lib-dynload", "node_modules"])
_SKIPPED_FOLDERS = _TESTS | _VENDORED | _NOT_SOURCE
_SKIPPED_PREFIXES = ("test_", "conftest", "_sysconfigdata")
_CHUNK = 16  # files that a process is sent at once
_PARALLEL_FROM = 400  # files; fewer are read before a second process has started
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class SourceFile(NamedTuple):
    """A Python file and the names its docstrings go under."""

    package: str
    module: str
    path: str


def parse_selection(selection: str) -> list[str]:
    """The packages that the part of an address after `python-docs:` names, sorted; empty means PACKAGES."""
    names = [name.strip() for name in selection.split("+") if name.strip()]
    return sorted({_ALIASES.get(name, name) for name in names} or set(PACKAGES))


def read_docstrings(packages: Sequence[str], workers: int | None = None) -> list[JsonRow]:
    """Read every docstring of modules, classes and functions (not of functions inside functions).

    Args:
        packages: names as in an address: `stdlib`, or installed top-level modules or packages.
        workers: processes; None: as BERTLINE_WORKERS says, or one a CPU. The rows do not depend on it.

    Returns:
        Rows {"package", "module", "name", "kind": "module" | "class" | "function", "text"}, sorted; `name` is dotted
        inside the module and empty for the module's own docstring; `text` is cleaned as by inspect.cleandoc. Of
        identical texts the first is kept. Files that this Python cannot parse are left out.

    Raises:
        BertlineError: a package is not installed or has no Python source.
    """
    files = [file for package in packages for file in source_files(package)]
    # Large files first keeps both processes busy to the end.
    files.sort(key=lambda file: (-Path(file.path).stat().st_size, file))
    workers = worker_count() if workers is None else workers
    workers = 1 if len(files) < _PARALLEL_FROM else workers
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    with Workers(workers, setup=gc.disable if workers > 1 else None) as pool:  # the collector of this process stays
        rows = [row for chunk in pool.map(_docstrings_of, chunks) for row in chunk]
    first: dict[str, JsonRow] = {}
    for row in sorted(rows, key=_order):
        first.setdefault(row["text"], row)
    return list(first.values())


def _order(row: JsonRow) -> tuple[str, ...]:
    return row["package"], row["module"], row["name"], row["kind"], row["text"]


def source_files(package: str) -> Iterator[SourceFile]:
    """The Python files of a package, without tests and vendored copies.

    Raises:
        BertlineError: it is not installed or has no Python source.
    """
    if package == STDLIB:
        yield from _below(Path(sysconfig.get_path("stdlib")), STDLIB, ())
        return
    fix = f"Install it, or choose from: {', '.join(PACKAGES)}"
    try:
        spec = importlib.util.find_spec(package) if "." not in package else None
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise BertlineError("no installed package of that name", where=f"python-docs:{package}", fix=fix)
    if spec.submodule_search_locations:
        for folder in sorted(spec.submodule_search_locations):
            yield from _below(Path(folder), package, (package,))
    elif spec.origin and spec.origin.endswith(".py"):
        yield SourceFile(package, package, spec.origin)
    else:
        raise BertlineError("it has no Python source to read", where=f"python-docs:{package}", fix=fix)


def _below(root: Path, package: str, prefix: tuple[str, ...]) -> Iterator[SourceFile]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - _SKIPPED_FOLDERS)
        inside = Path(folder).relative_to(root).parts
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith(_SKIPPED_PREFIXES):
                last = () if name == "__init__.py" else (name.removesuffix(".py"),)
                yield SourceFile(package, ".".join([*prefix, *inside, *last]), str(Path(folder, name)))


def _docstrings_of(files: Sequence[SourceFile]) -> list[JsonRow]:
    return [row for file in files for row in docstrings_of(file)]


def docstrings_of(file: SourceFile) -> list[JsonRow]:
    """The rows of one file; none if it cannot be parsed."""
    source = Path(file.path).read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file's own string escapes
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    rows = []
    for name, node in _documented(tree):
        text = ast.get_docstring(node)
        if text and text.strip() and _is_unicode(text):
            kind = {ast.Module: "module", ast.ClassDef: "class"}.get(type(node), "function")
            rows.append({"package": file.package, "module": file.module, "name": name, "kind": kind, "text": text})
    return rows


def _is_unicode(text: str) -> bool:
    """Whether a text holds no lone surrogate, which a docstring can spell as an escape and UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _documented(tree: ast.Module) -> Iterator[tuple[str, _Documented]]:
    """The nodes that can carry a docstring, with dotted names; the inside of functions is not searched."""
    left: list[tuple[str, ast.AST]] = [("", tree)]  # no recursion: each elif lies inside of the one before
    while left:
        name, node = left.pop()
        if isinstance(node, _Documented):
            yield name, node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for field in ("body", "handlers", "orelse", "finalbody"):  # a definition may stand under if, try or with
            children = getattr(node, field, ())
            for child in children if isinstance(children, list) else ():
                own = getattr(child, "name", None) if isinstance(child, _Documented) else None
                left.append((f"{name}.{own}" if name and own else own or name, child))


def package_versions(packages: Sequence[str]) -> dict[str, str]:
    """The installed version of each package; of the standard library, that of Python."""
    versions = {}
    owners = importlib.metadata.packages_distributions()
    for package in packages:
        if package == STDLIB or package in sys.stdlib_module_names:
            versions[package] = platform.python_version()
        elif package in owners:
            versions[package] = importlib.metadata.version(sorted(owners[package])[0])
        else:
            versions[package] = "unknown"
    return versions
