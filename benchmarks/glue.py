"""What a run on public tasks came to: its figures as a result file, its table for the README, its picture.

    python -m benchmarks.glue CHECKOUT glue-cpu      # writes results/glue-cpu.json, docs/glue-cpu.svg; prints a table

CHECKOUT holds a finished `dvc repro` of the preset of that name. The picture has the loss of pre-training on held-out
documents, each task's score on held-out training rows after each epoch, a line a seed, and the confusion matrices of
the published development rows.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.machine import for_people, write_result
from bertline.base.artifacts import Artifacts
from bertline.base.files import read_json
from bertline.evaluation.confusion import read_confusion
from bertline.evaluation.scoreboard import BEYOND, COLUMNS, render_spread
from pipelines.graph import read_plan_and_changes
from pipelines.plan import check_lock

_COLORS = {"pretrained": "#0b6e4f", "from_random": "#b0722a"}
_NAMES = {start: COLUMNS[start] for start in _COLORS}
_MOST_LABELS = 10  # of a confusion matrix that can still be read
_FEW = 3  # labels whose names find room along both axes
_COLUMNS = (4, 5)  # of curves, and of matrices


def main() -> None:
    """Read the command line; write, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("name", help="of the preset, and of the result")
    options = parser.parse_args()
    # Figures of stages that do not belong together are figures of nothing.
    check_lock(read_plan_and_changes(options.checkout, ["report"])[1])
    artifacts = Artifacts(options.checkout)
    found = gather(artifacts, options.name)
    print(f"written: {write_result(options.name, found)}")
    picture = Path("docs") / f"{options.name}.svg"
    draw(found["tasks"], found["validation_curve"]).savefig(picture, metadata={"Date": None})
    print(f"written: {picture}\n\n{table(found['scoreboard'])}")


def gather(artifacts: Artifacts, name: str) -> dict[str, Any]:
    """Everything that the run reported, and with what options and in which time."""
    scoreboard = read_json(artifacts.scoreboard / "scoreboard.json")
    preset = artifacts.root / "pipelines" / "presets" / f"{name}.yaml"
    seconds = {file.stem: read_json(file)["seconds"] for file in sorted((artifacts.runs / "stages").glob("*.json"))}
    return {
        "preset": preset.read_text(encoding="utf-8"),
        "seconds": seconds,
        "scoreboard": scoreboard,
        "validation_curve": read_json(artifacts.report("pretrain") / "validation_curve.json"),
        "tasks": {task: _task(artifacts, task) for task in scoreboard["tasks"]},
    }


def _task(artifacts: Artifacts, task: str) -> dict[str, Any]:
    evaluated = read_json(artifacts.metrics("evaluate", task))
    finetuned = read_json(artifacts.metrics("finetune", task))
    pairs = Counter(read_confusion(artifacts.report("evaluate", task) / "confusion.csv"))
    return {
        **evaluated,
        "epochs": {start: [seed["epochs"] for seed in finetuned[start]["seeds"].values()] for start in _COLORS},
        "confusion": [[*pair, count] for pair, count in sorted(pairs.items())],
    }


