"""Pre-training on an NVIDIA GPU, checked and timed by one script that ends by itself.

    PYTHONPATH=src python benchmarks/gpu.py --out DIR                      # nine minutes at most; DIR/gpu.json
    PYTHONPATH=src python benchmarks/gpu.py --out DIR --only machine 'speed large *'    # some of its parts
    PYTHONPATH=src python benchmarks/gpu.py --out DIR --tiny               # every part on the CPU, with toy shapes

The parts, in their order: the machine and its ceilings; exactness against fp32 on the CPU; speed, for shapes, eager or
compiled, padded or packed; a real training, one that SIGTERM interrupts and that is resumed, and whether both end with
the same weights. The result is written after each part, so that a kill loses nothing; a part has a time limit, and what
no time is left for is skipped and said so. With --only, what DIR has of other parts stays. The exit status is 1 if
anything was wrong.

Timed are whole optimizer steps as the trainer takes them, copies to the GPU and the wait for its sums included, on
batches of real text, deterministic, AdamW, without dropout. `tokens` count padding, `real` do not. `MFU` counts the
operations on real tokens and needed predictions, over the best matrix product measured in the same run.
"""

import argparse
import ast
import gc
import hashlib
import importlib.util
import json
import multiprocessing
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatch
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from bertline.base.config import Pretrain
from bertline.model import attention
from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.model.packing import Packing, pack
from bertline.pretraining.examples import Batch, ExampleSource, Prefetcher
from bertline.pretraining.masking import Pieces
from bertline.pretraining.objective import objective_sums, total_loss
from bertline.pretraining.plan import Plan
from bertline.pretraining.progress import flops_of_sequence
from bertline.pretraining.randomness import TRAINING
from bertline.pretraining.trainer import Trainer
from bertline.tokens.store import TokenBatch, TokenStore, write_store
from bertline.tokens.tokenizer import SPECIAL_TOKENS, VOCAB, load_tokenizer, read_vocab, write_tokenizer
from bertline.training.device import prepare
from bertline.training.optimizer import make_optimizer

SECONDS = 530.0  # all in all
VOCABULARY = 30_528  # of the models that are timed: BERT's 30,522, rounded up to a multiple of 64
CORPUS_PACKAGES = ("torch", "transformers", "scipy", "sklearn", "numpy")  # read where installed, never imported
EXACT = {"fp32": (1e-5, 1e-4), "bf16": (2e-3, 2e-2)}  # largest relative error of the loss, and of all gradients
NORM_CLIP = 1.0
HOW = {"no": "eager", "layers": "by layer", "model": "compiled", "all": "compiled with loss"}


@dataclass(frozen=True)
class Case:
    """What one row of the speed table measures.

    Attributes:
        model: size by name.
        length: tokens a sequence.
        rows: sequences a step.
        layout: padded, packed, or flex (padded, FlexAttention over a block mask).
        compiled: "no"; "layers", one graph for all of them; "model", the whole forward pass; "all", its loss too.
        deterministic: as the trainer computes.
        closely: also time its pieces, and profile its kernels.
    """

    model: str
    length: int
    rows: int
    layout: str = "packed"
    compiled: str = "no"
    deterministic: bool = True
    closely: bool = False

    @property
    def name(self) -> str:
        free = "" if self.deterministic else " free"
        return f"speed {self.model} {self.length}x{self.rows} {self.layout} {HOW[self.compiled]}{free}"


