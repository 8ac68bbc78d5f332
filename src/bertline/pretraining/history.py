"""What a run has done so far, as each checkpoint saves it: its step, its curves, and the sums for their next point."""

from dataclasses import dataclass, field

from bertline.base.files import JsonRow
from bertline.pretraining.measure import Intervals, Measured
from bertline.pretraining.objective import SUMS, means


@dataclass
class History:
    """The progress of a run, as plain values that JSON keeps to the last bit.

    Attributes:
        step: optimizer steps done.
        seconds: wall-clock time they took, over all sittings.
        window: sums over the steps since the last point of the curve, in the order of SUMS.
        curve: a point every log_every steps: step, tokens, learning_rate, and the means over those steps.
        validation_curve: a point each evaluation: step, and the means over the validation batches.
        intervals: of the last evaluation's means.
    """

    step: int = 0
    seconds: float = 0.0
    window: list[float] = field(default_factory=lambda: [0.0] * len(SUMS))
    curve: list[JsonRow] = field(default_factory=list)
    validation_curve: list[JsonRow] = field(default_factory=list)
    intervals: Intervals = field(default_factory=dict)

    def add(self, sums: list[float]) -> None:
        """Count one step, and its sums."""
        self.step += 1
        self.window = [have + new for have, new in zip(self.window, sums, strict=True)]

    def close_window(self, *, tokens: int, learning_rate: float, pairs: bool) -> JsonRow:
        """Turn the sums gathered into a point of the curve, and begin the next."""
        row: JsonRow = {"step": self.step, "tokens": tokens, "learning_rate": learning_rate}
        row |= means(self.window, pairs=pairs)
        self.curve.append(row)
        self.window = [0.0] * len(SUMS)
        return row

    @property
    def evaluated(self) -> bool:
        """Whether the last evaluation was of the weights as they are now."""
        return bool(self.validation_curve) and self.validation_curve[-1]["step"] == self.step

    def add_evaluation(self, result: Measured) -> None:
        self.validation_curve.append({"step": self.step, **result.means})
        self.intervals = result.intervals
