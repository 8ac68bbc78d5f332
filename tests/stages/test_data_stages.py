"""The data stages in a row, from an address to token ids, and what they leave behind when they fail."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertConfig

from bertline.base.artifacts import Artifacts
from bertline.base.config import Documents, Encode, Params, Vocab
from bertline.base.download_config import Download, Source
from bertline.base.errors import BertlineError
from bertline.base.files import read_json, sha256_directory, sha256_file
from bertline.stages import documents, download, encode, vocab
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import read_vocab
from document_shards import read_sentences
from their_bert import as_bert_base, save_tokenizer

PARAMS = Params(
    download=Download([Source("python-docs:json+email+argparse", licence="PSF-2.0"), Source("file:data/sources")]),
    documents=Documents(min_characters=50, validation_fraction=0.2),
    vocab=Vocab(size=1024),
    encode=Encode(max_tokens_per_character=0),
)
STAGES = (download, documents, vocab, encode)


def run_all(root: Path) -> Artifacts:
    artifacts = Artifacts(root)
    (artifacts.data / "sources").mkdir(parents=True)
    (artifacts.data / "sources" / "more.txt").write_text(
        "\n\n".join(
            f"The story of number {number} is a long one. It came from {number * 7} people of {chr(0x4E00 + number)}, "
            f"who had heard it from {number} others."
            for number in range(80)
        )
    )
    for stage in STAGES:
        name = stage.__name__.rpartition(".")[2]
        returned = stage.run(PARAMS, artifacts)
        if stage is not download:
            assert read_json(artifacts.metrics(name)) == returned
    return artifacts


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return run_all(tmp_path_factory.mktemp("checkout"))


def test_the_manifest_describes_what_was_fetched(data: Artifacts) -> None:
    docs, folder = read_json(data.raw / "manifest.json")["sources"]
    assert docs["sha256"] == sha256_file(data.raw / docs["path"])
    assert docs["licence"] == "PSF-2.0"
    assert set(docs["packages"]) == {"json", "email", "argparse"}
    assert folder["sha256"] == sha256_directory(data.raw / folder["path"])


def test_the_tokens_are_those_of_the_documents(data: Artifacts) -> None:
    tokenizer = Tokenizer.from_file(str(data.vocab / "tokenizer.json"))
    for split in ("train", "validation"):
        store = TokenStore.open(data.tokens(split))
        rows = [document for batch in read_sentences(data.documents, split) for document in batch]
        sentences = [sentence for document in rows for sentence in document]
        expected = [tokenizer.encode(sentence, add_special_tokens=False).ids for sentence in sentences]
        assert np.diff(store.documents).tolist() == [len(document) for document in rows]
        assert np.diff(store.sentences).tolist() == [len(ids) for ids in expected]
        assert store.ids.tolist() == [token for ids in expected for token in ids]
        assert store.meta["words"] == sum(len(sentence.split()) for sentence in sentences)
        assert store.meta["vocab_sha256"] == sha256_file(data.vocab / "vocab.txt")


def test_the_metrics_agree_with_the_artefacts(data: Artifacts) -> None:
    metrics, train = read_json(data.metrics("encode")), TokenStore.open(data.tokens("train"))
    validation = TokenStore.open(data.tokens("validation"))
    assert metrics["train_tokens"] == len(train.ids)
    assert metrics["validation_tokens"] == len(validation.ids)
    shares = np.unique(validation.ids, return_counts=True)[1] / len(validation.ids)
    assert metrics["unigram_entropy"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert metrics["unigram_accuracy"] == shares.max()
    assert metrics["vocab_used"] == len(np.unique(train.ids)) / 1024
    unknown = int((train.ids == 1).sum() + (validation.ids == 1).sum())
    assert unknown > 0  # validation documents name places that no training document does
    assert metrics["unknown_share"] == unknown / (len(train.ids) + len(validation.ids))
    assert 1 <= metrics["tokens_per_word"] < 2.5
    assert read_json(data.metrics("documents"))["train_documents"] == train.meta["documents"]
    assert read_json(data.metrics("vocab"))["size"] == 1024


@pytest.mark.parametrize("lowercase", [True, False])
def test_the_vocabulary_of_a_hugging_face_model_can_be_reused(data: Artifacts, tmp_path: Path, lowercase: bool) -> None:
    artifacts = Artifacts(tmp_path)
    shutil.copytree(data.documents, artifacts.documents)
    letters = [chr(code) for code in range(33, 127) if lowercase is False or not chr(code).isupper()]
    entries = as_bert_base([*letters, *(f"##{letter}" for letter in letters), "the", "json", "email"])
    directory = artifacts.data / "initial" / "bert"
    save_tokenizer(directory, entries, lowercase=lowercase)
    BertConfig(vocab_size=len(entries)).save_pretrained(directory)
    params = replace(PARAMS, vocab=Vocab(size=512, lowercase=not lowercase, reuse="data/initial/bert"))
    metrics = vocab.run(params, artifacts)
    encode.run(params, artifacts)
    assert read_vocab(artifacts.vocab) == entries
    assert metrics.keys() == read_json(data.metrics("vocab")).keys()
    assert (metrics["size"], metrics["unused"]) == (len(entries), 994)
    auto = AutoTokenizer.from_pretrained(directory)
    store = TokenStore.open(artifacts.tokens("validation"))
    texts = [text for batch in read_sentences(data.documents, "validation") for rows in batch for text in rows]
    expected = [token for text in texts for token in auto(text, add_special_tokens=False)["input_ids"]]
    assert store.ids.tolist() == expected and max(expected) > 999
    assert store.meta["unknown"] == expected.count(100) > 0


def test_a_reused_vocabulary_that_cannot_be_leaves_nothing_behind(data: Artifacts, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    shutil.copytree(data.documents, artifacts.documents)
    with pytest.raises(BertlineError, match=r"initial/bert: no such directory"):
        vocab.run(replace(PARAMS, vocab=Vocab(reuse="data/initial/bert")), artifacts)
    assert not artifacts.vocab.exists()


def test_a_second_run_writes_the_same_bytes(data: Artifacts, tmp_path: Path) -> None:
    again = run_all(tmp_path)
    for name in ("raw", "documents", "vocab", "tokens", "reports"):
        assert sha256_directory(again.data / name) == sha256_directory(data.data / name)


def test_what_hardly_compresses_is_dropped_and_counted(data: Artifacts, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    shutil.copytree(data.documents, artifacts.documents)
    shutil.copytree(data.vocab, artifacts.vocab)
    metrics = encode.run(replace(PARAMS, encode=Encode(0.35)), artifacts)
    stored = [TokenStore.open(artifacts.tokens(split)) for split in ("train", "validation")]
    written = read_json(data.metrics("documents"))
    assert 0 < metrics["dropped_documents"] == sum(store.meta["dropped"] for store in stored)
    for store, split in zip(stored, ("train", "validation"), strict=True):
        assert store.meta["documents"] + store.meta["dropped"] == written[f"{split}_documents"]
    with pytest.raises(BertlineError, match=r"all \d+ documents were dropped.*encode\.max_tokens_per_character"):
        encode.run(replace(PARAMS, encode=Encode(0.01)), artifacts)


def test_a_source_that_fails_leaves_the_raw_data_as_it_was(data: Artifacts, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    artifacts.raw.mkdir(parents=True)
    (artifacts.raw / "old.txt").write_text("what was there before")
    (tmp_path / "good.txt").write_text("good")
    with pytest.raises(BertlineError, match="no file or folder"):
        download.run(Params(download=Download([Source("file:good.txt"), Source("file:missing.txt")])), artifacts)
    assert [file.name for file in artifacts.data.rglob("*")] == ["raw", "old.txt"]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_source_in_the_folder_of_another_is_refused_in_either_order(tmp_path: Path, turn: int) -> None:
    (tmp_path / "texts").mkdir()
    for name in ("texts/a.txt", "b.txt"):
        (tmp_path / name).write_text("Some text.")
    sources = [Source("file:texts"), Source("file:b.txt", folder="texts")][::turn]
    with pytest.raises(BertlineError, match=r"'texts'.*Set (?:another )?folder: for one of them"):
        download.run(Params(download=Download(sources)), Artifacts(tmp_path))


def test_mirrors_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "text.txt").write_text("from the mirror")
    monkeypatch.setenv("BERTLINE_MIRROR", str(tmp_path / "mirror"))
    download.run(Params(download=Download([Source("mirror:text.txt")])), Artifacts(tmp_path))
    assert (tmp_path / "data" / "raw" / "text.txt").read_text() == "from the mirror"


def test_an_empty_corpus_stops_the_stage_without_half_an_artefact(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    (tmp_path / "empty.txt").write_text(" \n\n")
    params = Params(download=Download([Source("file:empty.txt")]))
    download.run(params, artifacts)
    with pytest.raises(BertlineError, match="the corpus is empty"):
        documents.run(params, artifacts)
    assert [file.name for file in artifacts.data.iterdir()] == ["raw"]


def test_a_vocabulary_that_does_not_fit_its_tokenizer_stops_encode(data: Artifacts, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    artifacts.vocab.mkdir(parents=True)
    for name in ("vocab.txt", "tokenizer.json"):
        (artifacts.vocab / name).write_bytes((data.vocab / name).read_bytes())
    (artifacts.vocab / "vocab.txt").write_text((data.vocab / "vocab.txt").read_text() + "one-more\n")
    with pytest.raises(BertlineError, match=r"differ from the 1,025 of vocab\.txt"):
        encode.run(PARAMS, artifacts)
    assert not artifacts.tokens("train").parent.exists()