CASES = (  # the most telling first: time may run out
    Case("base", 128, 512, "packed", "layers", closely=True),
    Case("base", 128, 512, "padded"),
    Case("base", 128, 512, "packed"),
    Case("base", 128, 512, "packed", "all", closely=True),
    Case("base", 512, 128, "packed", "layers"),
    Case("small", 128, 1024, "packed", "layers"),
    Case("medium", 128, 512, "packed", "layers"),
    Case("large", 128, 256, "packed", "layers"),
    Case("base", 128, 256, "packed", "layers"),
    Case("base", 128, 512, "padded", "layers"),
    Case("base", 512, 128, "padded"),
    Case("base", 512, 128, "packed"),
    Case("base", 128, 1024, "packed", "layers"),
    Case("large", 128, 256, "packed"),
    Case("base", 128, 512, "padded", "all"),
    Case("base", 512, 128, "packed", "all"),
    Case("base", 128, 512, "packed", "model"),
    Case("base", 128, 512, "packed", "all", deterministic=False),
    Case("base", 512, 128, "flex", "all"),
    Case("base", 128, 512, "flex", "all"),
    Case("base", 512, 128, "padded", "all"),
)
TINY_CASES = (
    Case("tiny", 32, 8, "packed", "layers", closely=True),
    Case("tiny", 32, 8, "packed", "all"),
    Case("tiny", 32, 8, "padded"),
    Case("tiny", 32, 8, "packed"),
)


class OutOfTimeError(BaseException):
    """A part has used up its time. No `except Exception` on the way up, as in compilers, is to take it for a fault."""


class Report:
    """The parts so far: run within their time, written after each."""

    def __init__(self, path: Path, seconds: float, only: list[str]) -> None:
        self.path, self.only, self.ends = path, only, time.monotonic() + seconds
        self.parts: dict[str, Any] = {}
        self.wrong: list[str] = []
        if only and path.is_file():
            earlier = json.loads(path.read_text(encoding="utf-8"))
            self.parts, self.wrong = earlier["parts"], earlier["wrong"]

    def part(
        self,
        name: str,
        limit: float,
        work: Callable[[], dict[str, Any]],
        *,
        least: float = 10.0,
        optional: bool = False,
    ) -> None:
        """Do a part of at most `limit` seconds, unless fewer than `least` are left; an optional one may fail."""
        if self.only and not any(fnmatch(name, pattern) for pattern in self.only):
            return
        self.wrong = [other for other in self.wrong if other != name]
        left = self.ends - time.monotonic()
        started = time.monotonic()
        if left < min(least, limit):
            self.parts[name] = {"skipped": f"{left:.0f} s left"}
        else:
            try:
                with _alarm(min(limit, left)):
                    self.parts[name] = work()
            except OutOfTimeError:
                self.parts[name] = {"skipped": f"not done within {min(limit, left):.0f} s"}
            except Exception as error:  # whatever it is, the other parts are to be seen
                traceback.print_exc()
                self.parts[name] = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
                self.wrong += [] if optional else [name]
        row = self.parts[name]
        self.wrong += [name] if row.get("wrong") else []
        print(f"{time.monotonic() - started:6.1f} s  {name}: {_brief(row)}", flush=True)
        self.write()

    def write(self) -> None:
        """Put the file in place whole."""
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"wrong": self.wrong, "parts": self.parts}, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise OutOfTimeError

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _brief(row: dict[str, Any]) -> str:
    plain = {key: value for key, value in row.items() if isinstance(value, str | int | float)}
    return ", ".join(
        f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in plain.items()
    )


# The machine ----------------------------------------------------------------------------------------------------------


def machine(device: torch.device, size: int) -> dict[str, Any]:
    """What it is, and its ceilings: matrix products on random data, and a copy, counting bytes read and written."""
    found: dict[str, Any] = {"python": platform.python_version(), "cores": len(os.sched_getaffinity(0))}
    for package in ("torch", "triton", "transformers", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        query = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit", "--format=csv,noheader"]
        found |= {
            "device": properties.name,
            "processors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "driver_and_clocks": subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip(),
        }
    for key, kind in (("bf16_flops", torch.bfloat16), ("fp32_flops", torch.float32)):
        # Random data: a matrix of equal numbers draws less power, and is multiplied faster than real ones are.
        left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        found[key] = 2.0 * size**3 / min(milliseconds(lambda a=left, b=right: a @ b, 12, device)) * 1e3
    block = torch.randn(size * size * 8, device=device)
    target = torch.empty_like(block)
    found["copy_bytes"] = 2.0 * block.nbytes / min(milliseconds(lambda: target.copy_(block), 8, device)) * 1e3
    return found


def milliseconds(work: Callable[[], object], count: int, device: torch.device, warm: int = 2) -> list[float]:
    """How long each of `count` goes takes, from the end of the one before it, after some that do not count."""
    for _ in range(warm):
        work()
    if device.type == "cpu":
        ends = [time.perf_counter()]
        for _ in range(count):
            work()
            ends.append(time.perf_counter())
        return [1e3 * (end - start) for start, end in pairwise(ends)]
    torch.cuda.synchronize()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    marks[0].record()
    for mark in marks[1:]:
        work()
        mark.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in pairwise(marks)]


