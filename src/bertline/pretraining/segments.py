"""Segments of text in a token store: where they may begin and end, and which two make a next-sentence pair.

Everything is arithmetic on token positions, for whole batches at once, with a few binary searches in memory-mapped
offsets: nothing is read ahead, and memory does not grow with the corpus beyond 24 bytes a document of each source of
examples, whatever the sequence lengths; an upsampled document counts as often as an epoch has it.

The text of a document is seen as a row of units: its sentences, where one that would not fit beside a second segment
counts as several, cut between words. Segments are made of whole units; where one has to be cut to fit, it is cut
between words too.
"""

import sys
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertline.pretraining.randomness import Places, Words, below, permute, scramble, uniform

LEAST_SHARE = 4  # where a pair is cut to fit, each segment keeps a fourth of the room, if it has so much
_LONGEST_WORD = 32  # pieces: so far a word's start is sought
_CHUNK = 1 << 22  # sentences looked at together

Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class Segments:
    """One or two segments a row, as token positions [start, end) in the store; an absent second one is empty."""

    first: tuple[Places, Places]
    second: tuple[Places, Places]


class Text:
    """The documents of a store that have enough sentences, as positions in one long row of tokens.

    Args:
        ids: (tokens,), of the whole store.
        sentences: (sentences + 1,), offsets into ids.
        documents: (documents + 1,), offsets into sentences.
        continuation: (vocabulary,), True for ## pieces.
        min_sentences: leave out documents with fewer; sentences without tokens do not count.
        longest_unit: tokens of a sentence beyond which it counts as several units; by default none does.
        times: (documents,) or one number, how often an epoch has each document.
    """

    def __init__(
        self,
        ids: NDArray[np.unsignedinteger],
        sentences: Offsets,
        documents: Offsets,
        continuation: NDArray[np.bool_],
        *,
        min_sentences: int,
        longest_unit: int = sys.maxsize,
        times: NDArray[np.int64] | int = 1,
    ) -> None:
        # As plain arrays over the same memory: numpy.memmap costs at every use.
        self.ids, self.sentences, self.continuation = np.asarray(ids), np.asarray(sentences), continuation
        self.longest_unit = longest_unit
        taken = np.where(_sentences_with_text(self.sentences, documents) >= min_sentences, times, 0)
        self.starts: Offsets = np.repeat(np.asarray(sentences[documents[:-1]]), taken)
        self.ends: Offsets = np.repeat(np.asarray(sentences[documents[1:]]), taken)
        self.before: Offsets = np.concatenate(([0], np.cumsum(self.ends - self.starts)))

    def in_units(self, longest: int) -> "Text":
        """The same documents with another `longest_unit`; what is held of each is shared."""
        text = copy(self)
        text.longest_unit = longest
        return text

    @property
    def tokens(self) -> int:
        """How many tokens the documents have together, each as often as an epoch has it."""
        return int(self.before[-1])

    @property
    def documents(self) -> int:
        """How many documents there are, each counted once."""
        return len(np.unique(self.starts))

    def locate(self, places: Places) -> tuple[Places, Places]:
        """Turn places among the tokens of these documents into (document, position in ids)."""
        document = np.searchsorted(self.before, places, side="right") - 1
        return document, self.starts[document] + places - self.before[document]

    def elsewhere(self, document: Places, words: Words) -> Places:
        """A random place in any document but the given one, every token of an epoch as likely as another."""
        start = self.starts[document]  # a document that an epoch has several times stands there so often, in a row
        first, last = (self.before[np.searchsorted(self.starts, start, side)] for side in ("left", "right"))
        places = below(words, self.tokens - (last - first))
        return np.where(places >= first, places + (last - first), places)

    def around(self, position: Places) -> tuple[Places, Places]:
        """The largest unit boundary at or before each position, and the smallest one after it."""
        sentence = np.searchsorted(self.sentences, position, side="right") - 1
        start, end = self.sentences[sentence], self.sentences[sentence + 1]
        units = -(-(end - start) // self.longest_unit)
        unit = (position - start) * units // (end - start)
        low, high = (self._cut(start, end, units, unit + step) for step in (0, 1))
        # Moving cuts back to the start of a word can move them past the position, and several to one place.
        while (passed := high <= position).any():
            unit = unit + passed
            low, high = np.where(passed, high, low), self._cut(start, end, units, unit + 1)
        return low, high

    def floor(self, position: Places) -> Places:
        """The largest unit boundary at or before each position."""
        return self.around(position)[0]

    def ceil(self, position: Places) -> Places:
        """The smallest unit boundary at or after each position (at least 1)."""
        return self.around(position - 1)[1]

    def _cut(self, start: Places, end: Places, units: Places, unit: Places) -> Places:
        """Where unit number `unit` of a sentence begins: units of about equal length, cut between words."""
        even: Places = start + np.minimum(unit, units) * (end - start) // units
        inside = (unit > 0) & (unit < units)
        if inside.any():  # few sentences are that long
            even[inside] = self.word_before(even[inside], start[inside])
        return even

    def cuts_a_word(self, segments: "Segments") -> NDArray[np.bool_]:
        """Which rows have a segment that begins or ends inside a word: (batch,)."""
        bounds = np.stack([bound for start_end in (segments.first, segments.second) for bound in start_end])
        piece = self.ids[np.minimum(bounds, len(self.ids) - 1)]
        inside = self.continuation[piece] & (bounds < len(self.ids))
        cut: NDArray[np.bool_] = np.logical_or.reduce(inside, axis=0)
        return cut

    def word_before(self, position: Places, low: Places) -> Places:
        """The last start of a word at or before each position and after `low`; the position where there is none."""
        return self._word_start(position, -1, low, None)

    def word_after(self, position: Places, high: Places) -> Places:
        """The first start of a word at or after each position and before `high`; the position where there is none."""
        return self._word_start(position, 1, None, high)

    def _word_start(self, position: Places, direction: int, low: Places | None, high: Places | None) -> Places:
        window = position[:, None] + direction * np.arange(_LONGEST_WORD)
        piece = self.ids[np.minimum(np.maximum(window, 0), len(self.ids) - 1)]  # np.clip costs more than both
        begins = ~self.continuation[piece]
        if low is not None:
            begins &= window > low[:, None]
        if high is not None:
            begins &= window < high[:, None]
        return np.where(begins.any(axis=1), position + direction * begins.argmax(axis=1), position)


def _sentences_with_text(sentences: Offsets, documents: Offsets) -> Places:
    """How many sentences of each document have any tokens: (documents,)."""
    counts = np.diff(documents)
    for begin in range(0, len(sentences) - 1, _CHUNK):
        empty = begin + np.flatnonzero(np.diff(sentences[begin : begin + _CHUNK + 1]) == 0)
        np.subtract.at(counts, np.searchsorted(documents, empty, side="right") - 1, 1)
    return counts


def slot_places(text: Text, example: Places, stride: int, keys: Words) -> Places:
    """The place among the text's tokens where each example begins, by its number since the start of training.

    An epoch visits every `stride`-th token once, in a random order; the next epoch does so with another offset. `keys`
    are those of the examples' epochs.
    """
    slots = _slots(text, stride)
    slot = permute(example % slots, slots, keys)
    return (slot * stride + below(scramble(keys), stride)) % text.tokens


def epoch_keys(text: Text, example: Places, stride: int, seed: int) -> Words:
    """What names the random numbers of each example's epoch."""
    epoch = example // _slots(text, stride)
    return scramble(scramble(np.full(epoch.shape, seed, dtype=np.uint64)) + epoch.astype(np.uint64))


def _slots(text: Text, stride: int) -> int:
    return -(-text.tokens // stride)


def single_segments(text: Text, places: Places, room: Places, keys: Words) -> Segments:
    """One segment a row, of at most `room` tokens, about each place; `keys` are those of the rows' epochs."""
    document, position = text.locate(places)
    start = _start(text, position, document, room, keys)
    end = np.minimum(start + room, text.ends[document])
    end = np.where(end < text.ends[document], text.word_before(end, start), end)
    nothing = np.zeros_like(start)
    return Segments((start, end), (nothing, nothing))


def segment_pairs(
    text: Text, places: Places, room: Places, random_second: NDArray[np.bool_], words: Words, keys: Words
) -> Segments:
    """Two segments a row, of at most `room` tokens together: the second follows the first, or is from another document.

    A random second segment is the second one of a pair that is made, in the same way, at a random place in another
    document: where its text begins and how it is cut tells nothing. The lengths tell something of short documents, for
    a true pair is no longer than its document: a guess from the two lengths alone is right in 55 % of sequences of 64
    tokens where documents have 60 of widely varying lengths, in 99 % where all have 60, in 52 % where they have 250.

    Args:
        text: of at least two documents of at least two sentences.
        places: (batch,) among the text's tokens.
        room: (batch,), at least 2.
        random_second: (batch,), which rows take their second segment from another document.
        words: (batch, 4) random.
        keys: (batch,), of the rows' epochs.
    """
    document, position = text.locate(places)
    other, other_position = text.locate(text.elsewhere(document, words[:, 0]))
    start, split = _split(text, document, position, room, words[:, 1], keys)
    _, other_split = _split(text, other, other_position, room, words[:, 2], keys)
    second = np.where(random_second, other_split, split)
    second_end = np.where(random_second, text.ends[other], text.ends[document])
    return _fit(text, (text.starts[document], start, split), (second, second_end), room, uniform(words[:, 3]) < 0.5)


def _start(text: Text, position: Places, document: Places, room: Places, keys: Words) -> Places:
    """Where a sequence about each position begins: with its unit or, in half of the documents, so that it ends there.

    Did all begin there, a document's first tokens would be in few sequences and its last ones, of which what is left
    has to fill the room, in many. A document's are all of one kind in an epoch, so that they lie side by side; in the
    next one they may be of the other.
    """
    low, high = text.starts[document], text.ends[document]
    end_there = scramble(keys + low.astype(np.uint64)) % 2 == 1
    position = np.where(end_there, np.maximum(position - room, low), position)
    filling = text.ceil(np.maximum(high - room, low + 1))
    filling = np.where(high - low <= room, low, filling)
    return np.minimum(text.floor(position), filling)


def _split(
    text: Text, document: Places, position: Places, room: Places, words: Words, keys: Words
) -> tuple[Places, Places]:
    """Where a pair about each position begins, and the unit boundary, any alike, at which its second segment begins."""
    low, high = text.starts[document], text.ends[document]
    start = _start(text, position, document, room, keys)
    last = text.floor(high - 1)
    start = np.where(start >= last, text.floor(np.maximum(last - 1, low)), start)
    inside = np.minimum(start + room, high) - start - 1
    wanted = text.ceil(start + 1 + below(words, np.maximum(inside, 1)))
    return start, np.minimum(wanted, last)


def _fit(
    text: Text,
    first: tuple[Places, Places, Places],
    second: tuple[Places, Places],
    room: Places,
    second_whole: NDArray[np.bool_],
) -> Segments:
    """Make a pair fill `room` tokens, without touching the place where its segments meet.

    The second segment is filled up with whole units; if its document ends before the room does, the first one begins
    earlier. What is too much is then cut from the beginning of the first or the end of the second, so that each keeps
    at least a quarter of the room, as far as it has so much.

    Args:
        text: of both.
        first: (start of its document, start, end).
        second: (start, end of its document).
        room: tokens.
        second_whole: which rows cut the first segment rather than the second.
    """
    (low, start, split), (follow, end) = first, second
    least = np.maximum(room // LEAST_SHARE, 1)
    wanted = np.maximum(room - (split - start), least)
    filled = np.minimum(text.ceil(np.minimum(follow + wanted, end)), end) - follow
    longest = np.where(second_whole, room - np.minimum(split - low, least), wanted)
    second_size = np.minimum(filled, longest)
    left = room - second_size
    earliest = np.where(split - low <= left, low, text.ceil(np.maximum(split - left, low + 1)))
    start = np.minimum(start, np.minimum(earliest, split))
    cut_start = np.where(split - start > left, text.word_after(split - left, split), start)
    cut_end = np.where(second_size < filled, text.word_before(follow + second_size, follow), follow + filled)
    return Segments((cut_start, split), (follow, cut_end))
