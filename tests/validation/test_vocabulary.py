"""A vocabulary as a row of figures: its size, its special tokens, and whether tokenizer.json says the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertline.validation.vocabulary import SPECIAL_TOKENS, vocabulary_frames

ENTRIES = [*SPECIAL_TOKENS, "the", "##s", "#a", "b"]


def figures(entries: list[str], folder: Path, known: Any = None, *, lowercase: bool = True) -> dict[str, Any]:
    known = {entry: place for place, entry in enumerate(entries)} if known is None else known
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({"normalizer": {"lowercase": lowercase}, "model": {"vocab": known}}))
    return dict(vocabulary_frames(entries, path)["vocabulary"].table.iloc[0])


def test_a_vocabulary_is_a_row_of_figures(tmp_path: Path) -> None:
    found = figures(ENTRIES, tmp_path)
    assert (found["size"], found["over_64"], found["first_five"]) == (9, 9, " ".join(SPECIAL_TOKENS))
    assert (found["special_fault"], found["differs_from_tokenizer"], found["case"]) == ("", "", "lower")
    assert found["continuations_share"] == pytest.approx(1 / 9)
    assert figures(ENTRIES, tmp_path, lowercase=False)["case"] == "kept"
    assert figures([*ENTRIES, *map(str, range(87))], tmp_path)["over_64"] == 32


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({entry: place for place, entry in enumerate(ENTRIES[:-1])}, '"b"'),
        ({entry: place for place, entry in enumerate([*ENTRIES, "more"])}, '"more"'),
        ({entry: place for place, entry in enumerate([*ENTRIES[:-2], "b", "#a"])}, '"#a", "b"'),
        (ENTRIES, "tokenizer.json has no vocabulary or no normaliser"),
    ],
)
def test_what_tokenizer_json_has_otherwise_is_named(known: Any, told: str, tmp_path: Path) -> None:
    assert figures(ENTRIES, tmp_path, known)["differs_from_tokenizer"] == told


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([*ENTRIES, "[CLS]"], "[CLS] is there 2 times"),
        ([entry for entry in ENTRIES if entry != "[SEP]"], "[SEP] is there 0 times"),
        ([*ENTRIES[1:], "[PAD]"], "[PAD] is id 8, not 0"),
        (["the", *SPECIAL_TOKENS[1:]], "[PAD] is there 0 times"),
        ([SPECIAL_TOKENS[0], "the", *SPECIAL_TOKENS[1:]], ""),
    ],
)
def test_each_special_token_is_there_once_and_padding_is_0(entries: list[str], fault: str, tmp_path: Path) -> None:
    assert figures(entries, tmp_path)["special_fault"] == fault
