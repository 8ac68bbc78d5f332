"""Archives: unpacked as they are, or refused whole with one line."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.base.errors import BertlineError
from bertline.corpus import archives
from bertline.corpus.archives import Damaged, archive_stem, decompress, unpack
from bertline.corpus.compression import open_compressed

TEXT = b"".join(b"Paragraph %d of the text.\n" % number for number in range(5000))
PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
KINDS = [".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tzst", *(f".tar{suffix}" for suffix in PACKED)]
Member = tuple[str, bytes]


def tar_of(*members: tarfile.TarInfo | Member) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
            content = b"" if isinstance(member, tarfile.TarInfo) else member[1]
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zip_of(*members: zipfile.ZipInfo | Member) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(*(member if isinstance(member, tuple) else (member, "target")))
    return stream.getvalue()


def packed(kind: str, *members: Member) -> bytes:
    if kind == ".zip":
        return zip_of(*members)
    suffix = {"gz": ".gz", "bz2": ".bz2", "xz": ".xz", "zst": ".zst"}.get(kind.removeprefix(".t").removeprefix("ar."))
    return PACKED[suffix](tar_of(*members)) if suffix else tar_of(*members)


def archive_with_folders(kind: str, members: dict[str, bytes]) -> bytes:
    """An archive in which names that end with a slash are folders."""
    if kind == ".zip":
        return zip_of(*members.items())
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.size = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE, len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def unpacked(tmp_path: Path, content: bytes, kind: str, limit: int = 0) -> dict[str, bytes]:
    """What an archive holds, unpacked in an empty folder; nothing may appear outside of it."""
    (tmp_path / f"a{kind}").write_bytes(content)
    before = set(tmp_path.rglob("*"))
    folder = tmp_path / "folder"
    try:
        made = unpack(
            tmp_path / f"a{kind}", f"a{kind}", folder, limit=limit, wanted=lambda name: not name.endswith(".md")
        )
    except BertlineError:
        assert set(tmp_path.rglob("*")) == before, "nothing is left of an archive that is refused"
        raise
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert (made.files, made.bytes) == (len(files), sum(map(len, files.values())))
    assert all(folder in path.parents or path == folder for path in set(tmp_path.rglob("*")) - before)
    return files


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_archive_unpacks_to_its_files(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_HEADERS", 1 << 16)
    members = [("one.txt", TEXT), ("./deep/two.txt", b"2"), ("README.md", TEXT * 2), ("deep/.hidden", b"x")]
    assert unpacked(tmp_path, packed(kind, *members), kind) == {"one.txt": TEXT, "deep/two.txt": b"2"}
    assert archive_stem(f"corpus.v1{kind}") == "corpus.v1"


def test_a_text_or_a_bare_suffix_is_no_archive() -> None:
    assert [archive_stem(name) for name in ("a.txt", "a.txt.gz", "a.parquet", ".zip", ".tar.gz")] == [
        "",
        "",
        "",
        "",
        "",
    ]


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.xz"])
@pytest.mark.parametrize("name", ["../x.txt", "/x.txt", "a/../../x.txt", "..", "C:/x.txt", "..\\x.txt", "a/\\x.txt"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    with pytest.raises(BertlineError, match="outside of its folder") as caught:
        unpacked(tmp_path, packed(kind, ("good.txt", TEXT), (name, TEXT)), kind)
    assert "\n" not in str(caught.value) and "..." not in str(caught.value)


@pytest.mark.parametrize("kind", [".zip", ".tar"])
@pytest.mark.parametrize("name", ["a\nb.txt", "\x1b[2J.txt", "n" * 300])
def test_a_name_that_is_none_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    with pytest.raises(BertlineError, match="is no name for a file"):
        unpacked(tmp_path, packed(kind, (name, TEXT)), kind)


@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_an_archive_of_the_folder_that_one_stands_in_is_unpacked(tmp_path: Path, kind: str) -> None:
    members = {"./": b"", "./deep/": b"", "./deep/a.txt": TEXT, "./b.txt": b"b"}
    assert unpacked(tmp_path, archive_with_folders(kind, members), kind) == {"deep/a.txt": TEXT, "b.txt": b"b"}


@pytest.mark.parametrize("kind", [".zip", ".tar"])
@pytest.mark.parametrize("name", ["../", "./../", "a/../../", "/a/"])
def test_a_folder_outside_of_its_folder_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    with pytest.raises(BertlineError, match="outside of its folder"):
        unpacked(tmp_path, archive_with_folders(kind, {"./": b"", name: b"", "a.txt": TEXT}), kind)


def test_a_name_in_shift_jis_has_no_backslash_in_it(tmp_path: Path) -> None:
    name = "表/能.txt"  # both characters end in the byte of a backslash
    packed_name = zip_of(("x" * len(name.encode("cp932")), TEXT))
    content = packed_name.replace(b"x" * len(name.encode("cp932")), name.encode("cp932"))
    assert unpacked(tmp_path, content, ".zip") == {name: TEXT}


def test_a_backslash_in_a_name_that_is_no_shift_jis_is_refused(tmp_path: Path) -> None:
    for name in (b"..\\\x95\x5c.txt", b"\x95\x5c\\a.txt", b"\x95\x5c\x81.txt", b"a\\b.txt"):
        content = zip_of(("x" * len(name), TEXT)).replace(b"x" * len(name), name)
        with pytest.raises(BertlineError, match="outside of its folder"):
            unpacked(tmp_path, content, ".zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", [".zip", ".tar"])
@pytest.mark.parametrize("names", [("a.txt", "a.txt"), ("a.txt", "./a.txt"), ("a", "a/b.txt"), ("a/b.txt", "a")])
def test_a_name_twice_is_refused(tmp_path: Path, kind: str, names: tuple[str, str]) -> None:
    with pytest.raises(BertlineError, match="twice"):
        unpacked(tmp_path, packed(kind, *((name, TEXT) for name in names)), kind)


def special() -> Iterator[tuple[str, bytes]]:
    kinds = [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE,
    ]
    for kind in kinds:
        member = tarfile.TarInfo("special.txt")
        member.type, member.linkname = kind, "good.txt"
        yield ".tar", tar_of(("good.txt", TEXT), member)
    for mode in (0o120777, 0o020666, 0o010666):
        entry = zipfile.ZipInfo("special.txt")
        entry.create_system, entry.external_attr = 3, mode << 16
        yield ".zip", zip_of(("good.txt", TEXT), entry)


@pytest.mark.parametrize(("kind", "content"), list(special()))
def test_links_and_devices_are_refused(tmp_path: Path, kind: str, content: bytes) -> None:
    with pytest.raises(BertlineError, match=r"special\.txt' in it is a link"):
        unpacked(tmp_path, content, kind)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_of(("a.txt", TEXT)))
    for at in (content.index(b"PK\3\4") + 6, content.index(b"PK\1\2") + 8):
        content[at] |= 1
    with pytest.raises(BertlineError, match="is encrypted"):
        unpacked(tmp_path, bytes(content), ".zip")


@pytest.mark.parametrize("kind", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"])
@pytest.mark.parametrize("name", ["bomb.txt", "bomb.md"])
def test_a_bomb_is_refused_while_it_unpacks(
    tmp_path: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "SMALL", 1 << 20)
    monkeypatch.setattr(archives, "_HEADERS", 1 << 16)
    content = packed(kind, (name, b"0" * (32 << 20)), ("good.txt", TEXT))
    assert len(content) * archives.RATIO < 32 << 20
    if (kind, name) == (".zip", "bomb.md"):  # what is left out of a zip is not even decompressed
        assert list(unpacked(tmp_path, content, kind)) == ["good.txt"]
        return
    with pytest.raises(BertlineError, match=r"unpacks to more than [\d,]+ bytes, from [\d,]+\. Set max_unpacked"):
        unpacked(tmp_path, content, kind)
    if name == "bomb.txt":
        assert len(unpacked(tmp_path, content, kind, limit=64 << 20)) == 2


@pytest.mark.parametrize("kind", [".zip", ".tar.xz"])
def test_a_limit_of_ones_own_is_kept(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BertlineError, match=r"more than 1,000 bytes"):
        unpacked(tmp_path, packed(kind, ("a.txt", TEXT)), kind, limit=1000)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a.txt")
    member.pax_headers = {"comment": "x" * (archives._HEADERS + 1)}
    with pytest.raises(BertlineError, match="unpacks to more than"):
        unpacked(tmp_path, gzip.compress(tar_of(member)), ".tar.gz")


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    with pytest.raises(BertlineError, match="more than 3 files"):
        unpacked(tmp_path, packed(".zip", *((f"{number}.txt", b"") for number in range(4))), ".zip")


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_was_cut_short_or_is_none_is_damaged(tmp_path: Path, kind: str) -> None:
    whole = packed(kind, ("a.txt", TEXT), ("b.txt", TEXT[::-1]))
    for content in (whole[: len(whole) // 2], whole[:100], b"<html>Not found</html>" * 100):
        with pytest.raises(Damaged, match="damaged"):
            unpacked(tmp_path, content, kind)


@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_an_archive_without_a_text_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BertlineError, match=r"no text to read \(1 other files\)"):
        unpacked(tmp_path, packed(kind, ("README.md", TEXT)), kind)


@pytest.mark.parametrize("suffix", PACKED)
def test_a_single_compressed_file_can_be_decompressed(tmp_path: Path, suffix: str) -> None:
    content = PACKED[suffix](TEXT)
    path, target = tmp_path / f"a.txt{suffix}", tmp_path / "made" / "a.txt"
    path.write_bytes(content + PACKED[suffix](TEXT))
    assert decompress(path, path.name, target, limit=0) == 2 * len(TEXT)
    assert target.read_bytes() == TEXT * 2
    for damaged in (content[: len(content) // 2], content[:-1], b"not compressed at all"):
        path.write_bytes(damaged)
        with pytest.raises(Damaged):
            decompress(path, path.name, target, limit=0)
        assert not target.exists()
    path.write_bytes(content)
    with pytest.raises(BertlineError, match="more than 100 bytes"):
        decompress(path, path.name, target, limit=100)


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=20_000), min_size=1, max_size=4), st.integers(1, 70_000))
def test_zstandard_frames_read_the_same_in_blocks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], size: int
) -> None:
    path = tmp_path_factory.mktemp("zst") / "a.zst"
    path.write_bytes(b"".join(map(zstandard.compress, parts)))
    with open_compressed(path) as stream:
        blocks = list(iter(lambda: stream.read(size), b""))
    assert b"".join(blocks) == b"".join(parts)


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c.txt", "\\", "C:", "\n", "\udc80", "\u3000"]), min_size=1)


@settings(max_examples=150)
@given(st.sampled_from([".zip", ".tar"]), st.lists(NAMES.map("/".join), min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_whatever_the_names_nothing_is_written_outside(
    tmp_path_factory: pytest.TempPathFactory, kind: str, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    try:
        content = packed(kind, *((name, b"text") for name in names))
    except (UnicodeEncodeError, IndexError):  # such a name cannot even be packed
        return
    try:
        files = unpacked(folder, content, kind)  # asserts that nothing lies outside
    except BertlineError:
        return
    assert 1 <= len(files) <= len(names)
