"""Which shape makes the most of a small budget: model size, batch and learning rate, in the same CPU time each.

    python -m benchmarks.shapes --cpu-minutes 10          # writes results/shapes.json, row by row; goes on where it was
    python -m benchmarks.shapes --name shapes-glue --tokens DIR/tokens --vocab DIR/vocab      # of another corpus

Every row trains with one thread until its CPU time is spent: first a few steps to learn what a step costs, then a run
with as many steps as fit. Judged on held-out documents. Rows may run side by side (--only): their time is counted by
the kernel, not by the clock.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import for_people, read_result, write_result
from bertline.base.config import Pretrain
from bertline.pretraining.trainer import Trainer
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import read_vocab

ROWS: dict[str, dict[str, Any]] = {
    "tiny, 64 x 64": {},
    "tiny, 128 x 64": {"batch_size": 128},
    "tiny, 32 x 64": {"batch_size": 32},
    "tiny, 64 x 64, rate 6e-4": {"learning_rate": 6e-4},
    "tiny, 64 x 64, rate 2.5e-3": {"learning_rate": 2.5e-3},
    "tiny, 64 x 64, rate 5e-3": {"learning_rate": 5e-3},
    "tiny, 64 x 64, Muon, rate 3e-3": {"optimizer": "muon", "learning_rate": 3e-3},
    "2/256, 64 x 64, Muon, rate 3e-3": {"model": "2/256", "optimizer": "muon", "learning_rate": 3e-3},
    "mini, 64 x 64, Muon, rate 3e-3": {"model": "mini", "optimizer": "muon", "learning_rate": 3e-3},
    "2/256, 64 x 64": {"model": "2/256", "learning_rate": 1e-3},
    "mini, 32 x 64": {"model": "mini", "batch_size": 32, "learning_rate": 1e-3},
    "mini, 64 x 64": {"model": "mini", "learning_rate": 1e-3},
    "small, 32 x 64": {"model": "small", "batch_size": 32, "learning_rate": 6e-4},
}
_RECIPE = ("model", "optimizer", "batch_size", "sequence_length", "learning_rate")
_TRIAL_STEPS = 150  # fewer promise more than a long run keeps: a core that begins is faster than one at work


def main() -> None:
    """Read the command line, and train what is still missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-minutes", type=float, default=10.0)
    parser.add_argument("--tokens", type=Path, default=Path("data/tokens"), help="stores train/ and validation/")
    parser.add_argument("--vocab", type=Path, default=Path("data/vocab"))
    parser.add_argument("--name", default="shapes", help="of the result")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    options = parser.parse_args()
    for name in options.only:
        if name not in _known(options):
            row = measure(replace(Pretrain(threads=1), **ROWS[name]), options)
            rows = _known(options) | {name: row}  # read anew: another process may have added to it
            write_result(options.name, settings_of(options) | {"rows": rows})
            print(f"{name}: {row}", flush=True)


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """What all rows of a result have in common: the time of each, and the text."""
    store, vocabulary = TokenStore.open(options.tokens / "train"), read_vocab(options.vocab)
    return {"cpu_minutes": options.cpu_minutes, "tokens": len(store.ids), "vocabulary": len(vocabulary)}


def _known(options: argparse.Namespace) -> dict[str, Any]:
    found = read_result(options.name)
    return dict(found.get("rows", {})) if settings_of(options).items() <= found.items() else {}


def measure(config: Pretrain, options: argparse.Namespace) -> dict[str, Any]:
    """Train one row, and say what it came to."""
    trial = replace(config, embedding_init="normal", evaluation_batches=1)
    few, many = (train(replace(trial, budget=steps), options)[0] for steps in (1, 1 + _TRIAL_STEPS))
    steps = int(60 * options.cpu_minutes * _TRIAL_STEPS / (many - few))
    seconds, trainer = train(replace(config, budget=steps, evaluate_every=steps, checkpoint_every=steps), options)
    metrics = trainer.metrics()
    return {
        "steps": steps,
        "tokens": metrics["tokens"],
        "parameters": metrics["parameters"],
        "cpu_minutes": seconds / 60,
        "train": metrics["train"],
        "validation": metrics["validation"],
        "recipe": {key: getattr(config, key) for key in _RECIPE},
    }


def train(config: Pretrain, options: argparse.Namespace) -> tuple[float, Trainer]:
    """One run; return the CPU seconds it took, loading included, and the trainer."""
    started = time.process_time()
    stores = [TokenStore.open(options.tokens / split) for split in ("train", "validation")]
    with (
        tempfile.TemporaryDirectory() as folder,
        Trainer(config, stores[0], stores[1], read_vocab(options.vocab), Path(folder)) as trainer,
    ):
        trainer.train()
    return time.process_time() - started, trainer


if __name__ == "__main__":
    with for_people("shapes"):
        main()
