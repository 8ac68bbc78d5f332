"""Text cut into words, in bulk: a column of sentences in, one column of words out, without a Python object a word.

    words, offsets = split_words(pa.array(["The fox, 中文."]), lowercase=True)   # the fox , 中 文 .

The cuts are some of those that BERT's normaliser and pre-tokeniser make: at U+0020, around ASCII punctuation, and
around the ideographs U+4E00 to U+9FFF. What stands on one side of such a cut never changes what they make of the other
side, since they work a character (and its combining marks) at a time. So the pieces may be counted, or encoded, one by
one, and each distinct piece once. A piece of ASCII letters and digits, or of one punctuation mark, is a word as it
stands (`is_plain`); any other piece (accents, control characters, other scripts) is for normaliser and pre-tokeniser.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_SPACE, _SINGLE, _IDEOGRAPH, _CONTINUATION, _OTHER = range(1, 6)
_LOWERED = bytes(range(256)).lower()  # ASCII letters alone


def _kinds() -> NDArray[np.uint8]:
    """The kind of each byte value: 0 for ASCII letters and digits."""
    kinds = np.zeros(256, np.uint8)
    kinds[:32] = kinds[127] = _OTHER
    kinds[[byte for byte in range(33, 127) if not chr(byte).isalnum()]] = _SINGLE
    kinds[0x20] = _SPACE
    kinds[0x80:] = _OTHER
    kinds[0x80:0xC0] = _CONTINUATION
    kinds[0xE4:0xEA] = _IDEOGRAPH  # U+4000 to U+9FFF; see _ideographs
    return kinds


_KIND_OF = _kinds().tobytes()
_IS_ODD = (_kinds() > _SINGLE).tobytes()


class Words(NamedTuple):
    """The pieces of some sentences."""

    pieces: pa.StringArray  # (pieces,) of all sentences, in order; ASCII letters lowered where asked
    offsets: NDArray[np.int64]  # (sentences + 1,) sentence s is the pieces offsets[s] : offsets[s + 1]


def split_words(sentences: pa.StringArray, *, lowercase: bool) -> Words:
    """Cut sentences into pieces.

    Args:
        sentences: without nulls.
        lowercase: lower the ASCII letters; right wherever the normaliser lower-cases, as it does so again.
    """
    raw, bounds = _content(sentences)
    if not raw:
        return Words(pa.array([], pa.string()), np.zeros(len(sentences) + 1, np.int64))
    kinds = np.frombuffer(raw.translate(_KIND_OF), np.uint8)
    starts, kept = _starts(raw, kinds, bounds)
    # Places in the text without its spaces: `before[i]` bytes are kept before byte i.
    before = np.zeros(len(raw) + 1, np.int32)
    np.cumsum(kept, out=before[1:])
    offsets = np.append(before[starts], before[-1])
    text = raw.translate(_LOWERED if lowercase else None, b" ")
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    pieces = pa.Array.from_buffers(pa.string(), len(starts), buffers)
    return Words(pieces, np.searchsorted(starts, bounds))


def _starts(
    raw: bytes, kinds: NDArray[np.uint8], bounds: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where pieces begin, and which bytes belong to one (all but spaces)."""
    kept = kinds != _SPACE
    cut = kinds == _SINGLE  # first as: a piece of its own, so that one begins here and behind it
    after = ~kept
    after |= cut
    cut[1:] |= after[:-1]
    cut[bounds[:-1][bounds[:-1] < len(raw)]] = True
    if (kinds == _IDEOGRAPH).any():
        places = _ideographs(raw, kinds)
        cut[places] = True
        behind = places + 3
        cut[behind[behind < len(raw)]] = True
    cut &= kept
    return np.flatnonzero(cut), kept


def _ideographs(raw: bytes, kinds: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where the characters U+4E00 to U+9FFF begin: of those that E4 leads, only from E4 B8 on."""
    places = np.flatnonzero(kinds == _IDEOGRAPH)
    text = np.frombuffer(raw, np.uint8)
    return places[(text[places] > 0xE4) | (text[places + 1] >= 0xB8)]


def _content(texts: pa.StringArray) -> tuple[bytes, NDArray[np.int32]]:
    """The UTF-8 bytes of all texts, and where each begins among them (texts + 1,)."""
    if not len(texts):
        return b"", np.zeros(1, np.int32)
    bounds = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    data = texts.buffers()[2]
    return bytes(memoryview(data)[bounds[0] : bounds[-1]]) if data else b"", bounds - bounds[0]


def is_plain(pieces: pa.StringArray) -> NDArray[np.bool_]:
    """Which pieces are words as they stand: ASCII without control characters."""
    raw, bounds = _content(pieces)
    odd = np.zeros(len(raw) + 1, np.int64)
    np.cumsum(np.frombuffer(raw.translate(_IS_ODD), np.uint8), out=odd[1:])
    found: NDArray[np.bool_] = np.diff(odd[bounds]) == 0
    return found


def count_spaced(sentences: pa.StringArray) -> int:
    """How many words there are between spaces (U+0020), the ends of sentences being spaces too."""
    raw, bounds = _content(sentences)
    if not raw:
        return 0
    letter = np.frombuffer(raw, np.uint8) != 0x20
    begins = letter.copy()
    begins[1:] &= ~letter[:-1]
    starts = bounds[:-1][bounds[:-1] < len(raw)]
    begins[starts] = letter[starts]
    return int(np.count_nonzero(begins))


def count_ideographs(sentences: pa.StringArray) -> NDArray[np.int64]:
    """How many characters U+4E00 to U+9FFF each sentence has (sentences,)."""
    raw, bounds = _content(sentences)
    if not raw or np.frombuffer(raw, np.uint8).max() < 0xE4:
        return np.zeros(len(sentences), np.int64)
    places = _ideographs(raw, np.frombuffer(raw.translate(_KIND_OF), np.uint8))
    return np.diff(np.searchsorted(places, bounds))
