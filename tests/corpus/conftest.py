"""A folder to fetch into, a local web that behaves as told, and small packages to read documentation from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bertline.corpus import http
from corpus.text_server import Site, TextHandler, secure_web, serving


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """An empty folder to fetch sources into."""
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a download would have waited between its tries; nobody waits."""
    slept: list[float] = []
    monkeypatch.setattr(http, "sleep", slept.append)
    return slept


@pytest.fixture
def server(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A running server; the client loses its patience with it soon."""
    monkeypatch.setattr(http, "STALL", 0.3)
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    with serving(TextHandler) as site:
        yield site


@pytest.fixture
def secure(waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server that is every https host, behind a proxy."""
    for variable in ("https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_DIR", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    with secure_web(tmp_path) as (site, environment):
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        yield site


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package `sample_docs` that would fail if it were imported."""
    root = tmp_path / "site" / "sample_docs"
    (root / "tests").mkdir(parents=True)
    (root / "__init__.py").write_text('"""The package."""\nraise RuntimeError("imported")\n')
    (root / "tests" / "test_a.py").write_text('"""A test."""\n')
    (root / "broken.py").write_text('"""Broken."""\ndef f(:\n')
    (root / "module.py").write_text(
        '"""A module.\n\n    Indented.\n"""\n'
        "class Door:\n"
        '    """A door."""\n'
        "    def open(self):\n"
        '        """Open the door."""\n'
        "        def inner():\n"
        '            """Not read."""\n'
        "    class Lock:\n"
        '        """A lock."""\n'
        "if True:\n"
        "    async def knock():\n"
        '        """Knock."""\n'
        "def again():\n"
        '    """A door."""\n'
        "def lone():\n"
        '    """\\ud800"""\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return root
