"""How a run is going, for people (a progress bar, or plain lines in a log file) and for programs (log.jsonl).

Times, speeds and shares of the peak go here alone: they are no part of a run's results.
"""

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from tqdm import tqdm

from bertline.base.files import JsonRow
from bertline.base.messages import say
from bertline.model.bert import BertConfig
from bertline.training.device import usable_precision

_EVERY = 10.0  # seconds between plain lines
_PEAK_SIZE = {"cpu": 2048, "cuda": 8192}  # of the square matrices that the peak is measured with
_PEAK_TRIES = 8


def flops_of_sequence(config: BertConfig, sequence: int, predictions: int) -> float:
    """Floating-point operations of matrix products to train on one sequence: forward, and twice that backward.

    Counted is what the losses ask for: of the last layer, keys and values of all tokens, and the rest for predictions
    and [CLS] alone. A model that computes all of it is not credited with that.
    """
    hidden = config.hidden_size

    def layer(asked: int) -> int:  # how many tokens it is computed for
        of_token = 2 * (2 * hidden * hidden + 2 * hidden * config.intermediate_size) + 4 * sequence * hidden
        return 4 * sequence * hidden * hidden + asked * of_token

    layers = (config.layers - 1) * layer(sequence) + layer(predictions + 1)
    heads = predictions * 2 * hidden * (hidden + config.vocab_size) + 2 * hidden * hidden
    return 3.0 * (layers + heads)


@torch.no_grad()
def measure_peak(device: torch.device, precision: str) -> float:
    """The machine's matrix-product speed, in operations a second: the best of a few large products."""
    size = _PEAK_SIZE[device.type]
    kind = torch.bfloat16 if usable_precision(device.type, precision) == "bf16" else torch.float32
    matrix = torch.randn(size, size, device=device).to(kind)  # constant numbers can be multiplied faster than real ones
    best = float("inf")
    for _ in range(_PEAK_TRIES):
        _wait_for(device)
        started = time.perf_counter()
        torch.mm(matrix, matrix)
        _wait_for(device)
        best = min(best, time.perf_counter() - started)
    return 2.0 * size**3 / best


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Progress:
    """Shows and logs a run's progress; a context manager, so that the bar is closed whatever happens.

    Args:
        log: the JSON Lines file that timings are appended to; None: a process that shows nothing.
        peak: operations a second that the machine can do.
        done: share of the budget done before this sitting.
    """

    def __init__(self, log: Path | None, *, peak: float, done: float) -> None:
        self._log_path, self._peak = log, peak
        self._done_before = done
        self._started = self._printed = time.monotonic()
        self._seconds = self._waited = 0.0
        self._steps = self._tokens = 0
        self._flops = 0.0
        self._tokens_per_second = self._mfu = 0.0
        terminal = log is not None and sys.stderr.isatty()
        shape = "{percentage:3.0f}%|{bar:20}| {desc}"
        self._bar = tqdm(total=1.0, initial=done, bar_format=shape, file=sys.stderr, leave=True) if terminal else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def _note(self, values: dict[str, Any]) -> None:
        """Append a row to log.jsonl."""
        if self._log_path is None:
            return
        with self._log_path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values) + "\n")

    def step(self, seconds: float, waited: float, *, tokens: int, flops: float) -> None:
        """Count one optimizer step: how long it took, how much of that it waited for its batch, and what it did."""
        self._seconds += seconds
        self._waited += waited
        self._tokens += tokens
        self._flops += flops
        self._steps += 1

    def point(self, row: JsonRow, done: float) -> None:
        """Log the speed since the last point of the curve, and show where the run stands."""
        self._tokens_per_second = self._tokens / self._seconds
        self._mfu = self._flops / self._seconds / self._peak
        self._note(
            {
                "step": row["step"],
                "tokens_per_second": round(self._tokens_per_second),
                "milliseconds_per_step": round(1000 * self._seconds / self._steps, 2),
                "waiting_share": round(self._waited / self._seconds, 4),
                "mfu": round(self._mfu, 4),
            }
        )
        self._seconds, self._waited, self._flops, self._steps, self._tokens = 0.0, 0.0, 0.0, 0, 0
        self._show(row, done)

    def _show(self, row: JsonRow, done: float) -> None:
        now = time.monotonic()
        text = self._describe(row, done, now)
        if self._bar is not None:
            self._bar.n = min(done, 1.0)
            self._bar.set_description_str(text)
        elif now - self._printed >= _EVERY or done >= 1.0:
            self._printed = now
            say(f"pretrain {min(done, 1.0):4.0%}: {text}")

    def _describe(self, row: JsonRow, done: float, now: float) -> str:
        gained = done - self._done_before
        left = (now - self._started) * max(1.0 - done, 0.0) / gained if gained > 0 else 0.0
        parts = [f"step {row['step']:,}", f"MLM {row['mlm_loss']:.3f} ({row['mlm_accuracy']:.1%})"]
        if row["nsp_loss"] is not None:
            parts.append(f"NSP {row['nsp_loss']:.3f} ({row['nsp_accuracy']:.1%})")
        parts.append(f"{self._tokens_per_second:,.0f} tokens/s, MFU {self._mfu:.0%}")
        parts.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
        return ", ".join(parts)
