"""Which options a search tries, and which it chooses."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bertline.base.config import Finetune
from bertline.base.tune_config import Tune
from bertline.finetuning.tuning import tune

CONFIG = Finetune(epochs=3, learning_rate=1e-3)
MATERIAL: Any = SimpleNamespace(data=SimpleNamespace(task=SimpleNamespace(name="toy", metric="accuracy")))


def search(wanted: Tune, score: Callable[[Finetune], float]) -> tuple[Finetune, list[Finetune]]:
    """What is chosen, and what was tried, where runs of these options score so."""
    tried: list[Finetune] = []

    def train(_: Any, config: Finetune, **__: Any) -> Any:
        tried.append(config)
        return SimpleNamespace(history=SimpleNamespace(scores={"accuracy": score(config)}))

    runs: Any = SimpleNamespace(train=train)
    chosen, _ = tune(runs, MATERIAL, replace(CONFIG, tune=wanted), encoder=Path("encoder"))
    return chosen, tried


def test_a_search_goes_on_where_the_scores_are_better_and_leaves_its_bounds_nowhere() -> None:
    def miss(config: Finetune) -> float:
        return abs(math.log10(config.learning_rate / 4e-3))

    chosen, tried = search(Tune(optuna_trials=40), lambda config: -miss(config))
    assert chosen == min(tried, key=miss)
    early, late = tried[:10], tried[-15:]
    assert sum(map(miss, late)) / len(late) < 0.5 * sum(map(miss, early)) / len(early)
    rates = [config.learning_rate for config in tried]
    assert 1e-3 / 6.01 < min(rates) < 5e-4 and max(rates) < 6.01e-3
    assert {config.epochs for config in tried} == {1, 2, 3}
    assert {config.batch_size for config in tried} == {16, 32, 64}
    assert {config.dropout for config in tried} == {0.0, 0.1, 0.2}


def test_of_learning_rates_that_do_equally_well_the_first_is_chosen() -> None:
    chosen, tried = search(Tune(learning_rates=[2e-3, 1e-3, 5e-4]), lambda config: min(config.learning_rate, 1e-3))
    assert len(tried) == 3 and chosen.learning_rate == 2e-3
