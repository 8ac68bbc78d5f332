"""The corpus: cleaned, without copies, split for good, the same bytes each time."""

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bertline.base.config import Documents
from bertline.base.errors import BertlineError
from bertline.base.files import write_json, write_jsonl
from bertline.corpus import parquet
from bertline.corpus.documents import build_corpus
from bertline.corpus.parquet import SPLITS
from bertline.corpus.verdicts import Corpus, Verdicts, decide
from bertline.tasks.docs import docs_split
from document_shards import read_sentences

CONFIG = Documents(min_characters=20, validation_fraction=0.2)


def raw_text(directory: Path, documents: list[str]) -> Path:
    (directory / "text.txt").write_text("\n\n".join(documents))
    write_json(directory / "manifest.json", {"sources": [{"path": "text.txt"}]})
    return directory


def some_documents(count: int) -> list[str]:
    return [f"Document number {number} begins here. It has two sentences." for number in range(count)]


def built(raw: Path, name: str, config: Documents = CONFIG) -> tuple[Path, dict[str, object]]:
    directory = raw / name
    directory.mkdir()
    return directory, build_corpus(raw, directory, config)


def texts(directory: Path, split: str) -> set[str]:
    return {" ".join(sentences) for batch in read_sentences(directory, split) for sentences in batch}


def test_every_document_is_in_one_split_and_counted(tmp_path: Path) -> None:
    documents = some_documents(200)
    directory, metrics = built(raw_text(tmp_path, documents), "corpus")
    train, validation = (texts(directory, split) for split in SPLITS)
    assert train | validation == set(documents)
    assert not train & validation
    assert (metrics["train_documents"], metrics["validation_documents"]) == (len(train), len(validation))
    assert metrics["train_sentences"] == 2 * len(train)
    assert metrics["characters"] == sum(len(document) - 1 for document in documents)
    assert 20 < len(validation) < 60


def test_a_copy_that_was_dropped_is_listed_with_the_document_that_stays(tmp_path: Path) -> None:
    words = " ".join(f"{one}{other}lo" for one in "abcdefghijklmno" for other in "abcdefghijklmno")
    first, near = (f"{words} {last}. And a second sentence here." for last in ("one", "two"))
    directory, metrics = built(raw_text(tmp_path, [first, near, first, *some_documents(50)]), "corpus")
    assert metrics["dropped"] == {"documents_duplicate": 1, "documents_near_duplicate": 1}
    kept = {row["id"] for path in directory.glob("*.parquet") for row in pq.read_table(path).to_pylist()}
    listed = [json.loads(line) for line in (directory / "dropped.jsonl").read_text().splitlines()]
    assert [row["rule"] for row in listed] == ["near_duplicate", "duplicate"]
    assert listed[0]["of"] == listed[1]["of"] == listed[1]["id"] != listed[0]["id"] and listed[0]["of"] in kept


def test_a_document_keeps_its_split_when_the_corpus_grows(tmp_path: Path) -> None:
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
    small, _ = built(raw_text(tmp_path / "small", some_documents(50)), "corpus")
    large, _ = built(raw_text(tmp_path / "large", some_documents(100)[::-1]), "corpus")
    assert texts(small, "validation") < texts(large, "validation")
    assert texts(small, "train") < texts(large, "train")


def test_copies_and_short_documents_are_dropped_and_counted(tmp_path: Path) -> None:
    documents = [
        *some_documents(40),
        some_documents(1)[0].title(),
        "Too short. Yes.",
        "One sentence that is long enough.",
    ]
    directory, metrics = built(raw_text(tmp_path, documents), "corpus")
    assert metrics["dropped"] == {"documents_duplicate": 1, "documents_short": 2}
    assert len(texts(directory, "train")) + len(texts(directory, "validation")) == 40


def test_numbers_that_are_dropped_as_sentences_are_counted_and_do_not_count_against_their_document(
    tmp_path: Path,
) -> None:
    numbers = "It was 1234 5678 9012 3456 7890 1234 5678 9012 3456 7890 1234 5678 9012 3456 7890 then."
    documents = some_documents(40)
    documents[7] = f"{documents[7]} {numbers} {documents[8].replace('8', '77')} {numbers}"
    directory, metrics = built(raw_text(tmp_path, documents), "corpus")
    assert metrics["dropped"] == {"sentences_symbols": 2}
    assert len(texts(directory, "train")) + len(texts(directory, "validation")) == 40


