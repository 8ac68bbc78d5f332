"""Docstrings of installed packages: read, not imported, the same whatever the number of processes."""

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from bertline.base.errors import BertlineError
from bertline.corpus import python_docs
from bertline.corpus.python_docs import PACKAGES, package_versions, parse_selection, read_docstrings, source_files
from checkout import ROOT


def test_docstrings_of_modules_classes_and_functions_are_rows(package: Path) -> None:
    rows = [tuple(row.values()) for row in read_docstrings(["sample_docs"], workers=1)]
    assert rows == [
        ("sample_docs", "sample_docs", "", "module", "The package."),
        ("sample_docs", "sample_docs.module", "", "module", "A module.\n\nIndented."),
        ("sample_docs", "sample_docs.module", "Door", "class", "A door."),
        ("sample_docs", "sample_docs.module", "Door.Lock", "class", "A lock."),
        ("sample_docs", "sample_docs.module", "Door.open", "function", "Open the door."),
        ("sample_docs", "sample_docs.module", "knock", "function", "Knock."),
    ]


def test_the_package_is_not_imported(package: Path) -> None:
    read_docstrings(["sample_docs"])
    assert "sample_docs" not in sys.modules


def test_what_stands_under_a_thousand_elifs_is_read(package: Path) -> None:
    branches = "".join(f"elif name == {number}:\n    pass\n" for number in range(1500))
    last = 'else:\n    def last():\n        """The last one."""\n'
    (package / "long.py").write_text(f'"""Long."""\nif name:\n    pass\n{branches}{last}')
    texts = [row["text"] for row in read_docstrings(["sample_docs"], workers=1) if row["module"] == "sample_docs.long"]
    assert texts == ["Long.", "The last one."]


def test_two_processes_give_the_rows_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = ["email", "json", "xml"]
    alone = read_docstrings(packages, workers=1)
    monkeypatch.setattr(python_docs, "_PARALLEL_FROM", 1)
    assert json.dumps(read_docstrings(packages, workers=2)) == json.dumps(alone)
    assert len(alone) > 300


def test_the_number_of_processes_is_that_of_the_other_stages(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTLINE_WORKERS", "many")
    with pytest.raises(BertlineError, match="BERTLINE_WORKERS: not a number of workers"):
        read_docstrings(["sample_docs"])


def test_tests_and_installed_packages_are_no_part_of_the_standard_library() -> None:
    modules = {file.module for file in source_files("stdlib")}
    assert {"json.decoder", "email", "argparse"} <= modules
    assert not [module for module in modules if {"test", "tests", "site-packages"} & set(module.split("."))]


def test_all_text_of_the_quickstart_is_pinned_by_requirements_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = {line.partition("==")[0].lower() for line in lock.splitlines()}
    owners = importlib.metadata.packages_distributions()  # of the standard library none: a Python may lack parts of it
    assert {owners.get(package, ["no package's"])[0].lower() for package in PACKAGES} <= pinned


def test_a_selection_names_packages_and_an_empty_one_names_them_all() -> None:
    assert parse_selection("") == sorted(PACKAGES)
    assert parse_selection("numpy+json + scikit-learn+numpy") == ["json", "numpy", "sklearn"]


@pytest.mark.parametrize("package", ["no_such_package", "os.path", ".", "sys"])
def test_what_has_no_source_is_refused(package: str) -> None:
    with pytest.raises(BertlineError, match=f"python-docs:{package}"):
        read_docstrings([package])


def test_versions_are_those_installed() -> None:
    versions = package_versions(["json", "stdlib", "sklearn", "numpy"])
    assert versions["json"] == versions["stdlib"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["numpy"] == __import__("numpy").__version__
    assert versions["sklearn"] == __import__("sklearn").__version__
