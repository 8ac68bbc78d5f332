"""The warm start of pre-training: how long it takes on a large corpus, and which statistics of the corpus serve best.

    python -m benchmarks.warm_start --speed --tokens DIR --vocab DIR             # writes results/warm_start.json
    python -m benchmarks.warm_start --study --out FILE --seeds 3 --tasks docs_topic   # short pre-trainings

DIR of --tokens holds the stores train/ and validation/, as data/tokens does. Each run of --speed is a process of its
own; its memory is the peak of the resident set less the file of token ids, which is mapped and can be dropped. The
study pre-trains from every variant with every seed, and fine-tunes each model on the tasks of `params.yaml` that are
named, one seed a model, by their own recipe: scores of their test rows. It adds each run to FILE as it is done and
leaves out what is there: run it again to go on after an interruption (a run cut short goes on from its checkpoint, in a
directory beside FILE), or with more --variants or --seeds; two processes may share a FILE if their variants differ.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import describe, for_people, in_new_process, in_words, peak_memory, spread, write_result
from bertline.base.artifacts import Artifacts
from bertline.base.config import Pretrain
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_directory, read_json, write_json
from bertline.base.params import load_params
from bertline.cli.presets import load_preset
from bertline.evaluation.metrics import score
from bertline.finetuning.material import load_material
from bertline.finetuning.trainer import finetune
from bertline.inference.predictor import predict_features
from bertline.model.hf import save_model
from bertline.pretraining import warm_start as room
from bertline.pretraining.masking import Pieces
from bertline.pretraining.trainer import Trainer
from bertline.pretraining.warm_start import DEFAULT, Matrix, Statistics
from bertline.tasks.schema import TaskInfo, read_rows
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import copy_tokenizer, read_vocab

Transform = Callable[[Matrix], Matrix]


@dataclass(frozen=True)
class Variant:
    """What is counted, and what becomes of the counts, before the decomposition and after it.

    Attributes:
        statistics: of the counts.
        damp: makes large counts count for less, in place.
        weigh: makes the matrix to decompose of the counts; None for positive pointwise mutual information.
        finish: is given the embeddings.
    """

    statistics: Statistics = DEFAULT
    damp: Transform | None = None
    weigh: Transform | None = None
    finish: Transform | None = None

    def embeddings(self, store: TokenStore, pieces: Pieces, size: int, seed: int) -> Matrix:
        """As bertline.pretraining.warm_start.ppmi_embeddings: (vocabulary, size)."""
        matrix = room.count_pairs(store, pieces, self.statistics)
        if self.damp is not None:
            self.damp(matrix)
        if self.weigh is None:
            room.positive_pmi(matrix, smoothing=self.statistics.smoothing, shift=self.statistics.shift)
        else:
            self.weigh(matrix)
        made = room.embed(matrix, size, seed, spectrum=self.statistics.spectrum)
        return made if self.finish is None else self.finish(made)


def square_root(counts: Matrix) -> Matrix:
    """Sub-linear: four times as frequent counts twice as much."""
    return np.sqrt(counts, out=counts)


def logarithm(counts: Matrix) -> Matrix:
    """Sub-linear: log(1 + count), where the default weights are those of a pair that counts as 1 side by side."""
    return np.log1p(np.divide(counts, DEFAULT.weights[0], out=counts), out=counts)


def glove(counts: Matrix) -> Matrix:
    """Logarithms less the means of rows and columns, the place of GloVe's biases (Pennington et al. 2014)."""
    logarithm(counts)
    known = np.flatnonzero(counts.any(axis=1))
    column_means = counts[known].mean(axis=0) - counts[known].mean()
    for row in known:
        counts[row] -= counts[row].mean() + column_means
    return counts


def louder(factor: float) -> Transform:
    """Rows longer than those of BERT's initial weights."""
    return lambda embeddings: np.multiply(embeddings, np.float32(factor), out=embeddings)


def by_distance(window: int) -> tuple[int, ...]:
    """Weights of pairs 1 … window tokens apart, as 1 / distance."""
    return tuple(round(2520 / distance) for distance in range(1, window + 1))


def one_sided(window: int) -> Statistics:
    """Company before and after counted together, with as many columns as the default has."""
    return Statistics(weights=by_distance(window), sided=False, contexts=2 * DEFAULT.contexts)


