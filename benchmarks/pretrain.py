"""Pre-training speed on the CPU, ours beside Hugging Face's Trainer, in turn, each run in a process of its own.

    python -m benchmarks.pretrain --peer    # every shape, three rounds; writes results/pretrain-bf16-32x128.json
    python -m benchmarks.pretrain --peer --shapes tiny    # one; other results stay
    python -m benchmarks.pretrain --shapes tiny    # ours alone; writes results/pretrain-bf16-32x128-ours.json

Both train the same shape on the same sequences: BertForPreTraining with both objectives, bf16 autocast (fp32 on both
sides where the processor has no bf16: there Trainer takes hundreds of times as long in it), AdamW fused, gradient norm
clipped at 1, a linear schedule, 15 % of the tokens masked anew at every use. The peer runs twice: as one gets it
(SDPA), and with the fastest settings that NOTES.md tells of (torch.compile, eager attention, a process for its batches,
and a glibc that keeps freed memory, as our trainer asks of it). It finds its sequences laid out in memory. Times are
from the end of the warm-up to the end of the last step, on both sides all that lies between: batches, and our log;
compilation, loading and start are not. Tokens a second and MFU count padding, on both sides. The result is written
after each shape.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import (
    KEEP_FREED_MEMORY,
    for_people,
    in_new_process,
    in_words,
    peak_memory,
    read_result,
    spread,
    write_result,
)
from benchmarks.pretrain_inputs import TOKENS, corpus, made_up
from bertline.base.config import Pretrain
from bertline.base.shapes import shape_of
from bertline.model.bert import BertConfig
from bertline.pretraining.examples import ExampleSource
from bertline.pretraining.masking import Pieces
from bertline.pretraining.plan import Plan
from bertline.pretraining.progress import flops_of_sequence, measure_peak
from bertline.pretraining.randomness import TRAINING
from bertline.pretraining.trainer import Trainer
from bertline.training.device import usable_precision

STEPS = {"tiny": (20, 80), "mini": (6, 24), "small": (4, 12)}  # of the warm-up, and those that are timed
PEER_STEPS = {"tiny": (4, 20), "mini": (3, 8), "small": (2, 5)}
PEERS: dict[str, dict[str, Any]] = {
    "peer": {"attention": "sdpa", "workers": 0, "compile": False},
    "tuned_peer": {"attention": "eager", "workers": 1, "compile": True},
}


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="store_true", help="measure Hugging Face's Trainer too, and the ratio")
    parser.add_argument("--shapes", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=Path, help=f"a token store; else {TOKENS}, or random words where that is not")
    parser.add_argument("--vocab", type=Path, default=Path("data/vocab"), help="its vocabulary")
    parser.add_argument("--side", choices=["ours", *PEERS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        measure = measure_ours if options.side == "ours" else measure_peer
        print(json.dumps(measure(options, options.shapes[0])))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Measure every shape in turn, print a table, and write the result after each."""
    sides = ("ours", *PEERS) if options.peer else ("ours",)
    precision, settings = usable_precision("cpu", "bf16"), settings_of(options)
    name = f"pretrain-{precision}-{options.batch_size}x{options.sequence_length}" + ("" if options.peer else "-ours")
    for shape in options.shapes:
        rounds = [{side: _measure_apart(options, shape, side) for side in sides} for _ in range(options.rounds)]
        row = {"settings": settings} | summarize(rounds)
        print(describe_row(shape, row), flush=True)
        shapes = read_result(name).get("shapes", {}) | {shape: row}
        print(f"written: {write_result(name, {'precision': precision, 'shapes': shapes})}", flush=True)


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """What a shape is measured with, and on what text: how large the vocabulary is, a step's time depends on."""
    hidden = ("peer", "shapes", "side")
    given = {key: value for key, value in vars(options).items() if key not in hidden and not isinstance(value, Path)}
    with corpus(options) as (store, vocabulary, _):
        text = "random words" if made_up(options) else f"{len(store.ids):,} tokens of a store"
        return given | {"tokens": text, "vocabulary": len(vocabulary)}


