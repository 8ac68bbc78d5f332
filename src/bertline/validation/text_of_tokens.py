"""Do the ids of a token store stand for the text of the documents? A sample is encoded anew and looked for.

    fault = text_fault(Path("data/documents"), "train", Path("data/vocab/tokenizer.json"), store)

The `tokenizers` library itself does it, not our encoder. A stage that drops documents on its way moves the others up,
so a document is looked for between its own place and as many places before it as documents are missing; and one that
is not found must have moved all behind it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bertline.base.errors import reason
from bertline.validation.frames import shorten

_GROUPS, _DOCUMENTS = 8, 16  # row groups of a split, and documents of each, both spread over all
_SPARED = 0.5  # of a sample may be lacking beyond the share that the store lacks: what was dropped stands in clusters


class Offsets(NamedTuple):
    """A token store's arrays."""

    ids: NDArray[np.integer]
    sentences: NDArray[np.integer]
    documents: NDArray[np.integer]


def text_fault(documents: Path, split: str, tokenizer: Path, store: Offsets) -> str:
    """What of a sample of documents is not in the store, or the empty text.

    Args:
        documents: directory with {split}-*.parquet.
        split: train or validation.
        tokenizer: tokenizer.json.
        store: with offsets that are whole.
    """
    try:
        sample, count = _sample(sorted(documents.glob(f"{split}-*.parquet")))
        encode = Tokenizer.from_file(str(tokenizer))
        encode.encode_special_tokens = True  # "[MASK]" in a text is a word in brackets, as for the encoder
    except (pa.ArrowException, OSError, KeyError) as error:
        return f"documents cannot be read: {reason(error, 80)}"
    except Exception as error:  # the library raises a plain Exception
        return f"tokenizer.json cannot be loaded: {reason(error, 80)}"
    missing = max(count - (len(store.documents) - 1), 0)
    starts = store.sentences[store.documents]  # of each document among the ids, and the end
    lacking: list[list[str]] = []
    dropped = 0  # before this document, at least
    for place, text in sample:
        places = range(max(place - missing, 0), place - dropped + 1)
        found = _last_place(_ids(encode, text), places, store.ids, starts)
        dropped = dropped + 1 if found is None else place - found
        lacking += [text] if found is None else []
    allowed = min((_SPARED + missing / count) * len(sample), len(sample) - 1) if missing else 0
    if len(lacking) <= allowed and dropped <= missing:
        return ""
    return f"{len(lacking)} of {len(sample)} documents have other ids: {shorten(lacking[0][0])}"


def _sample(shards: list[Path]) -> tuple[list[tuple[int, list[str]]], int]:
    """(place in the split, sentences) of some documents, and how many the split has."""
    groups = list(_row_groups(shards))
    count = sum(rows for _, _, _, rows in groups)
    step = max(-(-len(groups) // _GROUPS), 1)
    sample: list[tuple[int, list[str]]] = []
    for path, group, first, _ in groups[::step]:  # a group has a bounded number of characters
        with pq.ParquetFile(path) as file:
            column = file.read_row_group(group, columns=["sentences"]).column(0)
        places = range(0, len(column), max(-(-len(column) // _DOCUMENTS), 1))
        texts = zip(places, column.take(pa.array(places, pa.int64())).to_pylist(), strict=True)
        sample += [(first + place, [part or "" for part in text or []]) for place, text in texts]
    return sample, count


def _row_groups(shards: list[Path]) -> Iterator[tuple[Path, int, int, int]]:
    """Path, number, first document and rows of each row group."""
    first = 0
    for path in shards:
        with pq.ParquetFile(path) as file:
            rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        for group, count in enumerate(rows):
            yield path, group, first, count
            first += count


def _ids(tokenizer: Tokenizer, sentences: list[str]) -> NDArray[np.int64]:
    encoded = tokenizer.encode_batch(sentences, add_special_tokens=False)
    return np.array([token for sentence in encoded for token in sentence.ids], np.int64)


def _last_place(
    wanted: NDArray[np.int64], places: range, ids: NDArray[np.integer], starts: NDArray[np.integer]
) -> int | None:
    """The last of some places in the store at which a document's ids stand."""
    places = range(places.start, min(places.stop, len(starts) - 1))
    near = np.diff(starts[places.start : max(places.stop, places.start) + 1])
    candidates = places.start + np.flatnonzero(near == len(wanted))[::-1]
    return next(
        (int(at) for at in candidates if np.array_equal(ids[starts[at] : starts[at + 1]], wanted)),
        None,
    )