VARIANTS: dict[str, Variant | None] = {
    "normal": None,  # random embeddings, no bias
    "default": Variant(),
    **{f"window {size}": Variant(Statistics(weights=by_distance(size))) for size in (1, 2, 3, 10)},
    **{f"window {size}, one-sided": Variant(one_sided(size)) for size in (1, 2, 5, 10)},
    "linear weights": Variant(Statistics(weights=(5, 4, 3, 2, 1))),
    "equal weights": Variant(Statistics(weights=(1, 1, 1, 1, 1))),
    **{f"contexts {count}": Variant(Statistics(contexts=count)) for count in (1024, 4096, 8192)},
    **{f"smoothing {exponent}": Variant(Statistics(smoothing=exponent)) for exponent in (0.5, 1.0)},
    **{f"shift {factor}": Variant(Statistics(shift=factor)) for factor in (0.5, 2.0, 5.0)},
    **{f"spectrum {exponent}": Variant(Statistics(spectrum=exponent)) for exponent in (0.0, 0.25, 1.0)},
    "square root": Variant(damp=square_root),
    "logarithm": Variant(damp=logarithm),
    "glove": Variant(weigh=glove),
    **{f"length {factor}": Variant(finish=louder(factor)) for factor in (0.5, 2.0)},
}


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--speed", action="store_true", help="time and memory, with 1 thread and with 2")
    what.add_argument("--study", action="store_true", help="short pre-trainings, one a variant")
    what.add_argument("--measure", type=int, metavar="THREADS", help=argparse.SUPPRESS)
    parser.add_argument("--tokens", type=Path, default=Path("data/tokens"), help="directory of the token stores")
    parser.add_argument("--vocab", type=Path, default=Path("data/vocab"), help="their vocabulary")
    parser.add_argument("--size", type=int, default=256, help="dimensions of the embeddings (--speed)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each number of threads (--speed)")
    parser.add_argument("--out", type=Path, help="JSON file of the study")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--preset", metavar="NAME", help="whose recipe to follow, not the defaults (--study)")
    parser.add_argument("--model", help="shape, as tiny or 2/256; without, that of the recipe (--study)")
    parser.add_argument("--steps", type=int, default=1000, help="of each pre-training (--study)")
    parser.add_argument("--points", type=int, default=10, help="evaluations of each pre-training (--study)")
    parser.add_argument("--seed", type=int, default=0, help="the first one (--study), or that of --speed")
    parser.add_argument("--seeds", type=int, default=1, help="pre-trainings of each variant (--study)")
    parser.add_argument("--tasks", nargs="+", default=[], help="tasks to fine-tune on (--study)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (--study)")
    options = parser.parse_args()
    if options.study:
        if options.out is None:
            parser.error("--study needs --out FILE")
        study(options)
    elif options.speed:
        speed(options)
    else:
        print(json.dumps(measure(options)))


