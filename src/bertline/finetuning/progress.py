"""How far a fine-tuning is, on stderr: a bar on a terminal, a line an epoch anywhere else."""

import sys
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm

from bertline.base.messages import say


class Progress:
    """Shows steps, loss and validation scores; a context manager, so that the bar is closed whatever happens."""

    def __init__(self, title: str) -> None:
        """`title` names the run; without one nothing is shown."""
        self._title = title
        self._bar: tqdm[NoReturn] | None = None
        self._loss = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, steps: int) -> None:
        """Say how many steps there will be."""
        if self._title and sys.stderr.isatty():
            self._bar = tqdm(total=steps, desc=self._title, unit="step", dynamic_ncols=True)

    def advance(self, done: int, loss: float) -> None:
        """Say how many steps are done, and their latest loss."""
        self._loss = loss
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

    def epoch(self, number: int, epochs: int, metric: str, value: float) -> None:
        """Say what an epoch came to."""
        if self._title:
            line = f"{self._title}: epoch {number}/{epochs}, loss {self._loss:.3f}, validation {metric} {value:.4f}"
            if self._bar is None:
                say(line)
            else:
                with tqdm.external_write_mode(file=sys.stderr):
                    say(line)
