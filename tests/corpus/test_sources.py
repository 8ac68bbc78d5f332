"""Sources: whole and checked, or not there at all."""

import hashlib
from pathlib import Path

import pytest

from bertline.base.config import Source
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_directory
from bertline.corpus import sources
from bertline.corpus.sources import Entry, fetch, parse_mirrors
from corpus.text_server import CONTENT

SHA256 = hashlib.sha256(CONTENT).hexdigest()
Server = tuple[str, list[str]]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BACK_OFF", 0)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def get(raw: Path, address: str, *mirrors: str, sha256: str = "") -> Entry:
    return fetch(Source(address, sha256=sha256, licence="CC0"), raw, root=raw.parent, mirrors=mirrors)


def test_a_file_from_a_web_mirror_is_described_in_its_manifest_row(raw: Path, server: Server) -> None:
    url, asked = server
    entry = get(raw, "https://host/text.txt?version=1", url, sha256=SHA256)
    assert (raw / "text.txt").read_bytes() == CONTENT
    assert asked == ["/host/text.txt"]
    assert entry == {
        "address": "https://host/text.txt?version=1",
        "path": "text.txt",
        "sha256": SHA256,
        "bytes": len(CONTENT),
        "licence": "CC0",
    }


@pytest.mark.parametrize("kind", ["moved", "flaky"])
def test_redirects_are_followed_and_transient_faults_tried_again(raw: Path, server: Server, kind: str) -> None:
    url, asked = server
    get(raw, f"mirror:{kind}/text.txt", url, sha256=SHA256)
    assert (raw / "text.txt").read_bytes() == CONTENT
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("name", "sha256", "problem", "tries"),
    [
        ("missing.txt", "", "HTTP status 404", 1),
        ("cut/text.txt", "", "RemoteProtocolError", sources.TRIES),
        ("host/text.txt", "0" * 64, f"sha256 is {SHA256}, expected 0000", sources.TRIES),
    ],
)
def test_a_bad_answer_leaves_nothing_behind(
    raw: Path, server: Server, name: str, sha256: str, problem: str, tries: int
) -> None:
    url, asked = server
    with pytest.raises(BertlineError, match=problem):
        get(raw, f"mirror:{name}", url, sha256=sha256)
    assert list(raw.iterdir()) == []
    assert len(asked) == tries


def test_a_mirror_without_the_file_or_with_a_wrong_one_is_passed_over(raw: Path, server: Server) -> None:
    wrong = raw.parent / "wrong"
    (wrong / "host").mkdir(parents=True)
    (wrong / "host" / "text.txt").write_text("something else")
    get(raw, "mirror:host/text.txt", str(raw.parent / "nowhere"), str(wrong), server[0], sha256=SHA256)
    assert (raw / "text.txt").read_bytes() == CONTENT


def test_a_directory_is_a_mirror_laid_out_by_host_and_path(raw: Path) -> None:
    mirror = raw.parent / "mirror"
    (mirror / "host" / "a b").mkdir(parents=True)
    (mirror / "host" / "a b" / "text.txt").write_bytes(CONTENT)
    assert get(raw, "https://host/a%20b/text.txt", str(mirror))["sha256"] == SHA256


def test_nobody_listening_is_said_in_one_error(raw: Path) -> None:
    with pytest.raises(BertlineError, match=r"ConnectError.*BERTLINE_MIRROR"):
        get(raw, "mirror:text.txt", "http://127.0.0.1:9")


def test_a_local_file_is_copied_and_checked(raw: Path) -> None:
    (raw.parent / "mine.txt").write_bytes(CONTENT)
    assert get(raw, "file:mine.txt", sha256=SHA256)["path"] == "mine.txt"
    (raw / "mine.txt").unlink()
    with pytest.raises(BertlineError, match="expected 0000"):
        get(raw, "file:mine.txt", sha256="0" * 64)


def test_of_a_folder_the_text_files_are_taken(raw: Path) -> None:
    folder = raw.parent / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("b.txt", "deep/a.txt.xz", "README.md", ".hidden/c.txt", "rows.jsonl"):
        (folder / name).write_bytes(CONTENT)
    entry = get(raw, "file:texts")
    assert sorted(file.relative_to(raw).as_posix() for file in raw.rglob("*") if file.is_file()) == [
        "texts/b.txt",
        "texts/deep/a.txt.xz",
    ]
    assert entry["files"] == 2
    assert entry["bytes"] == 2 * len(CONTENT)
    assert entry["sha256"] == sha256_directory(raw / "texts")


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("ftp://host/text.txt", "unknown scheme 'ftp'"),
        ("", "unknown scheme ''"),
        ("http://host/text.txt", "unknown scheme 'http'"),
        ("https://", "names no file"),
        ("https://host/../..", "names no file"),
        ("https:/text.txt", "not a whole https address"),
        ("mirror:../text.txt", "names no file"),
        ("mirror:text.txt", "no mirror is set"),
        ("file:missing.txt", "no file or folder"),
        ("file:empty", "no text file"),
        ("python-docs:no_such_package", "no installed package"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused_with_its_own_name(raw: Path, address: str, problem: str) -> None:
    (raw.parent / "empty").mkdir()
    with pytest.raises(BertlineError, match=problem) as caught:
        get(raw, address)
    assert (address or "download.sources") in caught.value.where
    assert list(raw.iterdir()) == []


def test_two_sources_of_one_file_name_are_refused(raw: Path) -> None:
    (raw.parent / "mine.txt").write_bytes(CONTENT)
    get(raw, "file:mine.txt")
    with pytest.raises(BertlineError, match=r"two sources have the file name 'mine\.txt'"):
        get(raw, f"file:{raw.parent}/mine.txt")


def test_documentation_of_packages_records_their_versions(raw: Path, package: Path) -> None:
    entry = get(raw, "python-docs:sample_docs")
    assert entry["packages"] == {"sample_docs": "unknown"}
    assert len((raw / "python-docs.jsonl").read_text().splitlines()) == 6


def test_mirrors_are_separated_by_white_space_and_directories_by_colons() -> None:
    value = "/a:/b  https://host:8080/base/\n/c"
    assert parse_mirrors(value) == ["/a", "/b", "https://host:8080/base", "/c"]
    assert parse_mirrors("") == []
