"""A small pre-training run as a program of its own, which a test can kill: STORES RUN SIGNAL STEP."""

import os
import sys
from pathlib import Path
from typing import Any

from bertline.base.config import Pretrain
from bertline.pretraining import progress
from bertline.pretraining.trainer import Trainer
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import SPECIAL_TOKENS

CONFIG = Pretrain(
    sequence_length=16,
    batch_size=8,
    budget=24,
    checkpoint_every=4,
    log_every=3,
    evaluate_every=10,
    evaluation_batches=2,
    perplexity_sequences=4,
    dropout=0.1,
    threads=1,
)


def open_run(stores: Path, run: Path, config: Pretrain = CONFIG, kind: type[Trainer] = Trainer) -> Trainer:
    """A trainer over the two stores of tiny_corpus.topic_store."""
    train, validation = (TokenStore.open(stores / split) for split in ("train", "validation"))
    size = train.meta["vocab_size"]
    words = [f"w{number}" for number in range(size - len(SPECIAL_TOKENS))]
    return kind(config, train, validation, [*SPECIAL_TOKENS, *words], run)


def struck_at(step: int, signal_number: int) -> type[Trainer]:
    """A trainer that sends itself a signal once it has computed a step, before anything is written."""

    class Struck(Trainer):
        def train_step(self, *arguments: Any) -> list[float]:
            sums = super().train_step(*arguments)
            if self.history.step + 1 == step:
                os.kill(os.getpid(), signal_number)
            return sums

    return Struck


if __name__ == "__main__":
    progress._PEAK_SIZE["cpu"] = 256  # as in conftest.py
    stores, run, signal_number, step = sys.argv[1:]
    with open_run(Path(stores), Path(run), kind=struck_at(int(step), int(signal_number))) as trainer:
        trainer.train()
