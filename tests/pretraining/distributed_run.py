"""A small pre-training run in the processes that torchrun starts: STORES RUN OPTIONS (JSON)."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file

from bertline.base.config import SecondPhase
from bertline.pretraining import progress
from bertline.pretraining.measure import Measured
from bertline.pretraining.trainer import Trainer
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import SPECIAL_TOKENS
from bertline.training.distributed import join
from pretraining.interrupted_run import CONFIG


def main() -> None:
    progress._PEAK_SIZE["cpu"] = 256  # as in conftest.py
    stores, run, options = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    phase = SecondPhase(**options.pop("second_phase", {}))
    exact = replace(CONFIG, precision="fp32", dropout=0.0, budget=12, log_every=1, evaluate_every=6)
    strike = options.pop("strike_at", -1)

    class Struck(Trainer):
        """The last process gets a SIGTERM in the evaluation of a step."""

        def _measure(self, name: str) -> Measured | None:
            if (self.history.step, name) == (strike, "validation") and self.world.rank == self.world.size - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return super()._measure(name)

    config = replace(exact, second_phase=phase, **options)
    train, validation = (TokenStore.open(stores / split) for split in ("train", "validation"))
    words = [f"w{number}" for number in range(train.meta["vocab_size"] - len(SPECIAL_TOKENS))]
    with (
        join("cpu") as world,
        Struck(config, train, validation, [*SPECIAL_TOKENS, *words], run, world=world) as trainer,
    ):
        (run / f"pid-{world.rank}").write_text(str(os.getpid()))
        trainer.train()
        save_file(trainer.model.state_dict(), run / f"weights-{world.rank}.safetensors")
        history = trainer.history
        made = {"curve": history.curve, "validation": history.validation_curve, "metrics": trainer.metrics()}
        if world.main:
            (run / "result.json").write_text(json.dumps(made))


if __name__ == "__main__":
    main()
