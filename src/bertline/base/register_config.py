"""Section register of params.yaml: where models are registered, and what promotes them."""

import math
import re
from dataclasses import dataclass

from bertline.base.options import STRICT, not_negative, option, require

ENCODER = "encoder"
"""What the pre-trained model is called, where the others are called by their task."""
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ -]{0,99}")
"""What MLflow takes as a part of a model's name, and the form that promotes one, whatever the task that follows."""


@dataclass(frozen=True)
class Register:
    """Stage register."""

    __pydantic_config__ = STRICT
    experiment: str = option("bertline", "MLflow experiment of the runs")
    prefix: str = option("bertline", "registered models are named PREFIX-TASK")
    min_gain_over_majority: float = option(0.02, "a champion beats the majority baseline by this, at least")
    tolerance: float = option(
        0.005, "a champion may be replaced by a model worse by this, or by the smaller of both deviations over seeds"
    )
    promote: bool = option(True, "false: models are challengers until a person promotes them", rare=True)

    def __post_init__(self) -> None:
        require(bool(self.experiment.strip()), "experiment", "must not be empty")
        named = "must be of a-z, A-Z, 0-9, -, _ and spaces (100 at most), and begin with a letter or digit"
        require(bool(_PREFIX.fullmatch(self.prefix)), "prefix", named)
        not_negative(self, "min_gain_over_majority", "tolerance")
        for key in ("min_gain_over_majority", "tolerance"):  # verdicts are JSON, which has no infinity
            require(getattr(self, key) < math.inf, key, "must be finite")

    def model_name(self, task: str) -> str:
        """The registered model of a task, or of ENCODER."""
        return f"{self.prefix}-{task}"