# Text -----------------------------------------------------------------------------------------------------------------


def make_corpus(folder: Path, files: int) -> tuple[Path, Path]:
    """Token stores (train, validation) and a vocabulary from the docstrings of what is installed; their directories."""
    places = [Path(sysconfig.get_path("stdlib"))]
    for package in CORPUS_PACKAGES:
        spec = importlib.util.find_spec(package)
        places += [Path(where) for where in (spec.submodule_search_locations or [])] if spec else []
    sources = [path for place in places for path in sorted(place.rglob("*.py")) if not _skipped(path, place)][:files]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
        found = [document for made in pool.map(docstrings, sources, chunksize=16) for document in made]
    documents = list(dict.fromkeys(found))
    vocab, tokens = folder / "vocab", folder / "tokens"
    vocab.mkdir(parents=True)
    write_tokenizer(make_vocabulary(documents), vocab, lowercase=True)
    tokenizer, digest = load_tokenizer(vocab), hashlib.sha256((vocab / VOCAB).read_bytes()).hexdigest()
    tokenizer.encode_special_tokens = True
    for split, part in (("validation", documents[::20]), ("train", [d for n, d in enumerate(documents) if n % 20])):
        sentences = [sentence for document in part for sentence in document]
        found = [encoding.ids for encoding in tokenizer.encode_batch_fast(sentences, add_special_tokens=False)]
        ids = np.fromiter(chain.from_iterable(found), np.uint32)
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        counts = np.array([len(document) for document in part], np.int64)
        write_store(
            tokens / split,
            [TokenBatch(ids, lengths, counts, words=0)],
            vocab_size=len(read_vocab(vocab)),
            vocab_sha256=digest,
            unknown_id=SPECIAL_TOKENS.index("[UNK]"),
        )
    return tokens, vocab


def _skipped(path: Path, place: Path) -> bool:
    return not {"test", "tests", "site-packages", "idlelib", "lib2to3"}.isdisjoint(path.relative_to(place).parts)


