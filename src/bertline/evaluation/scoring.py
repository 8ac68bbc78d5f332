"""The scores of a split: every start over its seeds, and the baselines that have no seed.

score_split(task, rows, {"pretrained": {0: […], 1: […]}, "from_random": {…}}, {"majority": […]})
# {"rows": 872, "pretrained": {"accuracy": 0.80}, "majority": {…}, "spread": {…}, "seeds": {…}}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bertline.evaluation.metrics import score
from bertline.evaluation.seeds import spread
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]


def score_split(
    task: TaskInfo,
    rows: Sequence[Row],
    runs: Mapping[str, Mapping[int, Sequence[Row]]],
    baselines: Mapping[str, Sequence[Row]],
) -> dict[str, Any]:
    """Score predictions against the rows of a split.

    Args:
        task: gives kind and metrics.
        rows: with their labels, tags or answers.
        runs: start -> seed -> predictions.
        baselines: name -> predictions.

    Returns:
        {"rows": how many, start: {metric: median over the seeds}, baseline: {metric: value},
        "spread": {start: {metric: {"min", "max", "std"}}}, "seeds": {start: {seed: {metric: value}}}}.
    """
    seeds = {
        start: {str(seed): score(task, rows, some) for seed, some in by_seed.items()} for start, by_seed in runs.items()
    }
    spreads = {
        start: {name: spread([scores[name] for scores in by_seed.values()]) for name in task.metrics}
        for start, by_seed in seeds.items()
    }
    medians = {start: {name: each.median for name, each in figures.items()} for start, figures in spreads.items()}
    around = {
        start: {name: {"min": each.least, "max": each.most, "std": each.deviation} for name, each in figures.items()}
        for start, figures in spreads.items()
    }
    alone = {name: score(task, rows, some) for name, some in baselines.items()}
    return {"rows": len(rows), **medians, **alone, "spread": around, "seeds": seeds}