def speed(options: argparse.Namespace) -> None:
    """Measure in processes of their own, with 1 and 2 threads in turn, and write the result."""
    fixed = ["--tokens", str(options.tokens), "--vocab", str(options.vocab), "--size", str(options.size)]
    found = []
    for _ in range(options.rounds):
        for threads in (1, 2):
            found.append(in_new_process("benchmarks.warm_start", [*fixed, "--measure", str(threads)]))
            print(json.dumps(found[-1]), flush=True)
    summary = {key: spread([row[key] for row in found]) for key in ("seconds", "cpu_seconds", "memory_above_tokens")}
    same = len({row["sha256"] for row in found}) == 1
    print(f"seconds {summary['seconds']}, MiB {summary['memory_above_tokens']['max'] / 2**20:,.0f}, same bytes: {same}")
    print(f"written: {write_result('warm_start', {**summary, 'same_bytes': same, 'runs': found})}")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Time the steps of one warm start, in this process."""
    torch.set_num_threads(options.measure)
    store = TokenStore.open(options.tokens / "train")
    pieces = Pieces.of(read_vocab(options.vocab))
    base, started, cpu_started = peak_memory(), time.perf_counter(), time.process_time()
    marks: dict[str, float] = {}

    def mark(name: str) -> None:
        marks[name] = time.perf_counter() - started - sum(marks.values())

    statistics = DEFAULT
    matrix = room.count_pairs(store, pieces, statistics)
    mark("count")
    room.positive_pmi(matrix, smoothing=statistics.smoothing, shift=statistics.shift)
    mark("pmi")
    embeddings = room.embed(matrix, options.size, options.seed, spectrum=statistics.spectrum)
    mark("embed")
    bias = room.unigram_log_probabilities(store)
    mark("bias")
    return {
        "tokens": len(store.ids),
        "counted": min(len(store.ids), room.MOST_TOKENS),
        "vocabulary": len(pieces.ordinary),
        "size": options.size,
        "threads": options.measure,
        "seconds": sum(marks.values()),
        "cpu_seconds": time.process_time() - cpu_started,
        "seconds_of": marks,
        "memory_before": base,
        "memory_above_tokens": peak_memory() - store.ids.nbytes,
        "sha256": hashlib.sha256(embeddings.tobytes() + bias.tobytes()).hexdigest(),
    }


def study(options: argparse.Namespace) -> None:
    """Pre-train from each variant with each seed, and add what came of it to the file.

    Raises:
        BertlineError: the file holds a study with other settings.
    """
    recipe = load_preset(Path(), options.preset).params.pretrain if options.preset else Pretrain()
    config = replace(
        recipe,
        model=options.model or recipe.model,
        embedding_init="normal",
        budget=options.steps,
        budget_unit="steps",
        evaluate_every=max(1, options.steps // options.points),
        threads=options.threads,
    )
    train, validation = (TokenStore.open(options.tokens / split) for split in ("train", "validation"))
    settings = {"pretrain": asdict(config), "tokens": train.meta["sha256"]["ids.npy"], "tasks": options.tasks}
    vocabulary = read_vocab(options.vocab)
    for seed in range(options.seed, options.seed + options.seeds):
        for name in options.variants:
            if str(seed) in studied(options.out, settings).get(name, {}):
                continue
            directory = options.out.with_suffix("") / f"{name.replace(' ', '_')}-{seed}"
            with Trainer(replace(config, seed=seed), train, validation, vocabulary, directory) as trainer:
                row = pretrain(trainer, VARIANTS[name])
                with atomic_directory(directory / "model") as temporary:
                    save_model(trainer.model, temporary)
                    copy_tokenizer(options.vocab, temporary)
            scores = {task: task_score(task, directory / "model", seed, options.threads) for task in options.tasks}
            rows = studied(options.out, settings)  # read again: another process may have added to it
            rows.setdefault(name, {})[str(seed)] = row | {"tasks": scores}
            write_json(options.out, {"machine": describe(), "settings": settings, "variants": rows})
            print(f"{name}, seed {seed}: {row['validation'][-1]['mlm_loss']:.3f} {scores}", flush=True)
    for name, rows in studied(options.out, settings).items():
        print(f"{name:20s} {in_words(spread([row['validation'][-1]['mlm_loss'] for row in rows.values()]), '.3f')}")


def studied(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Variant -> seed -> what came of it, as far as the file has it."""
    if not path.exists():
        return {}
    before = read_json(path)
    if before["settings"] != settings:
        raise BertlineError("a study with other settings", where=str(path), fix="Give --out a new file")
    found: dict[str, Any] = before["variants"]
    return found


def task_score(task: str, encoder: Path, seed: int, threads: int) -> float:
    """The primary metric on a task's test rows after fine-tuning an encoder by the recipe of params.yaml."""
    artifacts, params = Artifacts(Path()), load_params(Path("params.yaml"))
    config = replace(params.finetune_for(task), seed=seed, threads=threads)
    info = TaskInfo.read(artifacts.task(task))
    material = load_material(artifacts.task(task), encoder, config)
    model, _ = finetune(material.data, material.shape, config, encoder=encoder)
    rows, features = material.test["test"]
    found = predict_features(model, info, rows, features, material.data.settings)
    return score(info, read_rows(artifacts.task(task), "test"), found)[info.metric]


def pretrain(trainer: Trainer, variant: Variant | None) -> dict[str, Any]:
    """Start a trainer's fresh model from a variant, and train it to the end of its budget."""
    started = time.perf_counter()
    if variant is not None and trainer.history.step == 0:
        size = trainer.model.config.hidden_size
        embeddings = variant.embeddings(trainer.store, trainer.pieces, size, trainer.config.seed)
        bias = room.unigram_log_probabilities(trainer.store)
        room.start_from(trainer.model, embeddings, bias)
    prepared = time.perf_counter() - started
    trainer.train()
    trainer.discard_checkpoints()
    return {
        "preparation_seconds": prepared,
        "seconds": trainer.history.seconds,
        "validation": trainer.history.validation_curve,
        "train": trainer.metrics()["train"],
    }


if __name__ == "__main__":
    with for_people("warm_start"):
        main()