def docstrings(path: Path) -> list[tuple[str, ...]]:
    """The docstrings of a module, each as its sentences; those of one sentence are left out."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
    split = [[" ".join(part.split()) for part in re.split(r"(?<=[.:?!])\s+|\n\s*\n", text)] for text in texts]
    made = [tuple(part for part in parts if any(map(str.isalpha, part))) for parts in split]
    return [parts for parts in made if len(parts) > 1]


def make_vocabulary(documents: list[tuple[str, ...]]) -> list[str]:
    """Special tokens, every printable ASCII character, alone and inside a word, and the commonest words."""
    words = Counter(
        word for document in documents for part in document for word in re.findall(r"[a-z0-9]+", part.lower())
    )
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [*SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters)]
    known = set(pieces)
    pieces += [word for word, _ in words.most_common() if word not in known]
    return pieces[: min(8192, len(pieces) // 64 * 64)]


# Batches and steps ----------------------------------------------------------------------------------------------------


def batches_of(store: TokenStore, vocabulary: list[str], length: int, rows: int, count: int) -> list[Batch]:
    """Different batches of real text."""
    config = Pretrain(sequence_length=length, batch_size=rows, budget=count)
    source = ExampleSource(store, Pieces.of(vocabulary), config, Plan.of(config), seed=0, stream=TRAINING)
    return [source.batch(step) for step in range(count)]


def laid_out(batch: Batch, layout: str, device: torch.device) -> Batch:
    """The batch with the mask that a layout asks for, in memory that a GPU copies from by itself."""
    if layout == "packed":
        batch = replace(batch, mask=pack(batch.mask))
    elif layout == "flex":
        ends, longest = batch.mask.sum(1).to(device), batch.mask.shape[1]
        asked = batch.positions.shape[1] + 1  # in the last layer: predictions, and [CLS]
        blocks = {
            queries: create_block_mask(
                lambda row, _head, _query, key: key < ends[row], len(ends), None, queries, longest, device=str(device)
            )
            for queries in (longest, asked)
        }
        batch = replace(batch, mask=_OnDevice(blocks))
    if device.type == "cuda":
        batch = Batch(**{item.name: getattr(batch, item.name).pin_memory() for item in fields(batch)})
    return batch


class _OnDevice:
    """Block masks, which are on the GPU already, in the place of a tensor that is to be copied there."""

    def __init__(self, blocks: dict[int, Any]) -> None:
        self.blocks = blocks

    def pin_memory(self) -> "_OnDevice":
        return self

    def to(self, *_: object, **__: object) -> Any:
        return self.blocks


class Stepper:
    """Optimizer steps as pretraining/learner.py takes them, with a choice of what is compiled."""

    def __init__(self, config: BertConfig, device: torch.device, compiled: str, precision: str, backend: str) -> None:
        self.model = BertForPreTraining(config)
        initialize(self.model, seed=0)
        self.model.to(device)
        self.device, self.precision = device, precision
        self.optimizer = make_optimizer(self.model, "adamw", learning_rate=1e-4, weight_decay=0.01)
        network = torch.compile(self.model, fullgraph=True, backend=backend) if compiled == "model" else self.model
        for layer in self.model.bert.layers if compiled == "layers" else ():
            layer.compile(fullgraph=True, backend=backend)
        sums = torch.compile(objective_sums, fullgraph=True, backend=backend) if compiled == "all" else objective_sums
        self.network, self.sums, self.dynamic = network, sums, compiled in ("model", "all")

    def gradients(self, batch: Batch) -> Tensor:
        """Leave the gradients in the parameters; return the sums of the batch."""
        predictions, sequences = float(batch.weights.sum()), len(batch.labels)
        batch = batch.to(self.device)
        if self.dynamic and isinstance(batch.mask, Packing):
            torch._dynamo.mark_dynamic(batch.mask.places, 0)
        sums: Tensor = self.sums(self.network, batch, self.precision)
        torch.autograd.backward(total_loss(sums, predictions=predictions, sequences=sequences, pairs=True))
        return sums.detach()

    def update(self, sums: Tensor | None) -> None:
        """Clip, wait for the sums as the trainer does, unless there are none, and change the weights."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), NORM_CLIP)
        if sums is not None:
            torch.cat((sums, norm.reshape(1))).tolist()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def step(self, batch: Batch, *, wait: bool = True) -> None:
        """One step."""
        sums = self.gradients(batch)
        self.update(sums if wait else None)


# Exactness ------------------------------------------------------------------------------------------------------------