def test_row_groups_come_back_in_order_whatever_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_text(tmp_path, some_documents(60))
    whole = list(read_sentences(built(raw, "whole")[0], "train"))
    monkeypatch.setattr(parquet, "_GROUP_CHARACTERS", 300)
    pieces = list(read_sentences(built(raw, "pieces")[0], "train"))
    assert len(pieces) > len(whole)
    assert [document for batch in pieces for document in batch] == [document for batch in whole for document in batch]


def test_docstrings_are_cleaned_and_modules_of_test_tasks_stay_out(tmp_path: Path) -> None:
    modules = [f"p.m{number}" for number in range(60)]
    text = "Parameters\n----------\nx : int\n    The number of `{}`.\n\n>>> f(1)\n"
    rows = [
        {"package": "p", "module": name, "name": "", "kind": "module", "text": text.format(name)} for name in modules
    ]
    write_jsonl(tmp_path / "python-docs.jsonl", sorted(rows, key=lambda row: row["module"]))
    write_json(tmp_path / "manifest.json", {"sources": [{"path": "python-docs.jsonl"}]})
    directory, metrics = built(tmp_path, "corpus")
    kept = {f"x : int The number of {name}." for name in modules if docs_split(name) != "test"}
    assert texts(directory, "train") | texts(directory, "validation") == kept
    assert metrics["dropped"] == {"lines_code": len(kept), "lines_heading": 2 * len(kept)}


@pytest.mark.parametrize(
    ("documents", "problem"),
    [
        ([], "the corpus is empty: no text"),
        (["Short."], "the corpus is empty .dropped: 1 documents short"),
        (some_documents(1), "1 documents do not fill both splits"),
    ],
)
def test_a_corpus_that_cannot_be_split_is_refused(tmp_path: Path, documents: list[str], problem: str) -> None:
    with pytest.raises(BertlineError, match=problem):
        built(raw_text(tmp_path, documents), "corpus")


def test_half_a_surrogate_pair_in_a_text_or_a_title_goes(tmp_path: Path) -> None:
    rows = [
        {"text": text.replace("has", "\ud83dhas"), "title": "One \ud83d\udc4d, half\ud83d"}
        for text in some_documents(60)
    ]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(tmp_path / "manifest.json", {"sources": [{"path": "text.jsonl"}]})
    directory, _ = built(tmp_path, "corpus")
    assert texts(directory, "train") | texts(directory, "validation") == set(some_documents(60))
    titles = {row["title"] for path in directory.glob("*.parquet") for row in pq.read_table(path).to_pylist()}
    assert titles == {"One \U0001f44d, half"}


def test_what_a_killed_run_leaves_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, raw = tmp_path / "data", raw_text(tmp_path, some_documents(60))
    (data / "corpus").mkdir(parents=True)

    def killed(corpus: Corpus, config: Documents) -> None:
        (scratch,) = (path for path in data.iterdir() if path.name != "corpus")
        shutil.copytree(scratch, data / f"{scratch.name[:7]}left.tmp")
        assert fnmatch(scratch.name, ".*.tmp"), "what git and DVC ignore"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("bertline.corpus.documents.decide", killed)
        build_corpus(raw, data / "corpus", CONFIG)
    assert len(list(data.iterdir())) == 2
    build_corpus(raw, data / "corpus", CONFIG)
    assert [path.name for path in data.iterdir()] == ["corpus"]


def test_a_run_beside_another_leaves_the_parts_of_that_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_text(tmp_path, some_documents(60))
    (tmp_path / "data" / "one").mkdir(parents=True)
    (tmp_path / "data" / "other").mkdir()

    def beside(corpus: Corpus, config: Documents) -> Verdicts:
        monkeypatch.undo()
        build_corpus(raw, tmp_path / "data" / "other", CONFIG)
        return decide(corpus, config)

    monkeypatch.setattr("bertline.corpus.documents.decide", beside)
    build_corpus(raw, tmp_path / "data" / "one", CONFIG)
    assert texts(tmp_path / "data" / "one", "train") == texts(tmp_path / "data" / "other", "train")


def test_a_missing_and_a_damaged_split_are_named(tmp_path: Path) -> None:
    directory, _ = built(raw_text(tmp_path, some_documents(60)), "corpus")
    train = directory / "train-00000.parquet"
    train.write_bytes(train.read_bytes()[:-20])
    with pytest.raises(BertlineError, match=r"train-00000\.parquet: not a whole corpus file"):
        list(read_sentences(directory, "train"))
    train.unlink()
    with pytest.raises(BertlineError, match=r"no train-\*\.parquet"):
        list(read_sentences(directory, "train"))
