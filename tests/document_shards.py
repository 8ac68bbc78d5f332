"""Documents as stage documents writes them, for tests of what reads them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from bertline.corpus.parquet import SCHEMA, DocumentWriter


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
