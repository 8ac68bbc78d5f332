"""Training curves as pictures for Prefect's UI: small PNGs, as data URLs, so that no file server is needed."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]

_PRETRAINING = {"mlm_loss": "MLM loss (nats)", "nsp_loss": "NSP loss (nats)", "mlm_accuracy": "MLM accuracy"}


def pretraining(training: Rows, validation: Rows) -> dict[str, str]:
    """Title -> picture of every curve that pre-training has."""
    return {
        f"pre-training {title.partition(' (')[0]}": _picture(
            {"training batches": _points(training, key), "held-out documents": _points(validation, key)}, title
        )
        for key, title in _PRETRAINING.items()
        if _points(training, key)
    }


def finetuning(rows: Rows, task: str) -> str:
    """The loss of a fine-tuning from each start that the rows tell of."""
    series = {
        "from pre-trained weights": _points(rows, "pretrained_loss"),
        "from random weights": _points(rows, "from_random_loss"),
        "after another task": _points(rows, "transfer_loss"),
    }
    return _picture(series, f"{task}: training loss")


def _points(rows: Rows, key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in rows if row.get(key) is not None]


def _picture(series: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    figure = Figure(figsize=(7, 3.6), layout="constrained")  # not pyplot: flows draw in threads
    axes = figure.add_subplot()
    for name, points in series.items():
        if points:
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, label=name, marker="o" if len(points) < 30 else "", markersize=3)
    axes.set(xlabel="step", ylabel=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
