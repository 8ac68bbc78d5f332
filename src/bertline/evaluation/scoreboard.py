"""The scoreboard: what pre-training reached, and what it gave to each task, beside what needs no pre-training.

scoreboard = make_scoreboard({"documents": …, "encode": …, "pretrain": …}, {"docs_qa": "span"}, {"docs_qa": …})
scoreboard.md = render_scoreboard(scoreboard)
"""

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]

_DIGITS = 6
_METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1_macro": "macro F1",
    "matthews": "Matthews correlation",
    "spearman": "Spearman correlation",
    "pearson": "Pearson correlation",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "exact_match": "exact match",
    "has_answer_f1": "F1 with an answer",
    "no_answer_accuracy": "accuracy without an answer",
    "best_f1": "F1 at its best threshold",
    "best_exact_match": "exact match at its best threshold",
}


def make_scoreboard(
    stages: Mapping[str, Figures], kinds: Mapping[str, str], evaluated: Mapping[str, Figures]
) -> dict[str, Any]:
    """Gather the figures.

    Args:
        stages: the metrics of stages documents, encode and pretrain.
        kinds: task -> kind; the order is that of the rows in the page.
        evaluated: task -> the metrics of its stage evaluate.

    Returns:
        {"pretraining": {…}, "tasks": {task: {kind, rows, metric, pretrained, from_random, majority, gain, others}}};
        `gain` is that of the pre-trained over the random start, in the metric's own unit.
    """
    tasks = {task: _task_row(kind, evaluated[task]) for task, kind in kinds.items()}
    return {"pretraining": _pretraining(**stages), "tasks": tasks}


def _pretraining(documents: Figures, encode: Figures, pretrain: Figures) -> dict[str, Any]:
    validation = pretrain["validation"]
    return {
        "documents": documents["train_documents"],
        "corpus_tokens": encode["train_tokens"],
        "parameters": pretrain["parameters"],
        "steps": pretrain["steps"],
        "trained_tokens": pretrain["tokens"],
        "unigram_entropy": encode["unigram_entropy"],
        # An objective without next-sentence prediction has no NSP figures.
        **{name: validation[name] for name in ("mlm_loss", "mlm_accuracy", "nsp_accuracy") if name in validation},
    }


def _task_row(kind: str, evaluated: Figures) -> dict[str, Any]:
    metric = evaluated["metric"]
    starts = {start: evaluated[start][metric] for start in ("pretrained", "from_random", "majority")}
    gain = round(starts["pretrained"] - starts["from_random"], _DIGITS)
    others = {name: value for name, value in evaluated["pretrained"].items() if name != metric}
    return {"kind": kind, "rows": evaluated["rows"], "metric": metric, **starts, "gain": gain, "others": others}


def render_scoreboard(scoreboard: Mapping[str, Any]) -> str:
    """The scoreboard as Markdown."""
    parts = [
        "# Scoreboard",
        _render_pretraining(scoreboard["pretraining"]),
        _render_tasks(scoreboard["tasks"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _render_pretraining(figures: Figures) -> str:
    below = figures["unigram_entropy"] - figures["mlm_loss"]
    rows = [
        ("training documents", f"{figures['documents']:,}"),
        ("tokens in them", f"{figures['corpus_tokens']:,}"),
        ("tokens trained on", f"{figures['trained_tokens']:,} in {figures['steps']:,} steps"),
        ("parameters", f"{figures['parameters']:,}"),
        ("MLM loss", f"**{figures['mlm_loss']:.3f}** nats, {below:.3f} below the unigram entropy"),
        ("unigram entropy", f"{figures['unigram_entropy']:.3f} nats: the loss of a guess that reads nothing"),
        ("MLM accuracy", f"{figures['mlm_accuracy']:.1%} of the masked tokens"),
    ]
    if "nsp_accuracy" in figures:
        rows.append(("NSP accuracy", f"**{figures['nsp_accuracy']:.1%}** (chance: 50 %)"))
    table = _table(("pre-training", "losses and accuracies on held-out documents"), rows)
    return f"## Pre-training\n\n{table}"


def _render_tasks(tasks: Mapping[str, Figures]) -> str:
    if not tasks:
        return ""
    heading = ("task", "kind", "test rows", "metric", "pre-trained", "from random", "gain", "majority", "other metrics")
    rows = [
        (
            task,
            row["kind"],
            f"{row['rows']:,}",
            metric_name(row["metric"]),
            f"**{row['pretrained']:.3f}**",
            f"{row['from_random']:.3f}",
            f"{row['gain']:+.3f}",
            f"{row['majority']:.3f}",
            ", ".join(f"{metric_name(name)} {value:.3f}" for name, value in row["others"].items()),
        )
        for task, row in tasks.items()
    ]
    return f"## Tasks, on their test rows\n\n{_table(heading, rows)}\n\n{_LEGEND}"


_LEGEND = """\
*pre-trained*: fine-tuned from the pre-trained encoder. *from random*: the same network with the same head, order of
rows and budget, from random weights; *gain* is the difference. *majority*: the best guess from the training labels
alone (the commonest label; for tagging each word's commonest tag; for spans the first sentence, the whole context or no
answer; for regression the mean). *other metrics* are those of the pre-trained one."""


def metric_name(metric: str) -> str:
    """A metric's name as people write it."""
    return _METRIC_NAMES.get(metric, metric)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
