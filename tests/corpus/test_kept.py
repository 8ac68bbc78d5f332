"""What is kept of an address: whole, of one version, for one process at a time."""

import errno
import os
import threading
from pathlib import Path

import pytest

from bertline.corpus.kept import Expected, Kept, keep, link


def test_a_file_is_right_by_its_size_and_any_of_its_hashes() -> None:
    expected = Expected(("a", "b"), 5)
    assert [expected.problem(sha256, 5) for sha256 in "ab"] == ["", ""]
    assert expected.problem("c", 5) == "sha256 is c, expected a or b"
    assert {expected.problem("a", size) for size in (4, 6)} == {
        "it has 4 bytes, expected 5",
        "it has 6 bytes, expected 5",
    }
    assert Expected().problem("c", 7) == ""


def test_a_part_is_on_disk_before_it_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, flush, flushed = Kept(tmp_path, "mirror:a"), os.fsync, list[tuple[str, bool]]()

    def fsync(descriptor: int) -> None:
        flushed.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, kept.file.exists()))
        flush(descriptor)

    kept.begin({"url": "https://host/a"})
    kept.part.write_bytes(b"text")
    monkeypatch.setattr(os, "fsync", fsync)
    kept.finish("of text")
    assert flushed[0] == ("part", False)
    assert kept.file.read_bytes() == b"text"


def test_a_new_part_has_nothing_of_an_earlier_version(tmp_path: Path) -> None:
    """Killed before its first byte, it would be gone on with from where the other one stopped."""
    kept = Kept(tmp_path, "mirror:a")
    kept.part.write_bytes(b"of an earlier version")
    kept.begin({"url": "https://host/a", "etag": '"new"'})
    assert kept.part_size() == 0


def test_one_process_at_a_time_has_what_is_kept_of_an_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []
    waiting = threading.Thread(target=lambda: _hold(tmp_path, order))
    with keep(tmp_path, "mirror:a"), keep(tmp_path, "mirror:b/a"):  # another address is no matter
        waiting.start()
        waiting.join(timeout=0.5)
        order.append("first")
    waiting.join(timeout=10)
    assert order == ["first", "second"]
    assert capsys.readouterr().err == "mirror:a: another process is fetching it; waiting\n"


def _hold(folder: Path, order: list[str]) -> None:
    with keep(folder, "mirror:a"):
        order.append("second")


def test_what_lies_on_another_disk_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (tmp_path / "kept").write_text("text")
    link(tmp_path / "kept", tmp_path / "linked")
    monkeypatch.setattr(os, "link", other_disk)
    link(tmp_path / "kept", tmp_path / "raw" / "copied")
    assert (tmp_path / "raw" / "copied").read_text() == "text"
    assert (tmp_path / "kept").stat().st_nlink == 2