def exactness(device: torch.device, precision: str, layout: str, compiled: str, backend: str) -> dict[str, Any]:
    """Loss and gradients against fp32 on the CPU, padded and eager; and whether a second go gives the same bits."""
    config = BertConfig(vocab_size=1024, hidden_size=256, layers=3, heads=4, intermediate_size=512, max_positions=64)
    seed = sum(map(ord, precision + layout + compiled))  # other inputs for each check
    batch = random_batch(seed, rows=48, length=64, vocabulary=1024)
    reference = Stepper(config, torch.device("cpu"), "no", "fp32", backend)
    right_sums = reference.gradients(batch)
    right = [parameter.grad for parameter in reference.model.parameters()]
    ours = Stepper(config, device, compiled, precision, backend)
    goes = []
    for _ in range(2):
        ours.optimizer.zero_grad()
        sums = ours.gradients(laid_out(batch, layout, device)).cpu()
        goes.append((sums, [parameter.grad.cpu().clone() for parameter in ours.model.parameters()]))
    (sums, found), (again_sums, again) = goes
    loss_error = float(abs(sums[0] - right_sums[0]) / right_sums[0])
    gradient_error = relative_error(found, right)
    equal = torch.equal(sums, again_sums) and all(map(torch.equal, found, again))
    # Written so that NaN, which compares as false with everything, is wrong.
    passed = equal and loss_error <= EXACT[precision][0] and gradient_error <= EXACT[precision][1]
    return {"wrong": not passed, "loss": loss_error, "gradients": gradient_error, "bit_equal": equal}


def relative_error(found: list[Tensor], right: list[Tensor | None]) -> float:
    """The norm of the difference over that of what is right, all tensors as one, in fp64."""
    pairs = [(one.double(), other.double()) for one, other in zip(found, right, strict=True) if other is not None]
    return float(sum((a - b).square().sum() for a, b in pairs) / sum(b.square().sum() for _, b in pairs)) ** 0.5


def random_batch(seed: int, rows: int, length: int, vocabulary: int) -> Batch:
    """A batch of random tokens, of which some are padding."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(length // 3, length + 1, (rows,), generator=generator)
    mask = torch.arange(length) < lengths[:, None]
    predictions = length // 6
    return Batch(
        ids=torch.randint(5, vocabulary, (rows, length), generator=generator) * mask,
        segments=torch.randint(0, 2, (rows, length), generator=generator) * mask,
        mask=mask,
        positions=torch.randint(0, length, (rows, predictions), generator=generator) % lengths[:, None],
        targets=torch.randint(5, vocabulary, (rows, predictions), generator=generator),
        weights=(torch.rand(rows, predictions, generator=generator) < 0.9).float(),
        labels=torch.randint(0, 2, (rows,), generator=generator),
    )


# Speed ----------------------------------------------------------------------------------------------------------------


def speed(
    case: Case, store: TokenStore, vocabulary: list[str], device: torch.device, setting: "Setting"
) -> dict[str, Any]:
    """One row of the table."""
    torch._dynamo.reset()
    gc.collect()
    config = BertConfig.named(case.model, vocab_size=setting.vocabulary)
    plain = batches_of(store, vocabulary, case.length, case.rows, setting.batches)
    with circumstances(case):
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        batches = [laid_out(batch, case.layout, device) for batch in plain]
        stepper = Stepper(config, device, case.compiled, "bf16", setting.backend)
        started = time.perf_counter()
        stepper.step(batches[0])
        first = time.perf_counter() - started
        turn = _in_turn(batches)
        times = milliseconds(lambda: stepper.step(next(turn)), setting.steps, device, warm=len(batches))
        row = speeds(case, config, plain, statistics.median(times)) | {
            "first_step_seconds": first,
            "milliseconds_least": min(times),
            "milliseconds_most": max(times),
        }
        if device.type == "cuda":
            row["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        if case.closely:
            row["pieces"] = pieces(stepper, turn, setting.steps, device)
            row["kernels"] = kernels(stepper, turn) if device.type == "cuda" else []
    return row


@contextmanager
def circumstances(case: Case) -> Iterator[None]:
    """FlexAttention in the place of PyTorch's fused kernels, or freedom from determinism, for a while."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(case.deterministic)
    try:
        with mock.patch.object(attention, "_attend_fused", _attend_flex) if case.layout == "flex" else nullcontext():
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def _attend_flex(query: Tensor, key: Tensor, value: Tensor, mask: Any, _dropout: float) -> Tensor:
    query, key, value = (each.transpose(1, 2) for each in (query, key, value))
    attended: Any = flex_attention(query, key, value, block_mask=mask[query.shape[2]])
    return attended.transpose(1, 2)


