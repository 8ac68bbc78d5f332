"""Fine-tuning and inference on the CPU, ours beside Hugging Face's Trainer and pipeline, each run in its own process.

    python -m benchmarks.finetune --peer                # everything, three rounds; see results/finetune-PRECISION.json
    python -m benchmarks.finetune --peer --jobs squad_44 --tokens 500000   # one, on fewer rows; other results stay
    python -m benchmarks.finetune --jobs rte            # ours alone, on one task; results/finetune-PRECISION-ours.json

Both sides start from the same directory (a BERT in Hugging Face format: --model, or random weights of a named shape
with a vocabulary learned from the tasks' texts) and train on the same rows with the same epochs, batch, maximum length,
learning rate, dropout and precision: bf16 in training, fp32 in answers, but for the jobs of answers in bf16 (all fp32
on a processor without bf16 instructions). The peer runs as transformers' run_glue.py and run_qa.py set it up
(finetune_peer.py), and once more with the best of its own settings. Time counts from rows in memory and a model on disk
to scores, with libraries loaded: features, training, and an evaluation after every epoch. Examples are the training
rows and the scored rows, times the epochs. Every round has a seed of its own, so that scores have a spread. Inference:
texts to answers, the model in memory, again and again for five seconds; the median of these counts.
Rows come from BERTLINE_MIRROR, or else from the web.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.finetune_inputs import JOBS, WARM_UP, Job, finetuned_directory, model_directory, rows_of, write_inputs
from benchmarks.machine import (
    KEEP_FREED_MEMORY,
    for_people,
    in_new_process,
    in_words,
    peak_memory,
    read_result,
    spread,
    timed,
    write_result,
)
from bertline.base.config import Finetune
from bertline.base.shapes import SIZES
from bertline.finetuning.data import prepare_data
from bertline.finetuning.trainer import finetune
from bertline.inference.predictor import Predictor
from bertline.model.hf import read_config
from bertline.tokens.tokenizer import load_tokenizer
from bertline.training.device import prepare, usable_precision

PEERS = ("peer", "tuned_peer")


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="store_true", help="measure Hugging Face's side too, and the ratio")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--shape", choices=SIZES, default="mini")
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--model", type=Path, help="a BERT in Hugging Face format to start from, in place of a shape")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--tokens", type=int, help="rows to train on, and to score, times the maximum length, at most")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=["ours", *PEERS], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options, options.jobs[0])))
        return
    with tempfile.TemporaryDirectory() as folder:
        random_model = (options.shape, options.vocab_size)
        jobs = [job_of(options, name) for name in options.jobs]
        write_inputs(Path(folder), jobs, recipe(options, jobs[0]), random_model, options.model)
        compare(options, folder)


def job_of(options: argparse.Namespace, name: str) -> Job:
    """A job, with no more rows than the command line allows."""
    job = JOBS[name]
    if not options.tokens:
        return job
    rows = max(options.tokens // job.max_length, 1)
    return replace(job, train_rows=min(job.train_rows or rows, rows), scored_rows=min(job.scored_rows or rows, rows))


def recipe(options: argparse.Namespace, job: Job) -> Finetune:
    """What both sides train with."""
    return Finetune(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        max_length=job.max_length,
        stride=job.stride,
        seed=options.seed,
        threads=options.threads,
    )


def measure(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """One side of one job, in this process."""
    job = job_of(options, name)
    config = recipe(options, job)
    if options.side == "ours":
        found = (predict_ours if job.inference else finetune_ours)(options.inputs, job, config)
    else:
        from benchmarks import finetune_peer as peer  # noqa: PLC0415 - its own process alone pays for transformers

        found = (peer.predict if job.inference else peer.finetune)(
            options.inputs, job, config, tuned=options.side == "tuned_peer"
        )
    return found | {"peak_memory": peak_memory()}


def finetune_ours(inputs: Path, job: Job, config: Finetune) -> dict[str, Any]:
    """A run of our trainer, from rows to scores.

    torch's compiler, which its optimizers import (a second), is loaded before the clock starts, as the peer has it.
    """
    importlib.import_module("torch._inductor.config")
    model, (info, train, scored) = model_directory(inputs), rows_of(inputs, job)
    started = time.perf_counter()
    data = prepare_data(info, train, scored, load_tokenizer(model), config)
    encoded = time.perf_counter()
    _, history = finetune(data, read_config(model), config, encoder=model)
    ended = time.perf_counter()
    return {
        "examples_per_second": config.epochs * (len(train) + len(scored)) / (ended - started),
        "seconds": ended - started,
        "seconds_of_features": encoded - started,
        "score": history.validation[-1][info.metric],
    }


def predict_ours(inputs: Path, job: Job, config: Finetune) -> dict[str, Any]:
    """Texts to predictions, the model in memory; the score is the mean probability of the first label."""
    prepare("cpu", config.threads)
    info, _, rows = rows_of(inputs, job)
    predictor = Predictor(finetuned_directory(inputs, job), precision=job.precision)
    texts = [row["text"] for row in rows]
    predictor.predict(texts[:WARM_UP])
    predictions, seconds = timed(lambda: predictor.predict(texts))
    first = [prediction["scores"][info.labels[0]] for prediction in predictions]
    return {"examples_per_second": len(rows) / seconds, "seconds": seconds, "score": sum(first) / len(first)}


def compare(options: argparse.Namespace, inputs: str) -> None:
    """Measure every job in turn, and print and write what comes out after each."""
    hidden = ("inputs", "side", "seed", "jobs", "model")
    settings = {key: value for key, value in vars(options).items() if key not in hidden}
    settings["model"] = options.model.name if options.model else None
    result = f"finetune-{usable_precision('cpu', 'bf16')}" + ("" if options.peer else "-ours")
    sides = ("ours", *PEERS) if options.peer else ("ours",)
    rounds: dict[str, list[dict[str, dict[str, Any]]]] = {name: [] for name in options.jobs}
    for seed in range(options.rounds):
        for name in options.jobs:
            rounds[name].append({side: _measure_apart(inputs, name, side, seed) for side in sides})
            _, train, scored = rows_of(Path(inputs), JOBS[name])
            rows = {"train_rows": len(train), "scored_rows": len(scored)}
            job = {"settings": settings | {"rounds": seed + 1}} | rows | summarize(rounds[name])
            print(f"round {seed + 1}\n{describe_job(name, job)}", flush=True)
            path = write_result(result, {"jobs": read_result(result).get("jobs", {}) | {name: job}})
    print(f"written: {path}")


def _measure_apart(inputs: str, name: str, side: str, seed: int) -> dict[str, Any]:
    arguments = [argument for argument in sys.argv[1:] if argument != "--peer"]
    arguments += ["--inputs", inputs, "--side", side, "--seed", str(seed), "--jobs", name]
    return in_new_process("benchmarks.finetune", arguments, KEEP_FREED_MEMORY if side == "tuned_peer" else None)


def summarize(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Medians and ranges over the rounds; the ratio is taken round by round."""
    made: dict[str, Any] = {"rounds": rounds}
    for side, first in rounds[0].items():
        made[side] = {key: spread([found[side][key] for found in rounds]) for key in first}
    for peer in set(PEERS) & set(rounds[0]):
        ratios = [found["ours"]["examples_per_second"] / found[peer]["examples_per_second"] for found in rounds]
        made[f"ratio_to_{peer}"] = spread(ratios)
    return made


def describe_job(name: str, job: dict[str, Any]) -> str:
    """One job as lines for people."""
    lines = [name]
    for side in ("ours", *PEERS):
        if side in job:
            speed, score, memory = (job[side][key] for key in ("examples_per_second", "score", "peak_memory"))
            lines.append(
                f"  {side}: {in_words(speed, ',.1f', ' examples/s')}, score {in_words(score, '.4f')},"
                f" {memory['max'] / 2**20:,.0f} MiB"
            )
    for key in (f"ratio_to_{peer}" for peer in PEERS):
        if key in job:
            lines.append(f"  {key.replace('_', ' ')}: {in_words(job[key], '.2f')}")
    return "\n".join(lines)


if __name__ == "__main__":
    with for_people("finetune"):
        main()
