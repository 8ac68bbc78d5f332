"""Whether a model is as sure as it is right: reliability bins and the expected calibration error.

    calibration(rows, predictions)   # {"expected_calibration_error": 0.04, "bins": [{"low": 0.9, "rows": 412, …}, …]}

For kinds classification and pair, whose predictions carry a probability a label.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]

_BINS = 10
_DIGITS = 6


def calibration(rows: Sequence[Row], predictions: Sequence[Row]) -> dict[str, Any]:
    """Expected calibration error, and the bins it is the weighted mean of.

    The bins are of equal width over the probability of the predicted label; a bin holds its upper edge.

    Args:
        rows: with their label.
        predictions: one a row, with `label` and `scores` {label: probability}.

    Returns:
        {"expected_calibration_error": mean of |accuracy - confidence| over the rows' bins, "bins": [{"low", "high",
        "rows", "confidence", "accuracy"}]}; bins without rows are left out.

    Source:
        Naeini et al. 2015; Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3.
    """
    confidence = np.array([some["scores"][some["label"]] for some in predictions], dtype=np.float64)
    right = np.array([row["label"] == some["label"] for row, some in zip(rows, predictions, strict=True)], dtype=float)
    places = np.clip(np.ceil(confidence * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    found, error = [], 0.0
    for place in np.unique(places).tolist():
        inside = places == place
        sure, accuracy = float(confidence[inside].mean()), float(right[inside].mean())
        error += inside.sum() / len(rows) * abs(accuracy - sure)
        found.append(
            {
                "low": round(place / _BINS, _DIGITS),
                "high": round((place + 1) / _BINS, _DIGITS),
                "rows": int(inside.sum()),
                "confidence": round(sure, _DIGITS),
                "accuracy": round(accuracy, _DIGITS),
            }
        )
    return {"expected_calibration_error": round(float(error), _DIGITS), "bins": found}
