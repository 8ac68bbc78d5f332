"""Documents as stage documents writes them, for tests of what reads or writes them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from bertline.corpus.parquet import SCHEMA, DocumentWriter, read_row_group, row_groups


def write_shards(directory: Path, split: str, documents: Sequence[Sequence[str]], sources: Sequence[str] = ()) -> Path:
    """Write the sentences of each document as one split; `sources` says where each is from, if it matters."""
    names = sources or ["test"] * len(documents)
    rows = [
        {"id": str(number), "source": names[number], "title": "", "sentences": list(sentences)}
        for number, sentences in enumerate(documents)
    ]
    with DocumentWriter(directory, split) as writer:
        sizes = [sum(map(len, sentences)) for sentences in documents]
        writer.add(pa.Table.from_pylist(rows, schema=SCHEMA), np.array(sizes, np.int64))
    return directory


def read_sentences(directory: Path, split: str) -> Iterator[list[list[str]]]:
    """The sentences of each document of a split, a row group of documents at a time."""
    return (read_row_group(group).to_pylist() for group in row_groups(directory, split))
