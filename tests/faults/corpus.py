"""Faults of the documents, and the expectations of gate_corpus that name them."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from bertline.base.artifacts import Artifacts
from bertline.corpus.clean import normalise
from faults import Fault, Row, change_bytes, change_json, read_as_cp1252

SCHEMA = pa.schema([*((name, pa.string()) for name in ("id", "source", "title")), ("sentences", pa.list_(pa.string()))])
GERMAN = "Das ist der Satz von einem Dokument, und er wird nicht auf Englisch, sondern in der Sprache des Landes sein."


def shards(artifacts: Artifacts, split: str) -> list:
    return sorted(artifacts.documents.glob(f"{split}-*.parquet"))


def write_documents(artifacts: Artifacts, split: str, rows: list[Row], schema: pa.Schema = SCHEMA) -> None:
    """Write a split as one shard; nothing else of it stays."""
    for path in shards(artifacts, split):
        path.unlink()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), artifacts.documents / f"{split}-00000.parquet")


def read_documents(artifacts: Artifacts, split: str) -> list[Row]:
    return [row for path in shards(artifacts, split) for row in pq.read_table(path).to_pylist()]


def change(split: str, edit: Callable[[list[Row]], list[Row] | None]):
    """Rewrite the documents of a split; stage documents reports as many as there are now."""

    def damage(artifacts: Artifacts) -> None:
        rows = read_documents(artifacts, split)
        rows = edit(rows) or rows
        write_documents(artifacts, split, rows)
        change_json(artifacts.metrics("documents"), lambda metrics: {**metrics, f"{split}_documents": len(rows)})

    return damage


def every(step: int, edit: Callable[[Row], object]):
    """A change of every `step`-th training document."""
    return change("train", lambda rows: [edit(row) for row in rows[::step]] and None)


def texts(step: int, edit: Callable[[str], str]):
    return every(step, lambda row: row.update(sentences=[edit(text) for text in row["sentences"]]))


def again(row: Row, number: int) -> Row:
    """The same document under another id."""
    return {**row, "id": f"{number:032x}"}


def nearly(row: Row, number: int) -> Row:
    """The same document with another last sentence, under another id."""
    return {**again(row, number), "sentences": [*row["sentences"], f"This is number {number} of the copies."]}


def leak(artifacts: Artifacts) -> None:
    rows = read_documents(artifacts, "train")[:3]
    change("validation", lambda found: found + [again(row, number) for number, row in enumerate(rows)])(artifacts)


def lose_a_shard(artifacts: Artifacts) -> None:
    """Two shards were written, one is left."""
    rows = read_documents(artifacts, "train")
    write_documents(artifacts, "train", rows[: len(rows) // 2])


def add_shard(artifacts: Artifacts, name: str, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), artifacts.documents / name)


def no_validation(artifacts: Artifacts) -> None:
    for path in shards(artifacts, "validation"):
        path.unlink()


def wrong_share(artifacts: Artifacts) -> None:
    """Half of the training documents went to validation."""
    taken: list[Row] = []
    change("train", lambda rows: taken.extend(rows[::2]) or rows[1::2])(artifacts)
    change("validation", lambda rows: rows + taken)(artifacts)


def other_type(artifacts: Artifacts) -> None:
    rows = [{**row, "id": number} for number, row in enumerate(read_documents(artifacts, "train"))]
    write_documents(artifacts, "train", rows, SCHEMA.set(0, pa.field("id", pa.int64())))


def cyrillic(text: str) -> str:
    return text.translate({n: n + 0x3D0 for n in range(97, 123)})


def fault(name: str, expectation: str, damage, severity="critical") -> Fault:
    return Fault(name, "gate_corpus", expectation, damage, severity=severity)


FAULTS = [
    fault(
        "a truncated shard",
        "shards_can_be_read",
        lambda a: change_bytes(shards(a, "train")[0], lambda data: data[:-200]),
    ),
    fault(
        "a page of zeros in a shard",
        "shards_can_be_read",
        lambda a: change_bytes(shards(a, "train")[0], lambda data: data[:5000] + bytes(4096) + data[9096:]),
    ),
    fault(
        "a dropped column",
        "shards_have_the_schema",
        lambda a: write_documents(
            a,
            "train",
            [{k: v for k, v in r.items() if k != "title"} for r in read_documents(a, "train")],
            SCHEMA.remove(2),
        ),
    ),
    fault("ids as numbers", "shards_have_the_schema", other_type),
    fault("an empty shard", "shards_hold_documents", lambda a: add_shard(a, "train-00099.parquet", [])),
    fault("a lost shard", "no_document_was_lost", lose_a_shard),
    fault("no validation split", "both_splits_are_there", no_validation),
    fault("half of the documents in validation", "validation_share_is_as_asked", wrong_share),
    fault("hardly a document", "documents_are_enough", change("train", lambda rows: rows[:400])),
    fault(
        "swapped columns, id and title", "ids_are_hashes", every(1, lambda r: r.update(id=r["title"], title=r["id"]))
    ),
    fault(
        "swapped columns, source and id",
        "sources_are_names_not_texts",
        every(1, lambda r: r.update(id=r["source"], source=r["id"])),
    ),
    fault("null ids", "ids_are_hashes", every(50, lambda row: row.update(id=None))),
    fault("null sources", "sources_are_given", every(50, lambda row: row.update(source=None))),
    fault("duplicated rows", "ids_are_unique", change("train", lambda rows: rows + rows[:30])),
    fault(
        "documents twice under other ids",
        "texts_are_unique",
        change("train", lambda rows: rows + [again(row, number) for number, row in enumerate(rows[:60])]),
    ),
    fault(
        "nearly the same documents",
        "near_duplicates_are_rare",
        change("train", lambda rows: rows + [nearly(row, number) for number, row in enumerate(rows[:500])]),
    ),
    fault("validation documents in train", "validation_is_not_in_train", leak),
    fault("texts as titles", "titles_are_short", every(9, lambda row: row.update(title="long " * 300))),
    fault("null sentences", "documents_have_sentences", every(50, lambda row: row.update(sentences=None))),
    fault(
        "documents of one sentence",
        "documents_have_sentences",
        every(50, lambda row: row.update(sentences=row["sentences"][:1])),
    ),
    fault("empty sentences", "sentences_are_not_empty", every(50, lambda row: row["sentences"].append(" "))),
    fault("a null sentence", "sentences_are_not_empty", every(500, lambda row: row["sentences"].append(None))),
    fault("hardly a character", "documents_have_text", every(50, lambda row: row.update(sentences=["a b", "c d"]))),
    fault(
        "sentences that were not split",
        "sentences_are_of_normal_length",
        every(1, lambda row: row.update(sentences=[" ".join(row["sentences"] * 3)] * 2)),
    ),
    fault(
        "an endless sentence",
        "no_sentence_is_endless",
        change("train", lambda rows: rows[7]["sentences"].append("of the array " * 2500)),
        "warning",
    ),
    fault(
        "a library in one document",
        "no_document_is_endless",
        change("train", lambda rows: rows[7].update(sentences=["of the array " * 75] * 20_600)),
        "warning",
    ),
    fault("HTML", "markup_is_gone", texts(9, lambda text: f"<p>{text}</p>")),
    fault("wikitext", "markup_is_gone", texts(9, lambda text: f"[[Category]] {text} {{{{cite web}}}}")),
    fault("HTML entities", "markup_is_gone", texts(9, lambda text: f"{text} &nbsp; &lt;")),
    fault("mojibake", "encoding_is_intact", texts(50, read_as_cp1252)),
    fault("double-encoded text", "encoding_is_intact", texts(50, lambda text: read_as_cp1252(read_as_cp1252(text)))),
    fault("undecodable bytes", "encoding_is_intact", texts(50, lambda text: normalise(f"{text} caf\ufffd"))),
    fault("control characters", "control_characters_are_gone", texts(9, lambda text: f"\x07{text}")),
    fault("a few control characters", "control_characters_are_rare", texts(300, lambda t: f"\x07{t}"), "warning"),
    fault(
        "another language",
        "documents_are_in_the_language",
        every(9, lambda row: row.update(sentences=[f"{row['id']} {GERMAN}"] * 4)),
    ),
    fault("another script", "letters_are_of_the_script", texts(20, cyrillic)),
    fault("tables of numbers", "text_is_letters", texts(1, lambda text: f"{text} {'1234 ' * 40}")),
]
