"""What a log says of a transfer: how much of the file is there, and how fast it comes."""

import pytest

from bertline.corpus import transfer_progress
from bertline.corpus.transfer_progress import TransferProgress


def test_a_transfer_that_goes_on_counts_what_was_there_for_the_file_and_not_for_its_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter((100.0, 104.0, 110.0, 112.0, 120.0))
    monkeypatch.setattr(transfer_progress.time, "monotonic", lambda: next(now))
    with TransferProgress("part-3.txt", 2_000_000, 8_000_000) as progress:
        for _ in range(4):
            progress.add(1_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "part-3.txt: 4.0 of 8.0 MB (50%), 0.2 MB/s",
        "part-3.txt: 6.0 of 8.0 MB (75%), 0.2 MB/s",
    ]
