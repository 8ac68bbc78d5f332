"""What a stage tells people while it works, a line at a time.

say("pretrain: going on from step 4,000")
"""

import errno
import os
import sys
from pathlib import Path
from typing import TextIO

from bertline.base.errors import printable


def say(line: str, stream: TextIO | None = None) -> None:
    """Write a line at once, to standard error or to `stream`.

    Where nobody reads it any more (`… | tee log` was killed, or the flow that started the stage, or the terminal of a
    disowned job was closed), the work goes on unheard: hours of training must not end, or lose their last checkpoint,
    for a line.
    """
    stream = stream or sys.stderr
    try:
        print(for_terminal(line), file=stream, flush=True)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        with Path(os.devnull).open("wb") as nowhere:  # or Python, whose buffer stays full, exits with 120
            os.dup2(nowhere.fileno(), stream.fileno())


def for_terminal(text: str) -> str:
    """A text of one or more lines as a terminal may show it: what somebody's data has in it moves no cursor."""
    return "\n".join(map(printable, text.split("\n")))
