"""Reading raw files: documents as the format says, faults named, memory bounded."""

import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bertline.base.errors import BertlineError
from bertline.base.files import write_json, write_jsonl
from bertline.corpus.plain_text import MAX_PARAGRAPH, read_plain_text
from bertline.corpus.readers import read_documents, read_python_docs
from bertline.corpus.records import MAX_DOCUMENT
from bertline.tasks.docs import docs_split

PACKED = [
    (".xz", lzma.compress),
    (".gz", gzip.compress),
    (".bz2", bz2.compress),
    (".zst", zstandard.ZstdCompressor().compress),
]
TEXT = "One.\nTwo.\n\n\nThree.\r\n  \nFour."
LONG = "word " * 100


def paragraphs(path: Path) -> list[tuple[str, ...]]:
    return [document.paragraphs for document in read_plain_text(path)]


def test_an_empty_line_separates_documents(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    documents = list(read_plain_text(tmp_path / "book.txt"))
    assert [document.paragraphs for document in documents] == [("One.", "Two."), ("Three.",), ("Four.",)]
    assert [document.title for document in documents] == ["book 1", "book 2", "book 3"]
    assert {document.source for document in documents} == {"book.txt"}


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
def test_compressed_text_reads_the_same_and_damage_is_named(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"book.txt{suffix}"
    path.write_bytes(pack(TEXT.encode()))
    assert paragraphs(path) == [("One.", "Two."), ("Three.",), ("Four.",)]
    for damaged in (pack(TEXT.encode() * 9)[:-9], b"not packed at all"):
        path.write_bytes(damaged)
        with pytest.raises(BertlineError, match=f"book.txt{suffix}: damaged"):
            paragraphs(path)


def test_a_line_of_50_megabytes_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "line.txt"
    with path.open("w") as out:
        for _ in range(50):
            out.write("words and more words " * 50_000)
    tracemalloc.start()
    sizes = [max(map(len, document.paragraphs)) for document in read_plain_text(path)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(sizes) <= MAX_PARAGRAPH
    assert peak < 20_000_000
    assert len(sizes) > 50


@given(st.lists(st.sampled_from(["", "a b", "c" * 50, "d " * 40, "é"]), max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_no_character_is_lost_by_cutting(tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str) -> None:
    path = tmp_path_factory.mktemp("read") / "text.txt"
    path.write_bytes(end.join(lines).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bertline.corpus.plain_text.MAX_PARAGRAPH", 16)
        patch.setattr("bertline.corpus.plain_text.MAX_DOCUMENT", 60)
        patch.setattr("bertline.corpus.raw_files._BLOCK", 7)
        read = [paragraph for document in paragraphs(path) for paragraph in document]
    assert "".join(read).replace(" ", "") == "".join(lines).replace(" ", "")
    assert all(len(paragraph) <= 16 for paragraph in read)


def test_a_long_document_goes_on_in_the_next(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("x" * 90_000 + "\n" + ("y" * 90_000 + "\n") * 20)
    sizes = [sum(map(len, document)) for document in paragraphs(tmp_path / "book.txt")]
    assert len(sizes) == 2
    assert max(sizes) <= MAX_DOCUMENT
    assert sum(sizes) == 90_000 * 21


@pytest.mark.parametrize(
    ("content", "line", "byte"),
    [(b"good\nb\xffd", 2, 6), (b"good\n\ncut \xe4\xb8", 3, 10), (b"x\n" * 50_000 + b"\xe9t\xe9", 50_001, 100_000)],
)
def test_invalid_utf8_is_named_by_file_line_and_byte(tmp_path: Path, content: bytes, line: int, byte: int) -> None:
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(BertlineError, match=rf"bad\.txt, line {line}, byte {byte}: not UTF-8"):
        paragraphs(tmp_path / "bad.txt")


def _row(module: str, name: str, text: str) -> dict[str, str]:
    kind = "function" if name else "module"
    return {"package": "p", "module": module, "name": name, "kind": kind, "text": text}


def _modules(split: str, count: int) -> list[str]:
    return [name for name in (f"p.m{number}" for number in range(100)) if docs_split(name) == split][:count]


def test_a_class_with_its_methods_is_a_document_and_short_docstrings_go_to_their_module(tmp_path: Path) -> None:
    module = _modules("train", 1)[0]
    rows = [
        _row(module, "", "The module."),
        _row(module, "Door", "A door."),
        _row(module, "Door.open", LONG),
        _row(module, "Doorway", "A doorway."),
        _row(module, "knock", LONG),
    ]
    write_jsonl(tmp_path / "python-docs.jsonl", rows)
    documents = list(read_python_docs(tmp_path / "python-docs.jsonl"))
    assert [(document.title, document.paragraphs) for document in documents] == [
        (f"{module}.Door", ("A door.", LONG)),
        (f"{module}.knock", (LONG,)),
        (module, ("The module.", "A doorway.")),
    ]
    assert all(document.docstrings and document.source == "p" for document in documents)


def test_modules_that_tasks_are_tested_on_are_left_out(tmp_path: Path) -> None:
    train, test = _modules("train", 2), _modules("test", 2)
    write_jsonl(tmp_path / "python-docs.jsonl", [_row(module, "f", LONG) for module in sorted(train + test)])
    read = {document.title for document in read_python_docs(tmp_path / "python-docs.jsonl")}
    assert read == {f"{module}.f" for module in train}


def test_the_manifest_gives_the_order_and_folders_are_read_sorted(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("z.txt", "folder/b.txt", "folder/deep/a.txt"):
        (tmp_path / name).write_text(name)
    write_json(tmp_path / "manifest.json", {"sources": [{"path": "z.txt"}, {"path": "folder"}]})
    assert [document.paragraphs for document in read_documents(tmp_path)] == [
        ("z.txt",),
        ("folder/b.txt",),
        ("folder/deep/a.txt",),
    ]


def test_a_source_without_a_document_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full.txt").write_text("A line.")
    (tmp_path / "empty.jsonl.gz").write_bytes(b"")
    write_json(tmp_path / "manifest.json", {"sources": [{"path": "full.txt"}, {"path": "empty.jsonl.gz"}]})
    assert len(list(read_documents(tmp_path))) == 1
    assert capsys.readouterr().err == f"{tmp_path}/empty.jsonl.gz: there is no document in it\n"


def test_a_file_the_manifest_names_but_nobody_has_is_an_error(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"sources": [{"path": "gone.txt", "address": "file:gone.txt"}]})
    with pytest.raises(BertlineError, match=r"gone\.txt: file not found"):
        list(read_documents(tmp_path))


def test_what_is_wrong_with_a_text_is_to_be_mended_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    write_json(tmp_path / "manifest.json", {"sources": [{"path": "a.txt", "address": "file:data/sources/a.txt"}]})
    with pytest.raises(BertlineError, match=r"a\.txt, line 1, .* came from file:data/sources/a\.txt; .* undoes"):
        list(read_documents(tmp_path))
