"""A local web server that behaves as told, and small packages to read documentation from."""

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from corpus.text_server import TextHandler


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """The base URL of a running server, and the list of the paths it was asked for."""
    handler = type("Handler", (TextHandler,), {"requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", handler.requests  # type: ignore[attr-defined]
        httpd.shutdown()
        thread.join()


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