def _in_turn(batches: list[Batch]) -> Iterator[Batch]:
    while True:
        yield from batches


def speeds(case: Case, config: BertConfig, batches: list[Batch], median: float) -> dict[str, Any]:
    """Tokens and operations a second from milliseconds a step."""
    predictions = batches[0].positions.shape[1]
    lengths = torch.cat([batch.mask.sum(1) for batch in batches]).tolist()
    needed = torch.cat([batch.weights.sum(1).int() for batch in batches]).tolist()
    useful = statistics.mean(flops_of_sequence(config, *each) for each in zip(lengths, needed, strict=True)) * case.rows
    return {
        "milliseconds": median,
        "tokens_per_second": case.rows * case.length / median * 1e3,
        "real_tokens_per_second": case.rows * statistics.mean(lengths) / median * 1e3,
        "flops_per_second": useful / median * 1e3,
        "flops_per_second_with_padding": case.rows * flops_of_sequence(config, case.length, predictions) / median * 1e3,
    }


def pieces(stepper: Stepper, turn: Iterator[Batch], steps: int, device: torch.device) -> dict[str, float]:
    """Milliseconds of a step that never waits for the GPU, and of clipping and changing the weights alone."""
    free = milliseconds(lambda: stepper.step(next(turn), wait=False), steps, device)
    stepper.gradients(next(turn))
    kept = [parameter.grad for parameter in stepper.model.parameters()]

    def update() -> None:
        for parameter, gradient in zip(stepper.model.parameters(), kept, strict=True):
            parameter.grad = gradient
        stepper.update(None)

    return {
        "step without waiting": statistics.median(free),
        "update": statistics.median(milliseconds(update, 5, device)),
    }


def kernels(stepper: Stepper, turn: Iterator[Batch]) -> list[dict[str, Any]]:
    """The kernels that take the most time in a step."""
    steps = 2
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(steps):
            stepper.step(next(turn))
        torch.cuda.synchronize()
    events = [event for event in profiler.key_averages() if event.device_type == torch.autograd.DeviceType.CUDA]  # type: ignore[attr-defined]
    events.sort(key=lambda event: -event.self_device_time_total)
    return [
        {
            "milliseconds": event.self_device_time_total / steps / 1e3,
            "calls": event.count / steps,
            "kernel": event.key[:120],
        }
        for event in events[:25]
    ]


def batch_making(store: TokenStore, vocabulary: list[str], length: int, rows: int, count: int) -> dict[str, Any]:
    """How fast background threads make batches, and how long it takes to pack one."""
    config = Pretrain(sequence_length=length, batch_size=rows)
    source = ExampleSource(store, Pieces.of(vocabulary), config, Plan.of(config), seed=0, stream=TRAINING)
    mask = source.batch(0).mask
    found: dict[str, Any] = {"real_share": float(mask.float().mean())}
    for workers in (1, 4):
        with Prefetcher(source.batch, first=0, depth=2 * workers, workers=workers) as batches:
            times = milliseconds(lambda made=batches: next(made), count, torch.device("cpu"), warm=2 * workers)
        found[f"tokens_per_second_{workers}"] = rows * length / statistics.mean(times) * 1e3
    found["pack_milliseconds"] = statistics.median(milliseconds(lambda: pack(mask), 5, torch.device("cpu")))
    return found


# A real training ------------------------------------------------------------------------------------------------------


def recipe(device: torch.device, tiny: bool) -> Pretrain:
    """A short run: on a GPU, 20 million tokens of docstrings, of which there are about six."""
    if tiny:
        small: dict[str, Any] = {"model": "tiny", "sequence_length": 32, "batch_size": 8, "budget": 60, "threads": 1}
    else:
        small = {"model": "small", "sequence_length": 128, "batch_size": 256, "budget": 600, "threads": 8}
    every = int(small["budget"]) // 5
    return Pretrain(
        **small,
        packed=True,
        device=device.type,
        learning_rate=1e-3,
        embedding_init="normal",
        checkpoint_every=every,
        evaluate_every=int(small["budget"]),
        evaluation_batches=4,
        log_every=every // 6,
    )


