"""The scoreboard: what pre-training reached, and what it gave to each task, beside what needs no pre-training.

scoreboard = make_scoreboard({"documents": …, "encode": …, "pretrain": …}, {"docs_qa": "span"}, {"docs_qa": …})
scoreboard.md = render_scoreboard(scoreboard)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bertline.evaluation.seeds import Spread, beyond, spread

Figures = Mapping[str, Any]

COLUMNS = {
    "pretrained": "pre-trained",
    "from_random": "from random",
    "tuned": "tuned",
    "transfer": "after another task",
    "checkpoint": "checkpoint",
    "features": "frozen features",
    "tfidf": "TF-IDF",
    "majority": "majority",
}
"""What a score may be of, in the order of the columns, and how people write it."""

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
        {"pretraining": {…}, "tasks": {task: {kind, rows, metric, seeds, …}}}. Of a task, each of COLUMNS that it has:
        the median over the seeds; `spread`: {start: {min, max, std}}; `gain`: that of the pre-trained over the random
        start, in the metric's own unit; `beyond_seeds`: as seeds.beyond; `ahead`: the columns that score higher than
        pre-trained; `others`: its other metrics; `kept`: {"seed", "score", "interval"} of the model that stands for the
        pre-trained start; `further`: {split: the same}, of a task with more test rows.
    """
    tasks = {}
    for task, kind in kinds.items():
        tasks[task] = _task_row(kind, evaluated[task])
        further = evaluated[task].get("further", {})
        if further:
            common = {"metric": evaluated[task]["metric"]}
            tasks[task]["further"] = {split: _task_row(kind, common | scores) for split, scores in further.items()}
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
        "mlm_loss": validation["mlm_loss"],
        "mlm_accuracy": validation["mlm_accuracy"],
        # An objective without next-sentence prediction has none.
        **({} if validation["nsp_accuracy"] is None else {"nsp_accuracy": validation["nsp_accuracy"]}),
    }


def _task_row(kind: str, evaluated: Figures) -> dict[str, Any]:
    metric = evaluated["metric"]
    scores = {name: evaluated[name][metric] for name in COLUMNS if name in evaluated}
    spreads = {start: by_metric[metric] for start, by_metric in evaluated["spread"].items()}
    others = {name: value for name, value in evaluated["pretrained"].items() if name != metric}
    seed = evaluated["kept"]["pretrained"]
    return {
        "kind": kind,
        "rows": evaluated["rows"],
        "metric": metric,
        "seeds": len(evaluated["seeds"]["pretrained"]),
        **scores,
        "spread": spreads,
        "gain": round(scores["pretrained"] - scores["from_random"], _DIGITS),
        "beyond_seeds": beyond(*(_spread(evaluated, start) for start in ("pretrained", "from_random"))),
        "ahead": [name for name, value in scores.items() if value > scores["pretrained"]],
        "others": others,
        "kept": {
            "seed": seed,
            "score": evaluated["seeds"]["pretrained"][str(seed)][metric],
            "interval": list(evaluated["intervals"]["pretrained"][metric]),
        },
    }


def _spread(evaluated: Figures, start: str) -> Spread:
    metric = evaluated["metric"]
    return spread([scores[metric] for scores in evaluated["seeds"][start].values()])


