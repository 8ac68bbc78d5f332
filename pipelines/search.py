"""Which points a sweep tries: every combination of the values given, or what Optuna proposes from the scores so far.

proposals = Search(learning_rate=[1e-4, 1e-3], side_by_side=2).proposals()
options = next(proposals)               # [{"learning_rate": 0.0001}, {"learning_rate": 0.001}]
options = proposals.send([0.4, None])   # their scores, None for a point that failed; StopIteration at the end
"""

import importlib
import itertools
import math
from collections.abc import Generator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bertline.base.errors import BertlineError

Rate = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=4096)]
Seed = Annotated[int, Field(ge=0, le=1_000_000)]
Option = float | int
Proposals = Generator[list[dict[str, Option]], list[float | None]]


_MOST = 500
_OPTUNA_TRIALS = 10


class Search(BaseModel):
    """Which points are tried. grid: each combination of the values; optuna: between the least and the largest value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["grid", "optuna"] = "grid"
    learning_rate: list[Rate] = Field(default=[2e-4, 5e-4, 1e-3], max_length=50)
    epochs: list[Count] = Field(default=[], max_length=50)
    batch_size: list[Count] = Field(default=[], max_length=50)
    seed: list[Seed] = Field(default=[], max_length=50, description="the grid tries each, optuna picks among them")
    trials: int | None = Field(
        default=None, ge=1, le=_MOST, description=f"points in all; empty: all of the grid, {_OPTUNA_TRIALS} of optuna"
    )
    side_by_side: int = Field(default=1, ge=1, le=64, description="points at a time")

    def check(self) -> None:
        """Refuse a search of nothing, a grid that nobody can mean, and Optuna where it is not installed.

        Raises:
            BertlineError: so it is.
        """
        if not self._values():
            raise BertlineError("nothing to search", where="search", fix="Give values of at least one option")
        size = math.prod(map(len, self._values().values()))
        if self.method == "grid" and not self.trials and size > _MOST:
            fix = f"Give fewer values, or trials: at most {_MOST}"
            raise BertlineError(f"a grid of {size} points", where="search", fix=fix)
        if self.method == "optuna":
            try:
                importlib.import_module("optuna")
            except ImportError:
                fix = "pip install optuna, or use the grid"
                raise BertlineError("optuna is not installed", where="search.method", fix=fix) from None

    def proposals(self) -> Proposals:
        """Batches of points; each is answered by `send` with the scores of its points, None for a failed one."""
        return self._grid() if self.method == "grid" else self._optuna()

    def _values(self) -> dict[str, list[Option]]:
        """Option -> the values to try, of the options that are searched."""
        named: dict[str, list[Option]] = self.model_dump(include={"learning_rate", "epochs", "batch_size", "seed"})
        return {name: values for name, values in named.items() if values}

    def _grid(self) -> Proposals:
        values = self._values()
        every = (dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))
        points = itertools.islice(every, self.trials)
        while batch := list(itertools.islice(points, self.side_by_side)):
            yield batch

    def _optuna(self) -> Proposals:
        import optuna  # noqa: PLC0415  (seconds; and for this alone)

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
        spaces = {name: _space(optuna.distributions, name, values) for name, values in self._values().items()}
        count = self.trials or _OPTUNA_TRIALS
        for begun in range(0, count, self.side_by_side):
            trials = [study.ask(spaces) for _ in range(min(self.side_by_side, count - begun))]
            scores = yield [trial.params for trial in trials]
            for trial, score in zip(trials, scores, strict=True):
                state = optuna.trial.TrialState.FAIL if score is None else None
                study.tell(trial, score, state=state)


def _space(distributions: Any, name: str, values: list[Option]) -> Any:
    """Where Optuna may look: learning rates by their logarithm, seeds among those given."""
    if name == "seed":
        return distributions.CategoricalDistribution(values)
    if name == "learning_rate":
        return distributions.FloatDistribution(min(values), max(values), log=True)
    return distributions.IntDistribution(int(min(values)), int(max(values)))
