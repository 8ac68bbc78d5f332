"""Where a model is wrong, for people to read: calibration, slices and the worst mistakes, as analysis.json holds them.

It shows rows of the task, cut to a length, and so belongs where predictions.jsonl does: in DVC's cache, not in git.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bertline.evaluation.calibration import calibration
from bertline.evaluation.mistakes import worst_mistakes
from bertline.evaluation.slices import slices
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]


def analyse(task: TaskInfo, rows: Sequence[Row], predictions: Sequence[Row]) -> dict[str, Any]:
    """{"calibration": … (classification and pair), "slices": tables, "mistakes": list} of one model's predictions.

    Args:
        task: gives kind and primary metric.
        rows: with their labels, tags or answers; one at least.
        predictions: one a row, as evaluation.predictions reads them.
    """
    probable = task.kind in ("classification", "pair")
    return {
        **({"calibration": calibration(rows, predictions)} if probable else {}),
        "slices": slices(task, rows, predictions),
        "mistakes": worst_mistakes(task, rows, predictions),
    }
