"""The figures of documents, a batch at a time, and the examples of what is wrong with their sentences."""

import pyarrow as pa

from bertline.validation.document_statistics import Totals, describe
from faults.corpus import SCHEMA

NOTHING = {"id": "0", "source": "s", "title": "T", "sentences": []}
ROWS = [
    {"id": "1", "source": "s", "title": "Cats", "sentences": ["The cat sat.", "On a mat, with Где."]},
    {"id": "2", "source": None, "title": None, "sentences": ["Где"]},
    NOTHING,
    {"id": "4", "source": "s", "title": "T", "sentences": None},
    {"id": "5", "source": "s", "title": "t" * 300, "sentences": ["a", None, " "]},
]
COLUMNS = ["sentences", "characters", "longest_sentence", "empty_sentences", "words", "own_letters", "foreign_letters"]
FIGURES = [
    [2, 12 + 19 + 1, 19, 0, 3 + 5, 9 + 10, 3],
    [1, 3, 3, 0, 1, 0, 3],
    [0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0],
    [3, 1 + 0 + 1 + 2, 1, 2, 4, 1, 0],
]


def test_a_document_is_a_row_of_figures_wherever_its_batch_begins() -> None:
    totals = Totals()
    batch = pa.RecordBatch.from_pylist([NOTHING, *ROWS], SCHEMA).slice(1)
    table, sketches = describe(batch, "train", "en", totals)
    assert table[COLUMNS].to_numpy().tolist() == FIGURES
    assert table["function_words"].tolist() == [4, 0, 0, 0, 1]  # the; on, a, with
    assert table["document"].tolist()[:2] == ['"Cats" (1)', '"" (2)']
    assert table["title_characters"].tolist() == [4, 0, 1, 1, 300]
    assert sketches.shape == (5, 4)
    assert (totals.sentences, totals.characters, totals.faults["empty"]) == (6, 12 + 19 + 3 + 1 + 1, 2)
    describe(batch, "validation", "en", totals)
    assert (totals.sentences, totals.characters, totals.faults["empty"]) == (12, 72, 4)
    assert totals.examples["empty"] == ['""'] * 3, "three of the whole corpus"


def test_a_text_has_one_hash_however_it_is_split_into_sentences() -> None:
    texts = [["One. ", "Two."], ["One. Two."], ["One.", " Two."], ["One.", "Two."]]
    batch = pa.RecordBatch.from_pylist([NOTHING | {"sentences": text} for text in texts], SCHEMA)
    hashes = describe(batch, "train", "en", Totals())[0]["text_hash"].tolist()
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_an_example_shows_the_place_of_the_fault() -> None:
    totals = Totals()
    text = f"{'word ' * 40}here is a <b>fault</b> in a long sentence{' word' * 40}"
    describe(pa.RecordBatch.from_pylist([NOTHING | {"sentences": [text]}], SCHEMA), "train", "en", totals)
    (example,) = totals.examples["markup"]
    assert "here is a <b>fault</b>" in example and len(example) <= 82
