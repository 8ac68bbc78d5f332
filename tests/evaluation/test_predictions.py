"""Predictions on disk: in the order of their starts and seeds, and of the very rows that are scored."""

from pathlib import Path

import pytest

from bertline.base.errors import BertlineError
from bertline.evaluation.predictions import read_kept_seeds, read_predictions, write_kept_seeds, write_predictions

ROWS = [{"id": "a", "label": "yes"}, {"id": "b", "label": "no"}]


def write(directory: Path, start: str, seed: int) -> Path:
    """What a seed says: its own number, of the first row."""
    path = directory / "test" / f"{start}-{seed}.jsonl"
    answers = [{"label": f"{start} {seed}", "scores": {}, "more": 1}, {"label": "no", "scores": {}}]
    write_predictions(path, "classification", ROWS, answers)
    return path


def test_starts_come_in_their_order_and_seeds_as_numbers(tmp_path: Path) -> None:
    for start, seed in (("from_random", 2), ("pretrained", 10), ("pretrained", 9), ("from_random", 0)):
        write(tmp_path / "finetune", start, seed)
    write(tmp_path / "transfer", "transfer", 1)
    runs = read_predictions([tmp_path / "transfer", tmp_path / "finetune"], "test", ROWS)
    assert {start: list(by_seed) for start, by_seed in runs.items()} == {
        "pretrained": [9, 10],
        "from_random": [0, 2],
        "transfer": [1],
    }
    assert list(runs) == ["pretrained", "from_random", "transfer"]
    for start, by_seed in runs.items():
        for seed, (first, _) in by_seed.items():
            assert first == {"id": "a", "label": f"{start} {seed}", "scores": {}}


def test_predictions_of_other_rows_or_of_another_order_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "pretrained", 0)
    for rows in (ROWS[::-1], ROWS[:1], [*ROWS, {"id": "c"}]):
        with pytest.raises(BertlineError, match=rf"{path}: its ids are not those of the test rows"):
            read_predictions([tmp_path], "test", rows)


def test_that_there_are_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(BertlineError, match="no predictions"):
        read_predictions([tmp_path], "test", ROWS)


def test_the_kept_seeds_of_several_stages_are_taken_together(tmp_path: Path) -> None:
    write_kept_seeds(tmp_path / "finetune", {"pretrained": 2, "from_random": 0})
    write_kept_seeds(tmp_path / "transfer", {"transfer": 1})
    found = read_kept_seeds([tmp_path / "finetune", tmp_path / "transfer"])
    assert found == {"pretrained": 2, "from_random": 0, "transfer": 1}