def _measure_apart(options: argparse.Namespace, shape: str, side: str) -> dict[str, Any]:
    arguments = [argument for argument in sys.argv[1:] if argument != "--peer"]
    environment = KEEP_FREED_MEMORY if side == "tuned_peer" else {}
    return in_new_process("benchmarks.pretrain", [*arguments, "--side", side, "--shapes", shape], environment)


def summarize(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Medians and ranges over the rounds; the ratio is taken round by round."""
    made: dict[str, Any] = {"rounds": rounds}
    for side in rounds[0]:
        made[side] = {
            key: spread([found[side][key] for found in rounds]) for key in ("tokens_per_second", "mfu", "peak_memory")
        }
    made["ours"]["waiting_share"] = spread([found["ours"]["waiting_share"] for found in rounds])
    for peer in set(PEERS) & set(rounds[0]):
        made[f"ratio_to_{peer}"] = spread(
            [found["ours"]["tokens_per_second"] / found[peer]["tokens_per_second"] for found in rounds]
        )
    return made


def describe_row(shape: str, row: dict[str, Any]) -> str:
    """One shape as lines for people."""
    layers, hidden = shape_of(shape)
    lines = [f"{layers}/{hidden} ({shape})"]
    for side in ("ours", *PEERS):
        if side in row:
            speed, mfu, memory = (row[side][key] for key in ("tokens_per_second", "mfu", "peak_memory"))
            lines.append(
                f"  {side}: {in_words(speed, ',.0f', ' tokens/s')}, MFU {in_words(mfu, '.1%')},"
                f" {memory['max'] / 2**20:,.0f} MiB"
            )
    lines.append(f"  waiting for batches: {row['ours']['waiting_share']['median']:.2%} of the time")
    for name, ratio in row.items():
        if name.startswith("ratio"):
            lines.append(f"  {name.replace('_', ' ')}: {in_words(ratio, '.2f')}")
    return "\n".join(lines)


def recipe(options: argparse.Namespace, shape: Any, steps: int, window: int) -> Pretrain:
    """What both sides train with."""
    return Pretrain(
        model=shape,
        embedding_init="normal",
        sequence_length=options.sequence_length,
        batch_size=options.batch_size,
        dropout=options.dropout,
        threads=options.threads,
        budget=steps,
        log_every=window,
        checkpoint_every=1_000_000,
        evaluate_every=1_000_000,
        evaluation_batches=1,
    )


def speeds(
    options: argparse.Namespace, config: BertConfig, sequences_per_second: float, predictions: int
) -> dict[str, Any]:
    """Tokens a second, and their share of the best matrix products seen before and after."""
    flops = flops_of_sequence(config, options.sequence_length, predictions)
    peak = max(measure_peak(torch.device("cpu"), "bf16") for _ in range(5))
    return {
        "tokens_per_second": sequences_per_second * options.sequence_length,
        "mfu": sequences_per_second * flops / peak,
        "matrix_product_peak": peak,
        "peak_memory": peak_memory(),
    }


def measure_ours(options: argparse.Namespace, shape: str) -> dict[str, Any]:
    """A real run of the trainer, its log included."""
    warm, timed = STEPS[shape]
    with corpus(options) as (store, vocabulary, _), tempfile.TemporaryDirectory() as folder:
        config = recipe(options, shape, warm + timed, warm)
        with Trainer(config, store, store, vocabulary, Path(folder)) as trainer:
            clock = _Clock(warm)
            clock.watch(trainer)
            trainer.train()
            predictions, size = trainer.source.predictions(options.sequence_length), trainer.model.config
        lines = (Path(folder) / "log.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines][1:]
    found = speeds(options, size, options.batch_size * timed / clock.seconds, predictions)
    return found | {"waiting_share": statistics.median(row["waiting_share"] for row in rows)}


def measure_peer(options: argparse.Namespace, shape: str) -> dict[str, Any]:
    """transformers.Trainer over BertForPreTraining and DataCollatorForLanguageModeling."""
    import transformers as hf  # noqa: PLC0415 - the peer's own process alone pays for it

    torch.set_num_threads(options.threads)
    warm, timed = PEER_STEPS[shape]
    with corpus(options) as (store, vocabulary, directory), tempfile.TemporaryDirectory() as folder:
        config = recipe(options, shape, warm + timed, warm)
        source = ExampleSource(store, Pieces.of(vocabulary), config, Plan.of(config), seed=0, stream=TRAINING)
        rows = [row for step in range(warm + timed) for row in plain_rows(source, step)]
        tokenizer = hf.AutoTokenizer.from_pretrained(directory)
        layers, hidden = shape_of(shape)
        model_config = hf.BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 64,
            intermediate_size=4 * hidden,
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
            attn_implementation=PEERS[options.side]["attention"],
        )
        arguments = hf.TrainingArguments(
            output_dir=folder,
            max_steps=warm + timed,
            per_device_train_batch_size=options.batch_size,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            max_grad_norm=config.clip,
            optim="adamw_torch_fused",
            bf16=usable_precision("cpu", "bf16") == "bf16",
            use_cpu=True,
            dataloader_num_workers=PEERS[options.side]["workers"],
            remove_unused_columns=False,  # keeps the special tokens' mask, which the collator would make anew, slowly
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            torch_compile=PEERS[options.side]["compile"],
        )
        clock = _Clock(warm)
        hf.Trainer(
            model=hf.BertForPreTraining(model_config),
            args=arguments,
            train_dataset=rows,
            data_collator=hf.DataCollatorForLanguageModeling(tokenizer, mlm_probability=config.mask_rate),
            callbacks=[clock.callback(hf.TrainerCallback)],
        ).train()
    predictions = source.predictions(options.sequence_length)
    size = BertConfig.named(shape, vocab_size=len(vocabulary))
    return speeds(options, size, options.batch_size * timed / clock.seconds, predictions)


def plain_rows(source: ExampleSource, step: int) -> Iterator[dict[str, Any]]:
    """The sequences of one of our batches before masking, as the peer's collator takes them."""
    batch = source.batch(step)
    ids = batch.unmasked()
    special = ~torch.from_numpy(source.pieces.ordinary)[ids]
    for row in range(len(ids)):
        yield {
            "input_ids": ids[row],
            "token_type_ids": batch.segments[row],
            "attention_mask": batch.mask[row].long(),
            "special_tokens_mask": special[row].long(),
            "next_sentence_label": batch.labels[row],
        }


class _Clock:
    """Times a training from the end of the warm-up to the end of its last step, what lies between steps included."""

    def __init__(self, warm: int) -> None:
        self._warm = warm
        self._started = self._ended = 0.0

    def step_ended(self, step: int) -> None:
        self._ended = time.perf_counter()
        if step == self._warm:
            self._started = self._ended

    def watch(self, trainer: Trainer) -> None:
        """Be told of the steps of our trainer."""
        advance, clock = trainer.advance, self

        def advance_and_tell(*arguments: Any) -> None:
            advance(*arguments)
            clock.step_ended(trainer.history.step)

        trainer.advance = advance_and_tell  # type: ignore[method-assign, assignment]

    def callback(self, base: type) -> Any:
        """Be told of those of transformers' Trainer; `base`: TrainerCallback."""
        clock = self

        class Callback(base):
            def on_step_end(self, _arguments: Any, state: Any, *_: Any, **__: Any) -> None:
                clock.step_ended(state.global_step)

        return Callback()

    @property
    def seconds(self) -> float:
        return self._ended - self._started


if __name__ == "__main__":
    with for_people("pretrain"):
        main()
