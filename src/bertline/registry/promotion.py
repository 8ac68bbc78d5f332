"""The promotion rule: may a new model (the challenger) replace the one that serves (the champion)?

A pure function of figures, so that it can be read, tested and replayed from verdict.json:

1. Floor: the challenger beats the majority baseline by `min_gain_over_majority`, whatever serves now.
2. No regression: it is worse than the champion, measured on the same rows, by no more than noise: `tolerance`, or, if
   that is larger, the smaller of both recipes' standard deviations over their seeds. A challenger whose seeds fall
   apart is excused by no more than the champion's do, and where one of the two has one seed, `tolerance` decides.
3. A champion that nobody measured, for a person made that version, stays: a person decides.
4. Where the champion is gone, because a person deleted it, the one before it takes its place in these rules.

Figures that are not numbers (NaN) never promote. All metrics are higher-is-better (tasks/schema.py).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bertline.base.register_config import Register

_ROUNDING = 1e-9  # 0.52 - 0.50 is 0.020000000000000018 in binary: a gain of exactly the bar counts


@dataclass(frozen=True)
class Scores:
    """What one model scored.

    Attributes:
        metric: the primary metric, the one the rule weighs.
        values: metric -> value, higher is better; holds `metric`.
        data: sha256 of what it was measured on, and how; scores on other data, or taken otherwise, do not compare.
        noise: standard deviation of the primary metric over the seeds of its recipe; 0 where there is one seed.
        inputs: sha256 of what it was asked; empty where that is not known, as of what older versions registered.
    """

    metric: str
    values: Mapping[str, float]
    data: str
    noise: float = 0.0
    inputs: str = ""

    @property
    def primary(self) -> float:
        return self.values.get(self.metric, math.nan)

    def compares_with(self, other: "Scores") -> bool:
        """Whether both were measured on the same, and in the same way."""
        same_inputs = not (self.inputs and other.inputs) or self.inputs == other.inputs
        return same_inputs and (self.metric, self.data) == (other.metric, other.data)

    def __str__(self) -> str:
        return f"{self.metric} {self.primary:.4f}"


@dataclass(frozen=True)
class Verdict:
    """The decision, its reasons in words, and every figure that was weighed."""

    promote: bool
    reasons: tuple[str, ...]
    figures: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The content of verdict.json."""
        return asdict(self) | {"reasons": list(self.reasons)}


def beats_floor(challenger: Scores, majority: Mapping[str, float], config: Register) -> bool:
    """Whether the challenger beats the majority baseline by enough; depends on nothing that is registered."""
    gain = challenger.primary - majority.get(challenger.metric, math.nan)
    return gain >= config.min_gain_over_majority - _ROUNDING  # false for NaN


def decide(
    challenger: Scores,
    champion: Scores | None,
    majority: Mapping[str, float],
    config: Register,
    *,
    champion_version: str | None = None,
    champion_gone: bool = False,
) -> Verdict:
    """Weigh a challenger.

    Args:
        challenger: scores of the new model.
        champion: scores of the model that serves; None when there is none, or nobody measured it.
        majority: metric -> value of the baseline that always gives the commonest answer.
        config: the bars, section `register`.
        champion_version: which version serves; None when there is none.
        champion_gone: it does not serve: it was champion before the one that was deleted.

    Returns:
        The verdict; it promotes only when every rule holds.
    """
    metric, score = challenger.metric, challenger.primary
    base = majority.get(metric, math.nan)
    above = beats_floor(challenger, majority, config)
    reasons = [
        f"{challenger} is {score - base:+.4f} from the majority baseline {base:.4f}; "
        f"the floor asks {config.min_gain_over_majority:+.4f}: {'passed' if above else 'failed'}"
    ]
    kept, reason = _compare(challenger, champion, champion_version, config)
    gone = f"the champion is gone, version {champion_version} was it before: " if champion_gone else ""
    reasons.append(gone + reason)
    figures = {
        "metric": metric,
        "challenger": dict(challenger.values),
        "challenger_noise": challenger.noise,
        "challenger_data": challenger.data,
        "challenger_inputs": challenger.inputs,
        "champion_version": champion_version,
        "champion_gone": champion_gone,
        "champion": dict(champion.values) if champion else None,
        "champion_metric": champion.metric if champion else None,
        "champion_noise": champion.noise if champion else None,
        "champion_data": champion.data if champion else None,
        "champion_inputs": champion.inputs if champion else None,
        "majority": dict(majority),
        "floor": base + config.min_gain_over_majority,
        "min_gain_over_majority": config.min_gain_over_majority,
        "tolerance": config.tolerance,
        "allowed": _allowed(challenger, champion, config),
    }
    return Verdict(above and kept, tuple(reasons), figures)


def _compare(
    challenger: Scores, champion: Scores | None, champion_version: str | None, config: Register
) -> tuple[bool, str]:
    """Whether the challenger is no regression, and the reason."""
    if champion is None and champion_version is not None:  # a person made it, and chose it
        unknown = f"the score of the champion, version {champion_version}, is unknown"
        return False, f"{unknown}: a person decides (`bertline promote`)"
    if champion is None:
        return True, "no champion yet: the floor decides"
    if not challenger.compares_with(champion):
        return True, "the champion was measured on other data or otherwise: the two do not compare, the floor decides"
    old, new = champion.primary, challenger.primary
    if math.isnan(old):
        return True, "the champion's score is no number (NaN): the floor decides"
    allowed = _allowed(challenger, champion, config)
    kept = new >= old - allowed - _ROUNDING
    outcome = "passed" if kept else "failed"
    return kept, f"{new - old:+.4f} from the champion's {old:.4f}; {-allowed:+.4f} is allowed: {outcome}"


def _allowed(challenger: Scores, champion: Scores | None, config: Register) -> float:
    """How much worse than the champion is still noise."""
    return max(config.tolerance, min(challenger.noise, champion.noise) if champion else 0.0)
