"""Frames of gate_pretrain about the model itself: its weights, one at a time, and whether its files fit the vocabulary.

Files are read as they lie on disk, not through model/, so that a fault in writing them shows up as a named expectation.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from bertline.base.errors import BertlineError, reason
from bertline.base.files import read_json, sha256_file
from bertline.validation.frames import Frame, summary
from bertline.validation.vocabulary import read_entries

_EMBEDDINGS = "word_embeddings.weight"
_TOKENIZER = ("vocab.txt", "tokenizer.json")


def model_frames(directory: Path, vocab: Path, metrics: Mapping[str, Any]) -> dict[str, Frame]:
    """The frames of a pre-trained model.

    Args:
        directory: the model in Hugging Face format.
        vocab: directory with the vocab.txt and tokenizer.json that its ids are of.
        metrics: metrics.json of stage pretrain: how many parameters it reports.

    Returns:
        weights: a row a tensor: shape, fault (values that are not finite, a matrix of one value).
        model: one row: what cannot be read, what does not fit the vocabulary, the number of parameters.
    """
    table, fault = _weights(directory)
    entries = len(read_entries(vocab / "vocab.txt"))
    values = {
        "fault": fault,
        "vocabulary_fault": "" if fault else _vocabulary_fault(directory, table, entries),
        "tokenizer_fault": ", ".join(name for name in _TOKENIZER if not _same(directory / name, vocab / name)),
        "parameters_missing": metrics.get("parameters", 0) - int(table["parameters"].sum()),
    }
    return {"weights": Frame(table, "weight"), "model": summary(values)}


def _weights(directory: Path) -> tuple[pd.DataFrame, str]:
    """Frame weights, and why a file cannot be read."""
    rows: list[dict[str, Any]] = []
    fault = ""
    paths = sorted(directory.glob("*.safetensors"))
    try:
        for path in paths:
            rows += [_row(name, value) for name, value in _tensors(path)]
    except (SafetensorError, OSError, TypeError) as error:
        fault = f"{path.name}: {reason(error, 80)}"
    columns = ["weight", "shape", "parameters", "fault"]
    return pd.DataFrame(rows, columns=columns), fault or ("" if paths else "no *.safetensors")


def _tensors(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118  (no mapping)
            yield name, file.get_tensor(name)


def _row(name: str, value: NDArray[Any]) -> dict[str, Any]:
    wrong = int(value.size - np.isfinite(value).sum())
    fault = f"{wrong} of {value.size} values are not finite" if wrong else ""
    if not fault and value.ndim > 1 and value.min() == value.max():
        fault = f"every value is {value.flat[0]:g}"
    return {"weight": name, "shape": " x ".join(map(str, value.shape)), "parameters": value.size, "fault": fault}


def _vocabulary_fault(directory: Path, table: pd.DataFrame, entries: int) -> str:
    """What of config.json and the token embeddings is of another size than the vocabulary."""
    faults: list[str] = []
    try:
        size = read_json(directory / "config.json").get("vocab_size")
        faults += [f"vocab_size {size} in config.json, {entries} entries"] if size != entries else []
    except BertlineError as error:
        faults.append(f"config.json: {error.what}")
    shapes = list(table["shape"][table["weight"].str.endswith(_EMBEDDINGS)])
    if [shape.partition(" ")[0] for shape in shapes] != [str(entries)]:
        faults.append(f"token embeddings of {', '.join(shapes) or 'no shape'}, {entries} entries")
    return "; ".join(faults)


def _same(ours: Path, theirs: Path) -> bool:
    return ours.exists() and theirs.exists() and sha256_file(ours) == sha256_file(theirs)