def train(options: argparse.Namespace) -> None:
    """What a process of its own does: train, and write what came of it."""
    train_store, validation = (TokenStore.open(options.tokens / split) for split in ("train", "validation"))
    config = recipe(torch.device("cpu" if options.tiny else "cuda"), options.tiny)
    started = time.perf_counter()
    with Trainer(config, train_store, validation, read_vocab(options.vocab), options.run) as trainer:
        trainer.train()
        weights = hashlib.sha256()
        for value in trainer.model.state_dict().values():
            weights.update(value.cpu().contiguous().numpy().tobytes())
        log = [json.loads(line) for line in (options.run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        result = {
            "seconds": time.perf_counter() - started,
            "weights": weights.hexdigest(),
            "curve": trainer.history.curve,
            "metrics": trainer.metrics(),
            "log": log,
        }
    (options.run / "result.json").write_text(json.dumps(result), encoding="utf-8")


def resumption(options: argparse.Namespace, tokens: Path, vocab: Path, budget: int) -> dict[str, Any]:
    """Train undisturbed; train again with SIGTERM in the middle, and resume; compare weights and curves."""
    undisturbed, disturbed = options.out / "undisturbed", options.out / "disturbed"
    for run in (undisturbed, disturbed):  # of an earlier call: not to be gone on from
        shutil.rmtree(run, ignore_errors=True)
    with training(options, undisturbed, tokens, vocab) as process:
        codes = [process.wait()]
    with training(options, disturbed, tokens, vocab) as process:
        while process.poll() is None and steps_done(disturbed) < budget // 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        codes.append(process.wait())
    stopped = steps_done(disturbed)
    with training(options, disturbed, tokens, vocab) as process:
        codes.append(process.wait())
    one, other = (json.loads((run / "result.json").read_text(encoding="utf-8")) for run in (undisturbed, disturbed))
    same = {key: one[key] == other[key] for key in ("weights", "curve", "metrics")}
    speeds_seen = one["log"][1:] or one["log"]
    return {
        "wrong": codes != [0, 143, 0] or not all(same.values()) or not stopped < budget,
        "exit_codes": codes,
        "stopped_after": stopped,
        "same": same,
        "seconds": one["seconds"],
        "mlm_loss": one["metrics"]["validation"]["mlm_loss"],
        "nsp_accuracy": one["metrics"]["validation"]["nsp_accuracy"],
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in speeds_seen),
        "waiting_share": statistics.median(row["waiting_share"] for row in speeds_seen),
        "curve": one["curve"],
    }


@contextmanager
def training(options: argparse.Namespace, run: Path, tokens: Path, vocab: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that trains in `run`; it does not outlive the block."""
    run.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "--out", options.out, "--run", run, "--tokens", tokens, "--vocab", vocab]
    process = subprocess.Popen([*map(str, command), *(["--tiny"] if options.tiny else [])])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def steps_done(run: Path) -> int:
    """The last step of a run's curve so far."""
    try:
        lines = (run / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


# All of it ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """How much of everything."""

    cases: tuple[Case, ...]
    vocabulary: int
    batches: int
    steps: int
    backend: str
    matrix: int
    files: int


REAL = Setting(CASES, VOCABULARY, batches=6, steps=18, backend="inductor", matrix=8192, files=20_000)
TINY = Setting(TINY_CASES, 8192, batches=2, steps=2, backend="aot_eager", matrix=256, files=60)
COMPILED_CHECKS = (("bf16", "packed", "layers"), ("bf16", "packed", "all"), ("fp32", "padded", "layers"))


def main() -> int:
    """Read the command line, and run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a directory for gpu.json and the runs")
    parser.add_argument("--tiny", action="store_true", help="toy shapes on the CPU")
    parser.add_argument("--only", nargs="+", default=[], help="patterns of the names of parts")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="all in all")
    parser.add_argument("--tokens", type=Path, help="token stores (train, validation) to use instead of docstrings")
    parser.add_argument("--vocab", type=Path, help="their vocabulary")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if (options.tokens is None) != (options.vocab is None):
        parser.error("--tokens and --vocab go together")
    if options.run:
        train(options)
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        report = run_parts(options, Path(folder))
    print(table(report))
    return 1 if report.wrong else 0


def run_parts(options: argparse.Namespace, folder: Path) -> Report:
    """Everything, in the order in which it is missed most."""
    setting = TINY if options.tiny else REAL
    report = Report(options.out / "gpu.json", options.seconds, options.only)
    started = time.monotonic()
    # Before CUDA starts, whose state does not survive a fork.
    tokens, vocab = (options.tokens, options.vocab) if options.tokens else make_corpus(folder, setting.files)
    store, vocabulary = TokenStore.open(tokens / "train"), read_vocab(vocab)
    print(f"{time.monotonic() - started:6.1f} s  {store.meta['tokens']:,} tokens of text", flush=True)
    device = prepare("cpu" if options.tiny else "cuda", threads=1 if options.tiny else 8)
    checks = [(precision, layout, "no") for precision in EXACT for layout in ("padded", "packed")]
    checks += COMPILED_CHECKS
    report.part("machine", 40, lambda: machine(device, setting.matrix))
    for check in checks:
        name = f"exact {' '.join(check[:2])} {HOW[check[2]]}"
        report.part(name, 45, lambda check=check: exactness(device, check[0], check[1], check[2], setting.backend))
    first, *rest = setting.cases
    making = (first.length, first.rows, 2 * setting.steps)
    report.part("batches", 30, lambda: batch_making(store, vocabulary, *making))
    _speed_part(report, first, store, vocabulary, device, setting)
    budget = int(recipe(device, options.tiny).budget)
    report.part("training", 150, lambda: resumption(options, tokens, vocab, budget), least=60)
    for case in rest:
        _speed_part(report, case, store, vocabulary, device, setting)
    return report


def _speed_part(
    report: Report, case: Case, store: TokenStore, vocabulary: list[str], device: torch.device, setting: Setting
) -> None:
    limit, least = (110, 45) if case.compiled != "no" else (40, 12)
    optional = case.layout == "flex"  # for comparison: the trainer has no such layout
    work = partial(speed, case, store, vocabulary, device, setting)
    report.part(case.name, limit, work, least=least, optional=optional)
    if device.type == "cuda":  # what an interrupted part has left
        gc.collect()
        torch.cuda.empty_cache()


def table(report: Report) -> str:
    """The results for people, short."""
    peak = report.parts.get("machine", {}).get("bf16_flops", float("nan"))
    lines = [f"bf16 {peak / 1e12:.0f} TFLOP/s", f"{'':44}  ms/step    tokens/s      real/s   MFU  padded    GiB  first"]
    for name, row in report.parts.items():
        if "flops_per_second" not in row:
            continue
        lines.append(
            f"{name.removeprefix('speed '):44} {row['milliseconds']:8.2f} {row['tokens_per_second']:11,.0f}"
            f" {row['real_tokens_per_second']:11,.0f} {row['flops_per_second'] / peak:5.1%}"
            f" {row['flops_per_second_with_padding'] / peak:7.1%} {row.get('memory_gib', 0):6.1f}"
            f" {row['first_step_seconds']:5.1f}s"
        )
    for name, row in report.parts.items():
        if "flops_per_second" not in row and name != "machine":
            lines.append(f"{name:44} {_brief(row)}"[:150])
    lines.append(f"WRONG: {', '.join(report.wrong)}" if report.wrong else "nothing wrong")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
