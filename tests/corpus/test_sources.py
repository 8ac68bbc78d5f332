"""Sources of this machine, and what addresses mean: whole and checked, or not there at all."""

import gzip
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import zstandard

from bertline.base.download_config import Source
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_directory
from bertline.corpus.addresses import MAX_FILES, expand
from bertline.corpus.raw_files import kind
from bertline.corpus.readers import READERS
from bertline.corpus.sources import Entry, Places, fetch, parse_mirrors

CONTENT = b"A paragraph of text.\n" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get_all(raw: Path, source: Source, *mirrors: str) -> list[Entry]:
    return fetch(source, raw, Places(raw.parent, raw.parent / "kept", mirrors))


def get(raw: Path, address: str, *mirrors: str, sha256: str = "", size: int = 0) -> Entry:
    (row,) = get_all(raw, Source(address, sha256=sha256, bytes=size, licence="CC0"), *mirrors)
    return row


def files(raw: Path) -> list[str]:
    return sorted(file.relative_to(raw).as_posix() for file in raw.rglob("*") if file.is_file())


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    """A directory as a mirror, with three parts of a text on two hosts."""
    for name in ("host/en/part-08.txt", "host/en/part-09.txt", "host/en/part-10.txt", "other/en/part-08.txt"):
        (tmp_path / "mirror" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / name).write_text(name)
    return str(tmp_path / "mirror")


def test_a_directory_is_a_mirror_laid_out_by_host_and_path(raw: Path, mirror: str) -> None:
    (Path(mirror) / "host" / "a b").mkdir(parents=True)
    (Path(mirror) / "host" / "a b" / "text.txt").write_bytes(CONTENT)
    assert get(raw, "https://host/a%20b/text.txt", mirror)["sha256"] == SHA256
    assert not list((raw.parent / "kept").rglob("file")), "what a directory has is not kept twice"


@pytest.mark.usefixtures("waits")
def test_addresses_that_differ_by_their_query_alone_are_two_files_of_a_mirror(raw: Path, mirror: str) -> None:
    folder = Path(mirror) / "host" / "en"
    (folder / "get.txt?id=1&x=..%2Fa%20b").write_text("the first")
    (folder / "get.txt").write_text("neither")
    row = get(raw, "https://host/en/get.txt?id=1&x=../a%20b", mirror)
    assert (raw / row["path"]).read_text() == "the first"
    with pytest.raises(BertlineError, match=r"host/en/get\.txt\?id=2: no such file"):
        get_all(raw, Source("https://host/en/get.txt?id=2", folder="other"), mirror)
    known = hashlib.sha256(b"neither").hexdigest()
    (row,) = get_all(raw, Source("https://host/en/get.txt?id=2", folder="other", sha256=known), mirror)
    assert row["sha256"] == known, "by its hash it is the file"


def test_braces_stand_for_several_files_each_with_a_row(raw: Path, mirror: str) -> None:
    rows = get_all(raw, Source("https://host/en/part-{08..10}.txt", licence="CC0"), mirror)
    assert [row["address"] for row in rows] == [f"https://host/en/part-{number}.txt" for number in ("08", "09", "10")]
    assert files(raw) == [row["path"] for row in rows] == ["part-08.txt", "part-09.txt", "part-10.txt"]
    assert {row["licence"] for row in rows} == {"CC0"}


@pytest.mark.parametrize(
    ("address", "expanded"),
    [
        ("https://h/{a,b}-{1..2}", ["https://h/a-1", "https://h/a-2", "https://h/b-1", "https://h/b-2"]),
        ("https://h/{8..10}", ["https://h/8", "https://h/9", "https://h/10"]),
        ("https://h/{098..101}", [f"https://h/{number}" for number in ("098", "099", "100", "101")]),
        ("mirror:x{,.old}", ["mirror:x", "mirror:x.old"]),
        ("file:a{1..3}", ["file:a{1..3}"]),
        ("https://h/plain", ["https://h/plain"]),
    ],
)
def test_braces_count_and_list_as_in_a_shell(address: str, expanded: list[str]) -> None:
    assert expand(address) == expanded


@pytest.mark.parametrize("brace", ["{3..1}", "{a..c}", "{}", "{one}", f"{{0..{MAX_FILES}}}", "{0..999999999999}"])
def test_braces_that_mean_nothing_or_too_much_are_refused(raw: Path, brace: str) -> None:
    with pytest.raises(BertlineError, match=r"neither a range nor a list|files"):
        get_all(raw, Source(f"https://host/{brace}.txt"))


