"""Formats of raw files: told by name and content, read as people write them, and refused in one clear line."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.base.errors import BertlineError
from bertline.base.files import write_json
from bertline.corpus.raw_files import kind
from bertline.corpus.readers import MANIFEST, READERS, read_documents
from bertline.corpus.records import MAX_DOCUMENT

WIKI = (
    '<doc id="1" url="u" title="A &amp; B">\nA & B\n\nFirst.\nSecond.\n\n</doc>\n'
    '<doc id="2" title="C">\nC\n\nIt.\n</doc>\n'
)
BOOK = (
    "Title: A Book\n\n*** START OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n\nIt was a dark\nand stormy night.\n\n\n"
    "Then it\nwas not.\n\n*** END OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n\nLicence.\n"
)


def read(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [(document.title, document.paragraphs) for document in READERS[kind(path)](path)]


def test_jsonl_has_texts_and_optional_titles(tmp_path: Path) -> None:
    rows = [{"text": "One.\n\n Two. "}, {"title": "T", "text": "Three."}, {"id": 7, "text": "é"}, {"text": ""}]
    lines = "\n".join(["", *map(json.dumps, rows)]).encode()
    for name, content in (("a.jsonl", lines), ("a.ndjson.gz", gzip.compress(lines)), ("wiki_00", lines.lstrip())):
        (tmp_path / name).write_bytes(content)
        first = "a 2" if name.startswith("a.") else "wiki_00 1"
        expected = [(first, ("One.", "Two.")), ("T", ("Three.",)), ("7", ("é",))]
        assert read(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"text": "x"', "line 2: not valid JSON"),
        (b'{"text": ' + b"[" * 100_000, "line 2: not valid JSON"),
        (b"[1]", "line 2: not a JSON object"),
        (b'{"body": "x"}', "line 2: no key 'text' among body"),
        (b'{"text": 3}', "line 2: text is 3"),
        (b'{"text": "\xff"}', "line 2: not UTF-8"),
    ],
    ids=["cut off", "nested too deep", "no object", "another key", "a number", "not UTF-8"],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, problem: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "good"}\n' + line + b"\n")
    with pytest.raises(BertlineError, match=rf"a\.jsonl, {problem}"):
        read(tmp_path / "a.jsonl")


def test_parquet_has_a_column_of_texts_and_perhaps_of_titles(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"Row {number}.\nIt ends." for number in range(600)]
    pq.write_table(pa.table({"n": list(range(600)), "text": texts}), path, row_group_size=100)
    assert read(path) == [(f"a {number + 1}", (f"Row {number}.", "It ends.")) for number in range(600)]
    pq.write_table(pa.table({"title": ["T", None], "text": pa.array(["x", None], pa.large_string())}), path)
    assert read(path) == [("T", ("x",))]


def test_a_row_group_of_parquet_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    numbers = Random(0)
    texts = [numbers.randbytes(1500).hex() for _ in range(8000)]  # 24 MB, which nothing makes smaller
    pq.write_table(pa.table({"text": texts}), path, row_group_size=8000, use_dictionary=False, compression="none")
    program = (
        "import sys, pathlib, pyarrow; from bertline.corpus.records import read_parquet;"
        "print(sum(1 for _ in read_parquet(pathlib.Path(sys.argv[1]))), pyarrow.default_memory_pool().max_memory())"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    rows, most = map(int, ended.stdout.split())
    assert rows == len(texts)
    assert most < 12 << 20  # 8 MiB; with the row group, 30


def test_parquet_without_texts_or_whole_bytes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["x"], "text": [1]}), path)
    with pytest.raises(BertlineError, match=r"a\.parquet: no column 'text' of strings; it has body \(string\), text"):
        read(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BertlineError, match=r"a\.parquet: damaged"):
        read(path)


def test_parquet_may_number_its_texts_or_view_them(tmp_path: Path) -> None:
    texts = pa.array(["One.", None, "Two.", "One."])
    for column in (texts.dictionary_encode(), texts.cast(pa.string_view()), texts.cast(pa.large_string())):
        pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
        assert [paragraphs for _, paragraphs in read(tmp_path / "a.parquet")] == [("One.",), ("Two.",), ("One.",)]


def test_parquet_with_columns_of_one_name_or_other_bytes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 2, names=["text", "text"]), path)
    with pytest.raises(BertlineError, match=r"a\.parquet: two columns are called 'text'"):
        read(path)
    latin1 = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(bytes([0, 0, 0, 0, 4, 0, 0, 0])), pa.py_buffer(b"caf\xe9")]
    )
    pq.write_table(pa.table({"text": pa.chunked_array([["good"], latin1])}), path)
    with pytest.raises(BertlineError, match=r"a\.parquet, rows 1 to 2: not UTF-8"):
        read(path)


def test_wikiextractor_is_told_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "wiki_00").write_text(WIKI)
    assert read(tmp_path / "wiki_00") == [("A & B", ("First.", "Second.")), ("C", ("It.",))]


@pytest.mark.parametrize("after", ["", ' url="u"', " n=1 "])
def test_a_title_of_wikiextractor_may_hold_quotes(tmp_path: Path, after: str) -> None:
    (tmp_path / "wiki_00").write_text(f'<doc id="1" title="The "Foo" film"{after}>\nThe "Foo" film\n\nFirst.\n</doc>\n')
    assert read(tmp_path / "wiki_00") == [('The "Foo" film', ("First.",))]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (WIKI[:-8], r"line \d+: the document of line 8 has no </doc>"),
        (WIKI.replace("</doc>", "", 1), r"line 8: the document of line 1 has no </doc>"),
        (WIKI + "stray\n", r"line 13: text outside of <doc"),
    ],
)
def test_wikiextractor_cut_short_is_named(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "wiki_00").write_text(content)
    with pytest.raises(BertlineError, match=problem):
        read(tmp_path / "wiki_00")


def test_a_book_is_one_document_of_unwrapped_paragraphs_without_its_licence(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(BOOK)
    expected = ("It was a dark and stormy night.", "Then it was not.")
    assert read(tmp_path / "book.txt") == [("book", expected)]
    (tmp_path / "plain.txt").write_text("It was a dark\nand stormy night.\n\nThen it\nwas not.\n")
    assert len(read(tmp_path / "plain.txt")) == 2
    write_json(tmp_path / "manifest.json", {"sources": [{"path": "plain.txt", "format": "book"}]})
    assert [document.paragraphs for document in read_documents(tmp_path)] == [expected]


@pytest.mark.parametrize("start", ["***START OF THE ", "*** Start of the ", "*** START OF THIS "])
def test_a_book_is_recognised_however_its_mark_is_written(tmp_path: Path, start: str) -> None:
    (tmp_path / "book.txt").write_text(BOOK.replace("*** START OF THE ", start))
    assert read(tmp_path / "book.txt") == [("book", ("It was a dark and stormy night.", "Then it was not."))]


def test_several_books_in_a_file_are_a_document_each(tmp_path: Path) -> None:
    (tmp_path / "books.txt").write_text(BOOK + BOOK.replace("night", "day"))
    first, second = ("It was a dark and stormy night.", "Then it was not."), ("It was a dark and stormy day.",)
    assert read(tmp_path / "books.txt") == [("books", first), ("books", (*second, first[1]))]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "cp1252"])
def test_a_file_in_another_encoding_is_told_how_to_be_converted_without_harm(
    tmp_path: Path, name: str, encoding: str
) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / name).write_bytes((mark + '{"text": "„é“ – 5 €"}').encode(encoding))
    with pytest.raises(BertlineError) as caught:
        read(tmp_path / name)
    command = re.search("`(iconv .*)`", str(caught.value))
    assert command
    converted = subprocess.run([*command[1].split(), tmp_path / name], check=True, capture_output=True).stdout
    assert converted.decode().removeprefix("\ufeff") == '{"text": "„é“ – 5 €"}'


def test_a_record_without_end_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x" * 2_500_000}))
    assert [sum(map(len, paragraphs)) for _, paragraphs in read(tmp_path / "a.jsonl")] == [MAX_DOCUMENT] * 2 + [500_000]


@pytest.mark.parametrize("name", ["rows.csv", "ROWS.TSV", "rows.csv.gz"])
def test_a_table_is_no_text_unless_one_says_so(name: str, tmp_path: Path) -> None:
    """Headings, commas and numbers would be learned as if somebody had written so."""
    content = b"text,label\nOne good film.,1\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    source = {"path": name, "address": f"file:{name}"}
    write_json(tmp_path / MANIFEST, {"sources": [source]})
    with pytest.raises(BertlineError, match=rf"{name}: a table is no text\. Write it as JSONL, .*`format: text`"):
        list(read_documents(tmp_path))
    write_json(tmp_path / MANIFEST, {"sources": [source | {"format": "text"}]})
    (document,) = read_documents(tmp_path)
    assert document.paragraphs[0] == "text,label"