def render_scoreboard(scoreboard: Mapping[str, Any]) -> str:
    """The scoreboard as Markdown."""
    parts = [
        "# Scoreboard",
        _render_pretraining(scoreboard["pretraining"]),
        _render_tasks(scoreboard["tasks"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _render_pretraining(figures: Figures) -> str:
    gain = figures["unigram_entropy"] - figures["mlm_loss"]
    beside = f"{abs(gain):.3f} {'below' if gain >= 0 else 'above'} the unigram entropy"
    rows = [
        ("training documents", f"{figures['documents']:,}"),
        ("tokens in them", f"{figures['corpus_tokens']:,}"),
        ("tokens trained on", f"{figures['trained_tokens']:,} in {figures['steps']:,} steps"),
        ("parameters", f"{figures['parameters']:,}"),
        ("MLM loss", f"**{figures['mlm_loss']:.3f}** nats, {beside}"),
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
    scores = ("## Tasks, on their test rows", _table(*score_table(tasks)), *remarks(tasks), LEGEND)
    return "\n\n".join((*scores, "## The models that are kept", _table(*_kept_table(tasks)), KEPT))


def score_table(tasks: Mapping[str, Figures]) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of the tasks' scores, their cells in Markdown; `tasks` as in make_scoreboard's result."""
    shown = [name for name in COLUMNS if any(name in row for row in tasks.values())]
    heading = ["task", "kind", "test rows", "metric"]
    for name in shown:
        heading += [COLUMNS[name], *(("gain", "beyond the seeds") if name == "from_random" else ())]
    heading.append("other metrics")
    return heading, [_render_row(name, row, shown) for name, row in _rows(tasks)]


def _kept_table(tasks: Mapping[str, Figures]) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of the kept models' scores with their intervals."""
    rows = []
    for name, row in _rows(tasks):
        low, high = row["kept"]["interval"]
        score = f"{metric_name(row['metric'])} {row['kept']['score']:.3f}"
        rows.append([name, str(row["kept"]["seed"]), score, f"{low:.3f} to {high:.3f}"])
    return ["task", "seed", "score", "95 % interval"], rows


def _rows(tasks: Mapping[str, Figures]) -> Iterator[tuple[str, Figures]]:
    """The rows of tasks, with those of their further test rows below: `mnli`, `mnli, mismatched`."""
    for task, row in tasks.items():
        yield task, row
        for split, more in row.get("further", {}).items():
            yield f"{task}, {split.removeprefix('test_')}", more


def _render_row(task: str, row: Figures, shown: Sequence[str]) -> list[str]:
    cells = [task, row["kind"], f"{row['rows']:,}", metric_name(row["metric"])]
    for name in shown:
        cells.append(_render_score(name, row) if name in row else "")
        if name == "from_random":
            cells += [f"{row['gain']:+.3f}", BEYOND[row["beyond_seeds"]]]
    cells.append(", ".join(f"{metric_name(name)} {value:.3f}" for name, value in row["others"].items()))
    return cells


def _render_score(name: str, row: Figures) -> str:
    text = f"**{row[name]:.3f}**" if name == "pretrained" else f"{row[name]:.3f}"
    return text + render_spread(name, row, "{:.3f}".format)


def render_spread(name: str, row: Figures, render: Callable[[float], str]) -> str:
    """The least and the most of a column's seeds, where they differ; else nothing."""
    around = row["spread"].get(name)
    if around is None or around["min"] == around["max"]:
        return ""
    return f" ({render(around['min'])} to {render(around['max'])})"


def remarks(tasks: Mapping[str, Figures]) -> Iterator[str]:
    """Where something else than pre-training did better, in words."""
    for name, title in COLUMNS.items():
        found = [task for task, row in _rows(tasks) if name in row["ahead"]]
        if found:
            yield f"Better than *pre-trained*: {title} on {', '.join(found)}."


BEYOND = {"above": "yes", "below": "worse", "within": "no", "unknown": "one seed"}

LEGEND = """\
Models: the median over the seeds and, in brackets, the least and the most. *pre-trained*: fine-tuned from the
pre-trained encoder, one setting for all tasks. *from random*: the same network with the same heads, orders of rows and
budget, from random weights; *gain* is the difference of the medians, *beyond the seeds* whether the worst seed of
pre-trained beats the best one from random (worse: the other way round). *tuned*: the pre-trained encoder with options
chosen for the task on its validation rows. *after another task*: from the fine-tuned encoder of the task that section
`transfer` names, with the headline's setting. *checkpoint*: another BERT with that setting. *frozen features*: the
encoder's vectors, not fine-tuned, into a linear model. *TF-IDF*: words and pairs of words, counted, into a linear
model: no network. *majority*: the best guess from the training
labels alone (the commonest label; for tagging each word's commonest tag; for spans the first sentence, the whole
context or no answer; for regression the mean). *other metrics* are medians of the pre-trained one."""


KEPT = """\
Of the pre-trained seeds the one with the median score on validation rows: that model is in data/models/finetuned, and
is registered. *interval*: a bootstrap over the test rows. It tells how sure the score of this model is, and nothing of
the seeds."""


def metric_name(metric: str) -> str:
    """A metric's name as people write it."""
    return _METRIC_NAMES.get(metric, metric)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