def test_one_hash_cannot_be_that_of_several_files(raw: Path, mirror: str) -> None:
    for expected in ({"sha256": SHA256}, {"bytes": 5}):
        with pytest.raises(BertlineError, match="those of one file"):
            get_all(raw, Source("https://host/en/part-{08..10}.txt", **expected), mirror)  # type: ignore[arg-type]


def test_a_local_file_is_copied_and_checked(raw: Path) -> None:
    (raw.parent / "mine.txt").write_bytes(CONTENT)
    assert get(raw, "file:mine.txt", sha256=f"{'0' * 64} {SHA256}", size=len(CONTENT))["path"] == "mine.txt"
    assert (raw / "mine.txt").stat().st_nlink == 1, "a copy: an edit of the original is none of the corpus"
    (raw / "mine.txt").unlink()
    for wrong, problem in (({"sha256": "0" * 64}, "expected 0000"), ({"size": 5}, "21,000 bytes, expected 5")):
        with pytest.raises(BertlineError, match=problem):
            get(raw, "file:mine.txt", **wrong)  # type: ignore[arg-type]
        assert files(raw) == []


def test_of_a_folder_the_texts_are_taken_and_what_is_left_out_is_told(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = raw.parent / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    taken = [
        "b.txt",
        "c4.json.gz",
        "deep/a.txt.xz",
        "deep/b.txt.zst",
        "deep/wiki_00",
        "deep/wiki_01.bz2",
        "lines.ndjson",
        "rows.jsonl.gz",
        "table.parquet",
    ]
    for name in (*taken, "README.md", ".hidden/c.txt", "rows.csv", "wiki_xx"):
        (folder / name).write_bytes(CONTENT)
    entry = get(raw, "file:texts")
    assert files(raw) == [f"texts/{name}" for name in taken]
    assert entry["files"] == len(taken)
    assert "file:texts: 3 of its files left out" in capsys.readouterr().err
    assert entry["left_out"] == 3  # README.md, rows.csv and wiki_xx; what is hidden is no part of the folder
    assert entry["bytes"] == len(taken) * len(CONTENT)
    assert entry["sha256"] == sha256_directory(raw / "texts")


def test_the_case_of_a_suffix_does_not_matter(raw: Path) -> None:
    folder = raw.parent / "texts"
    folder.mkdir()
    line = b'{ "text": "One line." }\n'
    for name, content in {"A.TXT": CONTENT, "B.JSONL": line, "C.Txt.GZ": gzip.compress(CONTENT)}.items():
        (folder / name).write_bytes(content)
    assert get(raw, "file:texts")["files"] == 3
    read = {
        name: list(READERS[kind(raw / "texts" / name)](raw / "texts" / name))
        for name in ("A.TXT", "B.JSONL", "C.Txt.GZ")
    }
    assert read["A.TXT"][0].paragraphs == read["C.Txt.GZ"][0].paragraphs
    assert read["B.JSONL"][0].paragraphs == ("One line.",)


def test_a_file_name_that_is_no_utf8_is_refused(raw: Path) -> None:
    (raw.parent / "texts").mkdir()
    Path(os.fsdecode(os.fsencode(raw.parent / "texts") + b"/caf\xe9.txt")).write_bytes(CONTENT)
    with pytest.raises(BertlineError, match=r"'caf\\udce9\.txt' has bytes that are no UTF-8.*Rename the file"):
        get(raw, "file:texts")


def test_a_link_to_a_file_is_its_text_and_one_to_a_folder_or_to_nothing_is_refused(raw: Path) -> None:
    folder = raw.parent / "texts"
    (folder / "deep").mkdir(parents=True)
    (raw.parent / "elsewhere").mkdir()
    (raw.parent / "elsewhere" / "b.txt").write_bytes(CONTENT)
    (folder / "deep" / "a.txt").symlink_to(raw.parent / "elsewhere" / "b.txt")
    (folder / ".hidden").symlink_to(raw.parent / "elsewhere")
    assert get(raw, "file:texts")["files"] == 1
    assert not (raw / "texts" / "deep" / "a.txt").is_symlink()
    shutil.rmtree(raw / "texts")
    for target in ("elsewhere", "nowhere"):
        (folder / "deep" / "more").symlink_to(raw.parent / target)
        with pytest.raises(BertlineError, match=r"file:texts.*'deep/more' is a link to a folder, or to nothing\. Put"):
            get(raw, "file:texts")
        assert files(raw) == []
        (folder / "deep" / "more").unlink()


@pytest.mark.parametrize("pattern", ["{a,b}.txt", "*.txt"])
def test_a_pattern_in_a_path_is_told_to_be_none(raw: Path, pattern: str) -> None:
    with pytest.raises(BertlineError, match=r"no file or folder.*no pattern: name the folder"):
        get(raw, f"file:texts/{pattern}")


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("ftp://host/text.txt", "unknown scheme 'ftp'"),
        ("", "unknown scheme ''"),
        ("http://host/text.txt", "unknown scheme 'http'"),
        ("https://", "not a whole https address"),
        ("https://host/../..", "names no file"),
        ("https://host/a%00b", "names no file"),
        ("https:/text.txt", "not a whole https address"),
        ("https://[host/text.txt", "not a whole https address"),
        ("hf://models/owner/name/model.bin", "not the address of a dataset's file"),
        ("hf://datasets/owner", "not the address of a dataset's file"),
        ("hf://datasets/owner/name/../../../x", "names no file"),
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


def test_the_format_that_the_user_names_reaches_the_readers(raw: Path) -> None:
    (raw.parent / "mine.txt").write_bytes(CONTENT)
    (row,) = get_all(raw, Source("file:mine.txt", format="book"))
    assert row["format"] == "book"


def test_two_sources_of_one_name_are_refused_until_one_has_a_folder(raw: Path, mirror: str) -> None:
    get(raw, "https://host/en/part-08.txt", mirror)
    with pytest.raises(BertlineError, match=r"two sources have the file name 'part-08\.txt'. Set folder"):
        get(raw, "https://other/en/part-08.txt", mirror)
    (row,) = get_all(raw, Source("https://other/en/part-08.txt", folder="other/en"), mirror)
    assert files(raw) == ["other/en/part-08.txt", "part-08.txt"]
    assert row["path"] == "other/en/part-08.txt"


def test_no_source_can_take_the_place_of_the_manifest(raw: Path) -> None:
    (raw.parent / "manifest.json").write_text("{}")
    with pytest.raises(BertlineError, match=r"the file name 'manifest\.json'"):
        get(raw, "file:manifest.json")


def test_an_archive_becomes_a_folder_and_its_row_says_what_was_inside(raw: Path) -> None:
    with zipfile.ZipFile(raw.parent / "corpus.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.txt", "deep/b.txt", "LICENSE", "__MACOSX/._a.txt"):
            archive.writestr(name, CONTENT)
    entry = get(raw, "file:corpus.zip")
    assert files(raw) == ["corpus/a.txt", "corpus/deep/b.txt"]
    assert entry["path"] == "corpus"
    assert entry["bytes"] == (raw.parent / "corpus.zip").stat().st_size
    assert entry["sha256"] == hashlib.sha256((raw.parent / "corpus.zip").read_bytes()).hexdigest()
    inside = {"files": 2, "bytes": 2 * len(CONTENT), "left_out": 2, "sha256": sha256_directory(raw / "corpus")}
    assert entry["unpacked"] == inside
    get_all(raw, Source("file:corpus.zip", unpack="nothing"))
    assert "corpus.zip" in files(raw)


@pytest.mark.parametrize(
    ("name", "unpack", "made"),
    [
        ("a.txt.zst", "archives", "a.txt"),
        ("a.txt.zst", "nothing", "a.txt.zst"),
        ("a.txt.gz", "archives", "a.txt.gz"),
        ("a.txt.gz", "all", "a.txt"),
    ],
)
def test_single_compressed_files_stay_where_the_readers_read_them(raw: Path, name: str, unpack: str, made: str) -> None:
    pack = zstandard.compress if name.endswith(".zst") else gzip.compress
    (raw.parent / name).write_bytes(pack(CONTENT))
    (row,) = get_all(raw, Source(f"file:{name}", unpack=unpack))  # type: ignore[arg-type]
    assert files(raw) == [row["path"]] == [made]
    if made == "a.txt":
        assert (raw / made).read_bytes() == CONTENT
        assert row["unpacked"] == {"files": 1, "bytes": len(CONTENT), "left_out": 0, "sha256": SHA256}


def test_documentation_of_packages_records_their_versions(raw: Path, package: Path) -> None:
    entry = get(raw, "python-docs:sample_docs")
    assert entry["packages"] == {"sample_docs": "unknown"}
    assert len((raw / "python-docs.jsonl").read_text().splitlines()) == 6


def test_mirrors_are_separated_by_white_space_and_directories_by_colons() -> None:
    value = "/a:/b  https://host:8080/base/\n/c"
    assert parse_mirrors(value) == ["/a", "/b", "https://host:8080/base", "/c"]
    assert parse_mirrors("") == []


def test_a_mirror_that_is_no_url_is_named_without_its_password() -> None:
    with pytest.raises(BertlineError, match=r"BERTLINE_MIRROR, http://me:\*\*\*@\[::1/base: not a whole URL"):
        parse_mirrors("/a http://me:geheim@[::1/base")
