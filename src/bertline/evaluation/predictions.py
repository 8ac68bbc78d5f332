"""Predictions as stages that fine-tune keep them, and stage evaluate scores them.

    data/predictions/T/STAGE/SPLIT/START-SEED.jsonl
    data/predictions/T/STAGE/kept.json                 # start -> the seed whose model stands for it

One row a row of the split, in its order, with its id and what is needed to score it and to judge how sure it was:

| kind | beside id |
|---|---|
| classification, pair | label, scores {label: probability}, of the 100 likeliest labels |
| regression | value |
| tagging | tags, scores (the probability of each) |
| span | answer, start, end, score (its probability); null_difference, best_answer where there may be no answer |
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertline.base.config import Kind
from bertline.base.errors import BertlineError
from bertline.base.files import read_json, read_jsonl, write_json, write_jsonl

Row = Mapping[str, Any]
Runs = dict[str, dict[int, list[dict[str, Any]]]]
"""Start -> seed -> predictions."""

STARTS = ("pretrained", "from_random", "tuned", "transfer", "checkpoint", "features")
"""What predictions may be of, in the order in which they are shown."""
_WRITTEN: Mapping[Kind, tuple[str, ...]] = {
    "classification": ("label", "scores"),
    "pair": ("label", "scores"),
    "regression": ("value",),
    "tagging": ("tags", "scores"),
    "span": ("answer", "start", "end", "score", "null_difference", "best_answer"),
}
_KEPT_FILE = "kept.json"
_SIGNIFICANT = 9  # digits, which tell any two numbers of fp32 apart
DIGITS = 6
"""Of probabilities, behind the point: further ones change with the size of the batch."""
MOST_LABELS = 100
"""Of an answer, the likeliest, of which the probability is kept: rows times thousands of labels would be gigabytes."""
_FIX = "Fine-tune anew with `dvc repro finetune`"


def rounded(value: float) -> float:
    """A predicted number to nine significant digits: so many decimals would leave nothing of one in a small unit."""
    return float(f"{value:.{_SIGNIFICANT}g}")


def label_answers(labels: Sequence[str], chances: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """The likeliest label of each row, its probability as `score`, and `scores`, in the order of the labels.

    Args:
        labels: of the task.
        chances: their probabilities, (rows, labels).
    """
    kept = min(len(labels), MOST_LABELS)
    places = np.sort(np.argpartition(chances, -kept, axis=1)[:, -kept:], axis=1)
    for some, values in zip(places.tolist(), np.take_along_axis(chances, places, axis=1), strict=True):
        scores = {labels[place]: round(float(value), DIGITS) for place, value in zip(some, values, strict=True)}
        best = labels[some[int(values.argmax())]]
        yield {"label": best, "score": scores[best], "scores": scores}


def write_predictions(path: Path, kind: Kind, rows: Sequence[Row], predictions: Iterable[Row]) -> None:
    """Write the predictions of one model for the rows of a split.

    Args:
        path: the file.
        kind: of the task.
        rows: of the split; their ids are taken, nothing else.
        predictions: one a row.
    """
    keys = _WRITTEN[kind]
    pairs = zip(rows, predictions, strict=True)
    write_jsonl(path, ({"id": row["id"]} | {key: some[key] for key in keys if key in some} for row, some in pairs))


def read_predictions(directories: Sequence[Path], split: str, rows: Sequence[Row]) -> Runs:
    """All predictions for a split, starts in their order, seeds from the lowest.

    Args:
        directories: `data/predictions/T/STAGE` of each stage.
        split: test, or a further one.
        rows: of the split.

    Raises:
        BertlineError: there are none, or a file is not about these rows.
    """
    ids = [row["id"] for row in rows]
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for path in (path for directory in directories for path in (directory / split).glob("*-*.jsonl")):
        start, _, number = path.stem.rpartition("-")
        predictions = list(read_jsonl(path))
        if [prediction.get("id") for prediction in predictions] != ids:
            raise BertlineError(f"its ids are not those of the {split} rows", where=str(path), fix=_FIX)
        found[start, int(number)] = predictions
    if not found:
        raise BertlineError("no predictions", where=str(directories[0] / split), fix=_FIX)
    runs: Runs = {}
    for start, seed in sorted(found, key=lambda name: (STARTS.index(name[0]), name[1])):
        runs.setdefault(start, {})[seed] = found[start, seed]
    return runs


def write_kept_seeds(directory: Path, kept: Mapping[str, int]) -> None:
    """Start -> the seed that stands for it, of one stage; `directory`: `data/predictions/T/STAGE`."""
    write_json(directory / _KEPT_FILE, kept)


def read_kept_seeds(directories: Sequence[Path]) -> dict[str, int]:
    """Start -> seed, of several stages together."""
    return {start: seed for directory in directories for start, seed in read_json(directory / _KEPT_FILE).items()}
