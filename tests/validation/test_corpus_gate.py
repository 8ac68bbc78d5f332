"""gate_corpus lets clean documents pass, and names what is wrong with others."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.stages import gate_corpus
from gate_data import SCHEMA, change_documents, change_json, make_documents, small_params, write_documents


def every(step: int, change: Callable[[dict], None]) -> Callable[[list[dict]], None]:
    """A change of every `step`-th row."""

    def apply(rows: list[dict]) -> None:
        for row in rows[::step]:
            change(row)

    return apply


def in_sentences(change: Callable[[str], str]) -> Callable[[dict], None]:
    return lambda row: row.update(sentences=[change(text) for text in row["sentences"]])


def cut(artifacts: Artifacts) -> None:
    path = artifacts.documents / "train-00000.parquet"
    path.write_bytes(path.read_bytes()[:-200])


def swap_columns(artifacts: Artifacts) -> None:
    change_documents(artifacts, "train", every(1, lambda row: row.update(id=row["source"], source=row["id"])))


def drop_half(artifacts: Artifacts) -> None:
    counts = artifacts.metrics("documents").read_text()
    change_documents(artifacts, "train", lambda rows: rows[: len(rows) // 2])
    artifacts.metrics("documents").write_text(counts)


def leak(artifacts: Artifacts) -> None:
    taken: list[dict] = []
    change_documents(artifacts, "train", lambda rows: taken.extend(rows[:3]))
    moved = [{**row, "id": f"copy-{row['id']}"} for row in taken]
    change_documents(artifacts, "validation", lambda rows: rows + moved)


def other_schema(artifacts: Artifacts) -> None:
    write_documents(artifacts, "train", [{"id": "1", "text": "A text."}], SCHEMA.remove(3))


def change_train(step: int, change: Callable[[dict], None]) -> Callable[[Artifacts], None]:
    return lambda artifacts: change_documents(artifacts, "train", every(step, change))


GERMAN = "Das ist der Satz von einem Dokument, und er wird nicht auf Englisch, sondern in der Sprache des Landes sein."
FAULTS: dict[str, tuple[Callable[[Artifacts], None], str]] = {
    "a truncated shard": (cut, "shards_can_be_read"),
    "another schema": (other_schema, "shards_have_the_schema"),
    "half a shard": (drop_half, "no_document_was_lost"),
    "an empty shard": (lambda a: write_documents(a, "test", []), "shards_hold_documents"),
    "no validation": (lambda a: (a.documents / "validation-00000.parquet").unlink(), "both_splits_are_there"),
    "too large a validation": (lambda a: make_documents(a, 150, 50), "validation_share_is_as_asked"),
    "swapped columns": (swap_columns, "ids_are_unique"),
    "no ids": (change_train(5, lambda row: row.update(id=None)), "ids_are_given"),
    "no sources": (change_train(5, lambda row: row.update(source="")), "sources_are_given"),
    "a source a document": (
        change_train(1, lambda row: row.update(source=row["title"])),
        "sources_are_names_not_texts",
    ),
    "texts as titles": (change_train(3, lambda row: row.update(title="long " * 300)), "titles_are_short"),
    "repeated documents": (
        lambda a: change_documents(
            a, "train", lambda rows: rows + [{**row, "id": f"{row['id']}b"} for row in rows[:9]]
        ),
        "texts_are_unique",
    ),
    "repeated rows": (lambda a: change_documents(a, "train", lambda rows: rows + rows[:1]), "ids_are_unique"),
    "validation in train": (leak, "validation_is_not_in_train"),
    "no sentences": (change_train(9, lambda row: row.update(sentences=None)), "documents_have_sentences"),
    "one sentence": (
        change_train(9, lambda row: row.update(sentences=row["sentences"][:1])),
        "documents_have_sentences",
    ),
    "empty sentences": (change_train(9, lambda row: row["sentences"].append(" ")), "sentences_are_not_empty"),
    "hardly a character": (change_train(9, lambda row: row.update(sentences=["a", "b"])), "documents_have_text"),
    "sentences not split": (
        change_train(1, lambda row: row.update(sentences=[" ".join(row["sentences"] * 3)] * 2)),
        "sentences_are_of_normal_length",
    ),
    "HTML": (change_train(7, in_sentences(lambda text: f"<p>{text}</p>")), "markup_is_gone"),
    "wikitext": (change_train(7, in_sentences(lambda text: f"[[Category]] {text}")), "markup_is_gone"),
    "entities": (change_train(7, in_sentences(lambda text: f"{text} &nbsp; &lt;")), "markup_is_gone"),
    "mojibake": (
        change_train(9, in_sentences(lambda text: f"It’s café: {text}".encode().decode("cp1252", "replace"))),
        "encoding_is_intact",
    ),
    "control characters": (change_train(9, in_sentences(lambda text: f"\x07{text}")), "control_characters_are_gone"),
    "German": (
        change_train(6, lambda row: row.update(sentences=[f"{row['id']} {GERMAN}"] * 4)),
        "documents_are_in_the_language",
    ),
    "Russian": (
        change_train(6, in_sentences(lambda text: text.translate({n: n + 0x3D0 for n in range(97, 123)}))),
        "letters_are_of_the_script",
    ),
    "numbers": (change_train(1, in_sentences(lambda text: f"{text} {'1234 ' * 40}")), "text_is_letters"),
}


def test_clean_documents_pass_without_a_warning(copy_of, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = copy_of("corpus")
    metrics = gate_corpus.run(small_params(), artifacts)
    report = json.loads(artifacts.gate_report("gate_corpus").read_text())
    assert report["passed"] and metrics["warnings"] == 0
    assert metrics["train_documents"] == 190
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_documents_is_named(fault: str, copy_of) -> None:
    artifacts = copy_of("corpus")
    change, expectation = FAULTS[fault]
    change(artifacts)
    with pytest.raises(BertlineError, match=expectation):
        gate_corpus.run(small_params(), artifacts)
    assert not artifacts.gate_report("gate_corpus").exists()


def test_too_few_documents_are_told_with_the_option_to_change(copy_of) -> None:
    params = replace(small_params(), gate_corpus=replace(small_params().gate_corpus, min_documents=191))
    with pytest.raises(
        BertlineError, match=r"documents_are_enough.*at least 191, found 190.*gate_corpus.min_documents"
    ):
        gate_corpus.run(params, copy_of("corpus"))


def test_an_endless_sentence_and_a_few_control_characters_are_warnings(copy_of, capsys) -> None:
    artifacts = copy_of("corpus")
    change_documents(artifacts, "train", every(95, lambda row: row["sentences"].append("\x07 of the " * 2500)))
    assert gate_corpus.run(small_params(), artifacts)["warnings"] == 2
    error = capsys.readouterr().err
    assert "no_sentence_is_endless failed" in error and "control_characters_are_rare failed" in error


def test_text_in_the_language_asked_for_passes_and_english_does_not(copy_of) -> None:
    artifacts = copy_of("corpus")
    params = small_params()
    russian = replace(params, documents=replace(params.documents, language="ru"))
    with pytest.raises(BertlineError, match="text_is_letters"):
        gate_corpus.run(russian, artifacts)
    translate = in_sentences(lambda text: text.translate({n: n + 0x3D0 for n in range(97, 123)}))
    for split in ("train", "validation"):
        change_documents(artifacts, split, every(1, translate))
    assert gate_corpus.run(russian, artifacts)["warnings"] == 0


def test_a_share_below_its_threshold_is_let_pass(copy_of) -> None:
    artifacts = copy_of("corpus")
    change_documents(artifacts, "train", every(60, lambda row: row["sentences"].append("See <b>this</b> and that.")))
    assert gate_corpus.run(small_params(), artifacts)["markup_share"] > 0


def test_a_directory_without_documents_is_told(copy_of) -> None:
    artifacts = copy_of("corpus")
    for path in artifacts.documents.iterdir():
        path.unlink()
    change_json(artifacts.metrics("documents"), lambda value: value.update(train_documents=0, validation_documents=0))
    with pytest.raises(BertlineError, match="both_splits_are_there"):
        gate_corpus.run(small_params(), artifacts)