def table(scoreboard: Mapping[str, Any]) -> str:
    """The README's table, in hundredths: medians over the seeds, with least and most."""
    tasks = scoreboard["tasks"]
    others = [name for name in COLUMNS if name not in _NAMES and any(name in row for row in tasks.values())]
    heading = ["task", "rows", "metric", *_NAMES.values(), "beyond the seeds", *(COLUMNS[name] for name in others)]
    lines = [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    for task, row in tasks.items():
        cells = [task, f"{row['rows']:,}", row["metric"]]
        cells += [_score(row, start) for start in _NAMES]
        cells.append(BEYOND[row["beyond_seeds"]])
        cells += [_score(row, other) if other in row else "" for other in others]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _score(row: Mapping[str, Any], name: str) -> str:
    return _hundredths(row[name]) + render_spread(name, row, _hundredths)


def _hundredths(score: float) -> str:
    return f"{100 * score:.1f}"


def draw(tasks: Mapping[str, Any], pretraining: Sequence[Mapping[str, Any]]) -> Figure:
    """Curves of pre-training and of all tasks above, the confusion matrices of those with few labels below."""
    mpl.rcParams.update({"svg.hashsalt": "bertline", "svg.fonttype": "none"})  # the same run, the same bytes; and small
    matrices = {
        task: found["confusion"]
        for task, found in tasks.items()
        if 0 < max(map(len, _labels(found["confusion"]))) <= _MOST_LABELS
    }
    counts = (1 + len(tasks), len(matrices))
    heights = [-(-count // columns) for count, columns in zip(counts, _COLUMNS, strict=True)]
    figure = Figure(figsize=(11, 2.3 * sum(heights)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=heights)
    first, *others = above.subplots(heights[0], _COLUMNS[0]).flat
    _draw_pretraining(first, pretraining)
    for axes, (task, found) in zip(others, tasks.items(), strict=False):
        _draw_curves(axes, task, found)
    below.suptitle("What is right (rows), and what was predicted", fontsize=10)
    grid = below.subplots(heights[1], _COLUMNS[1]).flat
    for axes, (task, pairs) in zip(grid, matrices.items(), strict=False):
        _draw_matrix(axes, task, pairs)
    for axes in figure.axes:
        if not axes.has_data():
            axes.set_axis_off()
    handles, names = others[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=2, frameon=False)
    return figure


def _draw_pretraining(axes: Axes, curve: Sequence[Mapping[str, Any]]) -> None:
    axes.plot([point["step"] / 1000 for point in curve], [point["mlm_loss"] for point in curve], ".-", color="#444444")
    axes.set_title("pre-training: MLM loss (thousand steps)", fontsize=9)
    _rule(axes)


def _draw_curves(axes: Axes, task: str, found: Mapping[str, Any]) -> None:
    for start, color in _COLORS.items():
        for number, scores in enumerate(found["epochs"][start]):
            label = _NAMES[start] if number == 0 else None
            axes.plot(range(1, len(scores) + 1), [100 * score for score in scores], ".-", color=color, label=label)
    axes.set_title(f"{task}: {found['metric'].replace('_', ' ')}", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _rule(axes)


def _rule(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def _labels(pairs: Sequence[Sequence[Any]]) -> tuple[list[str], list[str]]:
    """Actual and predicted ones: the same, unless what is predicted is of another sort (how much of an answer)."""
    actual, predicted = ({pair[side] for pair in pairs} for side in (0, 1))
    if actual & predicted:
        actual = predicted = actual | predicted
    return sorted(actual), sorted(predicted)


def _draw_matrix(axes: Axes, task: str, pairs: list[list[Any]]) -> None:
    labels, guesses = _labels(pairs)
    counts = {(actual, predicted): count for actual, predicted, count in pairs}
    rows = [[counts.get((actual, predicted), 0) for predicted in guesses] for actual in labels]
    axes.imshow([[cell / max(sum(row), 1) for cell in row] for row in rows], cmap="Greens", vmin=0, vmax=1)
    size = 8 if len(labels) <= _FEW else 4
    for place, row in enumerate(rows):
        for other, cell in enumerate(row):
            dark = cell > sum(row) / 2
            axes.text(other, place, f"{cell:,}", ha="center", va="center", color="w" if dark else "k", fontsize=size)
    turned = 90 if len(labels) > _FEW else 0  # short names beside, long ones along the axis
    across, down = ([name.replace("_", " ") for name in names] for names in (guesses, labels))
    axes.set_xticks(range(len(across)), across, fontsize=7, rotation=turned)
    axes.set_yticks(range(len(down)), down, fontsize=7, rotation=90 - turned, va="center")
    axes.set_title(task, fontsize=9)


if __name__ == "__main__":
    with for_people("glue"):
        main()
