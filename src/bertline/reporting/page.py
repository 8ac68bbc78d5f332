"""The report as one page of HTML: scoreboard, curves, confusion, calibration, slices and the worst mistakes.

    render_page(scoreboard, training, validation, [TaskReport("rte", metrics, analysis, curve, confusion)])

Whole in itself: no script, no font, no picture is fetched. What stands in the data is text, never markup. The same
inputs give the same bytes.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from bertline.evaluation.scoreboard import COLUMNS, LEGEND, metric_name, remarks, score_table
from bertline.reporting.charts import Series, line_chart, reliability_diagram
from bertline.reporting.look import PAGE, STYLE
from bertline.validation.pages import HEAD
from bertline.validation.pages import STYLE as COMMON

Rows = Sequence[Mapping[str, Any]]
Figures = Mapping[str, Any]

_PRETRAINING = {
    "mlm_loss": "MLM loss (nats)",
    "mlm_accuracy": "MLM accuracy",
    "nsp_loss": "NSP loss (nats)",
    "nsp_accuracy": "NSP accuracy",
    "pseudo_perplexity": "Pseudo-perplexity",
    "learning_rate": "Learning rate",
}
# The starts with curves, in the order of the colours.
_TUNED_STARTS = ("pretrained", "from_random", "tuned", "transfer", "checkpoint")
_LABELS = 16  # of a confusion matrix; the rarer ones are taken together
_OTHERS = "(others)"
_TOGETHER = f" {_OTHERS}: the rarer ones; where they meet themselves, one taken for another of them counts too."
_NOTES = {
    "tagging": "Words, without those outside on both sides. Shades: the share of the row.",
    "span": "Questions: the whole answer, some of its words, none. Shades: the share of the row.",
    "regression": "Values, rounded. Shades: the share of the row.",
}


@dataclass(frozen=True)
class TaskReport:
    """What the stages wrote about a task.

    Attributes:
        name: the T of task@T.
        metrics: reports/evaluate/T/metrics.json.
        analysis: reports/evaluate/T/analysis.json.
        curve: reports/finetune/T/curve.json and, where there is one, that of stage transfer.
        confusion: (actual, predicted) pairs of reports/evaluate/T/confusion.csv.
    """

    name: str
    metrics: Figures
    analysis: Figures
    curve: Rows
    confusion: Sequence[tuple[str, str]]


def render_page(scoreboard: Figures, training: Rows, validation: Rows, tasks: Sequence[TaskReport]) -> str:
    """The page.

    Args:
        scoreboard: as evaluation.scoreboard makes it.
        training: reports/pretrain/curve.json.
        validation: reports/pretrain/validation_curve.json.
        tasks: in the order in which they are shown.
    """
    environment = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True)
    environment.globals["charts"] = _charts
    board = scoreboard["tasks"]
    page = {
        "figures": list(_figures(scoreboard["pretraining"])),
        "scores": _scores(board) if board else None,
        "pretraining": _pretraining(training, validation),
        "tasks": [_task(task, board[task.name]["kind"]) for task in tasks],
    }
    template = environment.from_string(HEAD + PAGE)
    return template.render(page, title="bertline: report", style=Markup(COMMON + STYLE))


def _figures(pretraining: Figures) -> Iterator[tuple[str, str]]:
    yield "parameters", f"{pretraining['parameters']:,}"
    yield "tokens trained on", f"{pretraining['trained_tokens']:,}"
    yield "steps", f"{pretraining['steps']:,}"
    yield "MLM loss, held-out", f"{pretraining['mlm_loss']:.3f} nats"
    yield "MLM accuracy, held-out", f"{pretraining['mlm_accuracy']:.1%}"
    if pretraining.get("nsp_accuracy") is not None:
        yield "NSP accuracy, held-out", f"{pretraining['nsp_accuracy']:.1%}"


def _scores(board: Figures) -> Figures:
    heading, rows = score_table(board)
    return {
        "heading": heading,
        "rows": [[_unbroken(_marked(cell)) for cell in row] for row in rows],
        "remarks": [_marked(text) for text in remarks(board)],
        "legend": _marked(LEGEND),
    }


def _marked(text: str) -> Markup:
    """Markdown's `code`, **bold** and *emphasis* as HTML; all else is text."""
    code = re.sub(r"`(.+?)`", r"<code>\1</code>", str(escape(text)))
    bold = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", code)
    return Markup(re.sub(r"\*(.+?)\*", r"<em>\1</em>", bold))


def _unbroken(cell: Markup) -> Markup:
    """A cell that may be broken before the brackets of a spread, and not inside of them: the columns are many."""
    return Markup(re.sub(r"(\([-\d.]+ to [-\d.]+\))", r'<span class="whole">\1</span>', str(cell)))


def _charts(charts: Sequence[tuple[str, Markup]]) -> Markup:
    figure = Markup("<figure><figcaption>{}</figcaption>{}</figure>\n")
    drawn = Markup().join(figure.format(title, chart) for title, chart in charts if chart)
    return Markup('<div class="charts">\n{}</div>').format(drawn)


