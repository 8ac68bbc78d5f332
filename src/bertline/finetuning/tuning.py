"""Tuning beside the headline: options chosen for one task, on its validation rows, never on scored ones.

    config, trials = tune(runs, material, config, encoder=material.encoder)

With `tune.learning_rates` each of them is tried with the first seed. With `tune.optuna_trials` Optuna's TPE sampler
(Bergstra et al. 2011), seeded, searches learning rate, epochs, batch size and dropout around the configured ones. The
options with the best validation score are then run with all seeds, as start `tuned`. A trial is a run like any other:
it is not made twice, and a search that was killed goes on where it stood, because its sampler asks the same again.
"""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bertline.base.config import Finetune
from bertline.base.errors import BertlineError
from bertline.finetuning.material import Material
from bertline.finetuning.runs import Runs

_BATCH_SIZES = (16, 32, 64)
_DROPOUTS = (0.0, 0.1, 0.2)
_REACH = 6.0  # Optuna's learning rates lie between the configured one over this and times this

Trials = list[dict[str, Any]]


def check_tuning(config: Finetune) -> None:
    """Refuse a search that cannot be made, before anything is trained.

    Raises:
        BertlineError: Optuna is asked for and not installed.
    """
    if config.tune.optuna_trials and find_spec("optuna") is None:
        fix = "Install it with `pip install optuna`, or set optuna_trials to 0"
        raise BertlineError("Optuna is not installed", where="finetune.tune.optuna_trials", fix=fix)


def tune(runs: Runs, material: Material, config: Finetune, *, encoder: Path) -> tuple[Finetune, Trials]:
    """Choose the options of a task.

    Returns:
        The recipe with the best validation score (of equals the first tried), and what was tried: options and "score".

    Raises:
        BertlineError: as finetune.
    """
    tried: list[tuple[float, Finetune]] = []
    trials: Trials = []

    def attempt(**options: Any) -> float:
        recipe = replace(config, **options)
        shown = ", ".join(f"{name} {value:g}" for name, value in options.items())
        title = f"finetune@{material.data.task.name} tuning, {shown}"
        history = runs.train(material, recipe, encoder=encoder, title=title).history
        score = history.scores[material.data.task.metric]
        tried.append((score, recipe))
        trials.append({**options, "score": score})
        return score

    for rate in config.tune.learning_rates:
        attempt(learning_rate=rate)
    if config.tune.optuna_trials:
        _search(attempt, config)
    best = max(tried, key=lambda trial: trial[0])[1] if tried else config
    return best, trials


def _search(attempt: Any, config: Finetune) -> None:
    import optuna  # noqa: PLC0415  (an extra, for those who ask for it)

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: Any) -> float:
        low, high = config.learning_rate / _REACH, config.learning_rate * _REACH
        rate = trial.suggest_float("learning_rate", low, high, log=True)
        return float(
            attempt(
                learning_rate=float(f"{rate:.3g}"),
                epochs=trial.suggest_int("epochs", 1, config.epochs),
                batch_size=trial.suggest_categorical("batch_size", _BATCH_SIZES),
                dropout=trial.suggest_categorical("dropout", _DROPOUTS),
            )
        )

    sampler = optuna.samplers.TPESampler(seed=config.seed)
    optuna.create_study(direction="maximize", sampler=sampler).optimize(objective, n_trials=config.tune.optuna_trials)
