"""The weights of a model as they lie on disk, and what of its files does not fit the vocabulary."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bertline.validation.weights import model_frames

EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
SOUND = {EMBEDDINGS: np.arange(6.0).reshape(3, 2), "norm.weight": np.ones(2), "scale": np.array(1.0)}


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    folder = tmp_path / "vocab"
    folder.mkdir()
    (folder / "vocab.txt").write_text("a\nb\nc\n")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def found(weights: dict[str, Any], vocab: Path) -> dict[str, Any]:
    """The row of a model, and the faults of its weights by name."""
    model = vocab.parent / "model"
    model.mkdir(exist_ok=True)
    for name in ("vocab.txt", "tokenizer.json"):
        (model / name).write_bytes((vocab / name).read_bytes())
    (model / "config.json").write_text(json.dumps({"vocab_size": 3}))
    save_file(weights, model / "model.safetensors")
    frames = model_frames(model, vocab, {"parameters": 9})
    faults = frames["weights"].table.set_index("weight")["fault"]
    return {**frames["model"].table.iloc[0], "faults": {name: fault for name, fault in faults.items() if fault}}


def test_a_sound_model_has_no_fault(vocab: Path) -> None:
    row = found(SOUND, vocab)
    assert row["faults"] == {} and row["parameters_missing"] == 0
    assert (row["fault"], row["vocabulary_fault"], row["tokenizer_fault"]) == ("", "", "")


def test_weights_that_are_no_numbers_or_one_number_are_named(vocab: Path) -> None:
    odd = {"nan": np.array([np.nan, 1.0, np.nan]), "inf": np.array([[1.0, np.inf]]), "flat": np.full((2, 2), 0.5)}
    row = found({**SOUND, **odd}, vocab)
    assert row["faults"] == {
        "nan": "2 of 3 values are not finite",
        "inf": "1 of 2 values are not finite",
        "flat": "every value is 0.5",
    }
    assert row["parameters_missing"] == -9


def test_what_does_not_fit_the_vocabulary_is_named(vocab: Path) -> None:
    without = {name: value for name, value in SOUND.items() if name != EMBEDDINGS}
    assert found(without, vocab)["vocabulary_fault"] == "token embeddings of no shape, 3 entries"
    (vocab / "vocab.txt").write_text("a\nb\nc\nd\n")
    told = "vocab_size 3 in config.json, 4 entries; token embeddings of 3 x 2, 4 entries"
    assert found(SOUND, vocab)["vocabulary_fault"] == told
    (vocab.parent / "model" / "vocab.txt").write_text("another")
    (vocab / "tokenizer.json").unlink()
    frames = model_frames(vocab.parent / "model", vocab, {"parameters": 9})
    assert frames["model"].table["tokenizer_fault"].item() == "vocab.txt, tokenizer.json"


def test_a_file_of_weights_that_is_missing_or_damaged_is_named(vocab: Path) -> None:
    found(SOUND, vocab)
    path = vocab.parent / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    told = model_frames(path.parent, vocab, {})["model"].table["fault"].item()
    assert told.startswith("model.safetensors: ")
    path.unlink()
    assert model_frames(path.parent, vocab, {})["model"].table["fault"].item() == "no *.safetensors"