def _pretraining(training: Rows, validation: Rows) -> list[tuple[str, Markup]]:
    return [
        (
            title,
            line_chart(
                [
                    Series("training batches", _points(training, key), 0),
                    Series("held-out documents", _points(validation, key), 1, dashed=True),
                ],
                "step",
            ),
        )
        for key, title in _PRETRAINING.items()
    ]


def _finetuning(curve: Rows, metric: str) -> list[tuple[str, Markup]]:
    """Loss on training and validation rows, and the score on validation rows, from every start."""
    losses, scores = list[Series](), list[Series]()
    for place, start in enumerate(_TUNED_STARTS):
        title = COLUMNS[start]
        held_out = _points(curve, f"{start}_validation_loss")
        # By its own epochs, of which the first look ends one: a tuned start may have batches of another size.
        epoch = held_out[0][0] if held_out else 1.0
        losses.append(Series(f"{title}, training", _points(curve, f"{start}_loss", epoch), place))
        held_out = _points(curve, f"{start}_validation_loss", epoch)
        losses.append(Series(f"{title}, validation", held_out, place, dashed=True))
        looks = _points(curve, f"{start}_validation_score", epoch)
        scores.append(Series(title, looks, place, dashed=True))
    return [
        ("Fine-tuning loss", line_chart(losses, "epoch")),
        (f"Validation {metric_name(metric)}", line_chart(scores, "epoch")),
    ]


def _points(rows: Rows, key: str, unit: float = 1) -> list[tuple[float, float]]:
    """The values of a key over the steps, in units of so many."""
    return [(row["step"] / unit, row[key]) for row in rows if row.get(key) is not None]


def _task(task: TaskReport, kind: str) -> dict[str, Any]:
    metrics, analysis = task.metrics, task.analysis
    seed = str(metrics["kept"]["pretrained"])
    intervals = metrics["intervals"]["pretrained"]
    measured = analysis.get("calibration")
    return {
        "name": task.name,
        "anchor": f"task-{task.name}",
        "kind": kind,
        "seed": seed,
        "rows": f"{metrics['rows']:,}",
        "scores": [
            (metric_name(name), f"{value:.3f}", _interval(intervals.get(name)))
            for name, value in sorted(
                metrics["seeds"]["pretrained"][seed].items(), key=lambda item: item[0] != metrics["metric"]
            )
        ],
        "curves": _finetuning(task.curve, metrics["metric"]),
        "confusion": _confusion(task.confusion, _NOTES.get(kind, "Rows. Shades: the share of the row.")),
        "calibration": measured
        and {
            "diagram": reliability_diagram(measured["bins"]),
            "error": f"{measured['expected_calibration_error']:.3f}",
        },
        "slices": [_slices(table) for table in analysis["slices"]],
        "mistakes": [mistake | {"how": _how(mistake)} for mistake in analysis["mistakes"]],
    }


def _interval(edges: Sequence[float] | None) -> str:
    return f"{edges[0]:.3f} to {edges[1]:.3f}" if edges else ""


def _slices(table: Figures) -> dict[str, Any]:
    metrics = table["metrics"]
    rows = [
        (part["slice"], f"{part['rows']:,}", [f"{part['scores'][metric]:.3f}" for metric in metrics])
        for part in table["slices"]
    ]
    names = [metric_name(metric).replace("_", " ") for metric in metrics]
    return {"by": table["by"], "metrics": names, "rows": rows}


def _how(mistake: Figures) -> str:
    if mistake["confidence"] is None:
        return f"off by {mistake['by']:.4g}"
    return f"{mistake['confidence']:.1%} sure"


def _confusion(pairs: Sequence[tuple[str, str]], note: str) -> dict[str, Any]:
    """The matrix: of each row its name and (count, share of the row); the rarer labels of many are one."""
    actual, predicted = (Counter(pair[side] for pair in pairs) for side in (0, 1))
    kept = {name for name, _ in sorted((actual + predicted).items(), key=lambda item: (-item[1], item[0]))[:_LABELS]}
    counts = Counter(tuple(name if name in kept else _OTHERS for name in pair) for pair in pairs)
    names = [sorted({pair[side] for pair in counts}, key=_order) for side in (0, 1)]
    if len(set(names[0]) & set(names[1])) > 1:  # one set of labels: the same order on both sides
        names = [sorted({*names[0], *names[1]}, key=_order)] * 2
    rows = []
    for name in names[0]:
        cells = [counts[name, other] for other in names[1]]
        total = max(sum(cells), 1)
        rows.append((name, [(f"{count:,}" if count else "", round(count / total, 3)) for count in cells]))
    return {"columns": names[1], "rows": rows, "note": note + _TOGETHER * (_OTHERS in {*names[0], *names[1]})}


def _order(name: str) -> tuple[bool, float, str]:
    """Numbers by value, other labels by name, the rest of them last."""
    number = re.fullmatch(r"-?\d+(\.\d+)?", name)
    return name == _OTHERS, float(name) if number else 0.0, name
