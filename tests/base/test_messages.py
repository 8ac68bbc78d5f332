"""Lines for people arrive at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertline.base.messages import say


def test_what_a_row_has_in_it_moves_no_cursor(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        say('gate: for example "\x1b]0;owned\x07 \x1b[31mred", half a sign \ud83d\nanother line: ü', stream)
    told = 'gate: for example "\\x1b]0;owned\\x07 \\x1b[31mred", half a sign \\ud83d\nanother line: ü\n'
    assert (tmp_path / "log").read_text(encoding="utf-8") == told


def test_a_line_is_there_as_soon_as_it_is_said(tmp_path: Path) -> None:
    """Held back, the line of an hour ago would come with the last one."""
    with (tmp_path / "log").open("w") as stream:
        say("step 1", stream)
        assert (tmp_path / "log").read_text() == "step 1\n"


def test_a_terminal_that_was_closed_ends_no_work() -> None:
    """That of `… & disown`: writing to it is an input/output error, and not a broken pipe."""
    ours, theirs = os.openpty()
    os.close(ours)
    with os.fdopen(theirs, "w") as terminal:
        say("step 1", terminal)
        say("step 2", terminal)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_work_goes_on_and_ends_well_where_nobody_reads_its_lines_any_more(stream: str, tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from bertline.base.messages import say
input()
for step in range(3):
    say(f"step {{step}}", sys.{stream})
Path(sys.argv[1]).touch()
"""
    pipes = {"stdin": subprocess.PIPE, stream: subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "done")], **pipes) as process:  # type: ignore[call-overload]
        getattr(process, stream).close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    assert (tmp_path / "done").exists()
