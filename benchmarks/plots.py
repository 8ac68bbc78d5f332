"""Draw what a study measured: python -m benchmarks.plots STUDY.json docs/warm-start.svg

STUDY.json is of `python -m benchmarks.warm_start --study`; the validation loss of each variant, the median over its
seeds and between the least and the most of them, is drawn over the seconds that it takes (the fastest run's a step),
preparation included, or with `--over steps`, where the machine had other work, over the steps. Of more than two
variants, name those to draw with --variants.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.machine import for_people
from bertline.base.errors import BertlineError

NAMES = {"default": "with the warm start", "normal": "from random embeddings"}


def main() -> None:
    """Read the command line, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--variants", nargs="+", default=list(NAMES), metavar="NAME")
    parser.add_argument("--over", choices=("seconds", "steps"), default="seconds")
    options = parser.parse_args()
    study = json.loads(options.study.read_text(encoding="utf-8"))
    mpl.rcParams["svg.hashsalt"] = "bertline"  # the same study, the same bytes
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in options.variants:
        if name not in study["variants"]:
            fix = f"Name some of {', '.join(study['variants'])} with --variants"
            raise BertlineError(f"has no variant {name!r}", where=str(options.study), fix=fix)
    variants = {name: list(study["variants"][name].values()) for name in options.variants}
    # All variants train the same model: a step costs them the same, whatever else the machine did in one or the other.
    a_step = min(row["seconds"] / row["validation"][-1]["step"] for rows in variants.values() for row in rows)
    for name, rows in variants.items():
        steps = np.array([point["step"] for point in rows[0]["validation"]])
        prepared = median(row["preparation_seconds"] for row in rows)
        along = steps if options.over == "steps" else prepared + a_step * steps
        losses = np.array([[point["mlm_loss"] for point in row["validation"]] for row in rows])
        (line,) = axes.plot(along, np.median(losses, axis=0), marker=".", label=NAMES.get(name, name))
        axes.fill_between(along, losses.min(axis=0), losses.max(axis=0), alpha=0.2, color=line.get_color())
    axes.set(xlabel=options.over, ylabel="MLM loss on held-out documents (nats)")
    axes.grid(alpha=0.3)
    axes.legend()
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.picture, metadata={"Date": None})
    print(f"written: {options.picture}")


if __name__ == "__main__":
    with for_people("plots"):
        main()
