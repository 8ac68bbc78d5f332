"""Section register of params.yaml: where models are registered, and what promotes them."""

from dataclasses import dataclass

from bertline.base.options import STRICT, not_negative, option, require

ENCODER = "encoder"
"""What the pre-trained model is called, where the others are called by their task."""


@dataclass(frozen=True)
class Register:
    """Stage register."""

    __pydantic_config__ = STRICT
    experiment: str = option("bertline", "MLflow experiment of the runs")
    prefix: str = option("bertline", "registered models are named PREFIX-TASK")
    min_gain_over_majority: float = option(0.02, "a champion beats the majority baseline by this, at least")
    tolerance: float = option(
        0.005, "a champion may be replaced by a model worse by this, or by what the seeds of both differ, not more"
    )
    promote: bool = option(True, "false: models are challengers until a person promotes them", rare=True)

    def __post_init__(self) -> None:
        require(bool(self.experiment.strip()), "experiment", "must not be empty")
        named = bool(self.prefix.strip()) and not set(self.prefix) & set("/:'\"")
        require(named, "prefix", "must be a name without slashes, colons and quotes")
        not_negative(self, "min_gain_over_majority", "tolerance")
