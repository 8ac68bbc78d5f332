"""What is tried for a task beside the headline: part `tune` of section finetune."""

from dataclasses import dataclass

from bertline.base.options import STRICT, not_negative, option, require


@dataclass(frozen=True)
class Tune:
    """Tuning beside the headline: a trial is one seed, validation rows choose, then all seeds run with the choice."""

    __pydantic_config__ = STRICT
    learning_rates: list[float] = option([], "peaks to try")
    optuna_trials: int = option(
        0, "trials of Optuna over learning rate, epochs, batch size and dropout; `pip install optuna`"
    )

    def __post_init__(self) -> None:
        not_negative(self, "optuna_trials")
        require(all(rate > 0 for rate in self.learning_rates), "learning_rates", "must be above 0")

    @property
    def wanted(self) -> bool:
        return bool(self.learning_rates or self.optuna_trials)
