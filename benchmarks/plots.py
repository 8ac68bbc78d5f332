"""Draw what a study measured: python -m benchmarks.plots STUDY.json docs/warm-start.svg

STUDY.json is of `python -m benchmarks.warm_start --study`; the validation loss of each variant is drawn over the
seconds that it takes (the fastest variant's a step), preparation included.
"""

import argparse
import json
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

NAMES = {"default": "with the warm start", "normal": "from random embeddings"}


def main() -> None:
    """Read the command line, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    study = json.loads(options.study.read_text(encoding="utf-8"))
    mpl.rcParams["svg.hashsalt"] = "bertline"  # the same study, the same bytes
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    rows = study["variants"]
    # All variants train the same model: a step costs them the same, whatever else the machine did in one or the other.
    a_step = min(row["seconds"] / row["validation"][-1]["step"] for row in rows.values())
    for name, row in rows.items():
        seconds = [row["preparation_seconds"] + a_step * point["step"] for point in row["validation"]]
        axes.plot(seconds, [point["mlm_loss"] for point in row["validation"]], marker=".", label=NAMES.get(name, name))
    axes.set(xlabel="seconds", ylabel="MLM loss on held-out documents (nats)")
    axes.grid(alpha=0.3)
    axes.legend()
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.picture, metadata={"Date": None})
    print(f"written: {options.picture}")


if __name__ == "__main__":
    main()
