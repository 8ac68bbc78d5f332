"""What making a model emitted, estimated from how long its stage took: an order of magnitude, not a measurement.

    carbon("finetune@rte", Finetune(), artifacts)   # "About 1.3 g of CO2 equivalent: …"

Times are no part of the pipeline's artefacts, whose bytes must not depend on them; they lie in data/runs/stages, and
the estimate is made when a model is registered.
"""

from bertline.base.artifacts import Artifacts
from bertline.base.config import Finetune, Pretrain
from bertline.base.files import read_json

WATTS_A_CORE = 15.0  # a busy core of a server, its share of memory and power supply included
WATTS_A_GPU = 700.0  # the limit of an H100 SXM
GRAMS_A_KWH = 480.0  # the world's mean in 2023 (Ember, Global Electricity Review 2024)


def carbon(stage: str, config: Pretrain | Finetune, artifacts: Artifacts) -> str:
    """The estimate in words, with all it assumes.

    Args:
        stage: title of the stage that made the model.
        config: its options: device, processes and threads.
        artifacts: where the times of the stages lie.
    """
    timing = artifacts.timing(stage)
    power, drawn = _power(config)
    assumed = f"Assumed, not measured: {drawn}, {GRAMS_A_KWH:.0f} g of CO2 equivalent a kWh (the world's mean in 2023)."
    if not timing.is_file():
        return f"Not known: stage {stage} did not run on this machine. For an estimate of your own: {assumed}"
    hours = float(read_json(timing)["seconds"]) / 3600
    grams = hours * power / 1000 * GRAMS_A_KWH
    return (
        f"About {_two_digits(grams)} g of CO2 equivalent, estimated from {_two_digits(hours)} h of stage {stage}"
        f" when it last ran on this machine, all of its seeds and starts included but for what an interrupted run had"
        f" finished before. {assumed}"
    )


def _power(config: Pretrain | Finetune) -> tuple[float, str]:
    processes = config.processes if isinstance(config, Pretrain) else 1
    if config.device == "cpu":
        cores = processes * config.threads
        return cores * WATTS_A_CORE, f"{cores} CPU cores of {WATTS_A_CORE:.0f} W each"
    return processes * WATTS_A_GPU, f"{processes} GPU of {WATTS_A_GPU:.0f} W each"


def _two_digits(value: float) -> str:
    """Two significant digits: more would claim what an estimate does not know."""
    return f"{float(f'{value:.2g}'):,g}"
