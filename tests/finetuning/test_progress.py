"""How far a fine-tuning is, for people."""

import os

import pytest

from bertline.finetuning.progress import Progress


def test_a_terminal_that_is_closed_over_a_bar_ends_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with Progress("finetune@topics") as progress:
            progress.begin(100)
            progress.advance(20, 1.0)
            progress.epoch(1, 2, "accuracy", 0.5)
            assert "finetune@topics: epoch 1/2, loss 1.000" in os.read(ours, 10_000).decode()
            os.close(ours)
            progress.advance(40, 1.0)
            progress.epoch(2, 2, "accuracy", 0.5)
        monkeypatch.undo()
