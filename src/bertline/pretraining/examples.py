"""Batches for pre-training, each a pure function of (corpus, config, seed, step): nothing is saved, nothing replayed.

    source = ExampleSource(store, pieces, config, Plan.of(config), seed=config.seed, stream=TRAINING)
    batch = source.batch(step=1_000_000)                    # at once, without the million before it
    mine = source.batch(step=1_000_000, rank=3, world=8)    # rows 3/8 … 4/8 of that very batch
    with Prefetcher(source.batch, first=0) as batches:      # the same batches, made in a background thread
        batch = next(batches)

Next-sentence pairs as in BERT (Devlin et al. 2019, section 3.1): two segments of whole sentences that fill the
sequence; in half of the sequences the second follows the first, in the others it is from another document; a tenth is
of a random shorter length. Every epoch begins a sequence about each place of the corpus once, in a random order; about
those of a source in `pretrain.upsample` so often.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertline.base.config import Pretrain
from bertline.base.errors import BertlineError
from bertline.model.packing import Packing
from bertline.pretraining.masking import MaskRandomness, Pieces, mask_tokens, predictions_of
from bertline.pretraining.plan import Plan
from bertline.pretraining.randomness import Places, Words, below, random_words, scramble, uniform
from bertline.pretraining.segments import (
    LEAST_SHARE,
    Segments,
    Text,
    epoch_keys,
    segment_pairs,
    single_segments,
    slot_places,
)
from bertline.tokens.store import TokenStore

T = TypeVar("T")
_CONTROLS = 8  # random words a row before those of its tokens
_TRIES = 20  # places for a sequence that would cut a word
_SWITCH_SECONDS = 0.0002
_MIN_ROOM = 8  # tokens of a short sequence without its special ones, at least: fewer would often cut a word


@dataclass(frozen=True)
class Batch:
    """Sequences of tokens and what is to be predicted from them.

    Attributes:
        ids: int64 (batch, sequence), masked: [CLS] first [SEP] second [SEP], then [PAD].
        segments: int64 (batch, sequence), 1 for the second segment and its [SEP].
        mask: bool (batch, sequence), True = a real token.
        positions: int64 (batch, predictions), where the masked tokens are; unneeded ones are 0.
        targets: int64 (batch, predictions), the ids that stood there.
        weights: float32 (batch, predictions), 1 for a real prediction, 0 for an unneeded one.
        labels: int64 (batch,), 0 = the second segment follows the first, 1 = it is from another document.
    """

    ids: Tensor
    segments: Tensor
    mask: Tensor | Packing
    positions: Tensor
    targets: Tensor
    weights: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(*(getattr(self, item.name).to(device, non_blocking=True) for item in fields(self)))

    @property
    def padding(self) -> Tensor:
        """The mask of a batch that is padded.

        Raises:
            TypeError: it is packed.
        """
        if isinstance(self.mask, Packing):
            raise TypeError("a packed batch has no padding")
        return self.mask

    def pin_memory(self) -> "Batch":
        """The same in memory from which a GPU copies on its own, while the CPU goes on."""
        return Batch(*(getattr(self, item.name).pin_memory() for item in fields(self)))

    def rows(self, which: slice) -> "Batch":
        """Some of the rows."""
        return Batch(*(getattr(self, item.name)[which] for item in fields(self)))

    def unmasked(self) -> Tensor:
        """The sequences before masking: int64 (batch, sequence)."""
        found = torch.where(self.weights > 0, self.targets, self.ids.gather(1, self.positions))
        return self.ids.scatter(1, self.positions, found)

    def micro_batches(self, tokens: float) -> Iterator["Batch"]:
        """The same rows in equal parts: as few as keep each within `tokens`, a row being one at least."""
        rows, length = self.ids.shape
        fitting = (parts for parts in range(1, rows + 1) if rows % parts == 0 and rows * length / parts <= tokens)
        parts = next(fitting, rows)
        columns = [getattr(self, item.name).chunk(parts) for item in fields(self)]
        return (Batch(*tensors) for tensors in zip(*columns, strict=True))


class ExampleSource:
    """All batches of a corpus, by step.

    Args:
        store: the tokens.
        pieces: of the vocabulary that made them.
        config: objective, upsample, mask_rate, whole_word and short_rate are read.
        plan: how many sequences of which length a step has.
        seed, stream: name the random numbers.

    Attributes:
        texts: the documents that serve, by sequence length.

    Raises:
        BertlineError: there is too little text for the objective.
    """

    def __init__(
        self, store: TokenStore, pieces: Pieces, config: Pretrain, plan: Plan, *, seed: int, stream: int
    ) -> None:
        self.store, self.pieces, self.config, self.plan = store, pieces, config, plan
        self.seed, self.stream = seed, stream
        self.pairs = config.pairs
        text = self._text()
        rooms = {stage.sequence_length: self.room(stage.sequence_length) for stage in plan.stages}
        self.texts = {length: text.in_units(room - room // LEAST_SHARE) for length, room in rooms.items()}

    def _text(self) -> Text:
        text = Text(
            self.store.ids,
            self.store.sentences,
            self.store.documents,
            self.pieces.continuation,
            min_sentences=2 if self.pairs else 1,
            times=self.store.times(self.config.upsample) if self.config.upsample else 1,
        )
        if not text.tokens:
            fix = "Add text, or lower documents.min_sentences; one-sentence documents serve `objective: mlm` only"
            what = f"no document has {2 if self.pairs else 1} or more sentences"
            raise BertlineError(what, where=str(self.store.directory), fix=fix)
        if self.pairs and text.documents < 2:
            what = "next-sentence prediction needs two documents with two sentences each"
            fix = "Add documents, or set pretrain.objective to mlm"
            raise BertlineError(what, where=str(self.store.directory), fix=fix)
        return text

    def room(self, sequence_length: int) -> int:
        """Tokens of a sequence without its special ones."""
        return sequence_length - (3 if self.pairs else 2)

    def predictions(self, sequence_length: int) -> int:
        """How many tokens a sequence of this length is asked for."""
        return int(predictions_of(sequence_length, self.config.mask_rate))

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The rows of one process of a step's batch; all of them by default.

        Raises:
            ValueError: the batch cannot be shared out evenly.
        """
        stage = self.plan.stage(step)
        if stage.batch_size % world:
            raise ValueError(f"batch_size ({stage.batch_size}) must be a multiple of the processes ({world})")
        rows = stage.batch_size // world
        first = rank * rows
        width = _CONTROLS + stage.sequence_length + 2 * self.predictions(stage.sequence_length)
        words = random_words(self.seed, self.stream, step, first_row=first, rows=rows, width=width)
        example = self.plan.sequences(step) + first + np.arange(rows)
        random_second = uniform(words[:, 0]) < 0.5 if self.pairs else np.zeros(rows, dtype=bool)
        text, room = self.texts[stage.sequence_length], self.room(stage.sequence_length)
        found = self._segments(text, room, example, random_second, words)
        return self._assemble(found, stage.sequence_length, random_second, words[:, _CONTROLS:])

    def _segments(
        self, text: Text, room: int, example: Places, random_second: NDArray[np.bool_], words: Words
    ) -> Segments:
        keys = epoch_keys(text, example, room, self.seed)
        places = slot_places(text, example, room, keys)
        shorter = _MIN_ROOM + below(words[:, 2], room - _MIN_ROOM + 1)
        rooms = np.where(uniform(words[:, 1]) < self.config.short_rate, shorter, room)
        choices = words[:, 3:_CONTROLS]
        for _ in range(_TRIES):
            if self.pairs:
                found = segment_pairs(text, places, rooms, random_second, choices, keys)
            else:
                found = single_segments(text, places, rooms, keys)
            cut = text.cuts_a_word(found)
            if not cut.any():
                break
            # A word has more pieces than there is room for: that row takes another place, and more room.
            rooms = np.where(cut, np.minimum(2 * rooms, room), rooms)
            choices = np.where(cut[:, None], scramble(choices), choices)
            places = np.where(cut, below(choices[:, -1], text.tokens), places)
        return found

    def _assemble(self, found: Segments, length: int, random_second: NDArray[np.bool_], words: Words) -> Batch:
        """Lay the segments out between the special tokens, and mask them."""
        (first, first_end), (second, second_end) = ((a[:, None], b[:, None]) for a, b in (found.first, found.second))
        column = np.arange(length)
        middle = 1 + first_end - first  # where the first [SEP] stands
        end = middle + 1 + second_end - second if self.pairs else middle  # where the last one stands
        place = np.where(column < middle, first + column - 1, second + column - middle - 1)
        tokens = self.texts[length].ids
        ids = tokens[np.clip(place, 0, len(tokens) - 1)].astype(np.int64)
        special = self.pieces.special
        ids[:, 0] = special.cls
        ids[(column == middle) | (column == end)] = special.sep
        ids[column > end] = special.pad
        lengths = end[:, 0] + 1
        rest = length + self.predictions(length)
        randomness = MaskRandomness(words[:, :length], words[:, length:rest], words[:, rest:])
        masked = mask_tokens(
            ids,
            lengths,
            randomness,
            self.pieces,
            mask_rate=self.config.mask_rate,
            whole_word=self.config.whole_word,
        )
        return Batch(
            ids=torch.from_numpy(masked.ids),
            segments=torch.from_numpy(((column > middle) & (column <= end)).astype(np.int64)),
            mask=torch.from_numpy(column <= end),
            positions=torch.from_numpy(masked.positions),
            targets=torch.from_numpy(masked.targets),
            weights=torch.from_numpy(masked.weights),
            labels=torch.from_numpy(random_second.astype(np.int64)),
        )


class Prefetcher(Generic[T]):
    """The values make(first), make(first + 1), … in order, made ahead in background threads.

    Threads change when a value is made, never which: `make` is a pure function of the step.
    """

    def __init__(self, make: Callable[[int], T], first: int, *, depth: int = 4, workers: int = 1) -> None:
        self._make, self._next = make, first
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="examples")
        self._ahead: deque[Future[T]] = deque()
        self._switched = sys.getswitchinterval()
        self.waited = 0.0  # seconds that the consumer has spent waiting
        for _ in range(depth):
            self._submit()

    def _submit(self) -> None:
        self._ahead.append(self._pool.submit(self._make, self._next))
        self._next += 1

    def __iter__(self) -> "Prefetcher[T]":
        return self

    def __next__(self) -> T:
        started = time.perf_counter()
        value = self._ahead.popleft().result()
        self.waited += time.perf_counter() - started
        self._submit()
        return value

    def __enter__(self) -> "Prefetcher[T]":
        # Python lets a thread run for 5 ms while another waits: a tenth of a small model's step.
        sys.setswitchinterval(_SWITCH_SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(self._switched)
