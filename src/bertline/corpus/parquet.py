"""Documents on disk: {train,validation}-NNNNN.parquet with the columns id, source, title, sentences.

Written and read in row groups of bounded size, in files of bounded size, so that memory does not grow with the corpus.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bertline.base.errors import BertlineError, reason

SPLITS = ("train", "validation")
SCHEMA = pa.schema(
    [("id", pa.string()), ("source", pa.string()), ("title", pa.string()), ("sentences", pa.list_(pa.string()))]
)
_GROUP_CHARACTERS = 4_000_000
_GROUP_ROWS = 8192
_FILE_CHARACTERS = 128_000_000
_REMAKE = "Make it anew with `dvc repro documents`"


class DocumentWriter:
    """Writes one split; a context manager. What it writes does not depend on how the documents come in pieces."""

    def __init__(self, directory: Path, split: str) -> None:
        self._directory, self._split = directory, split
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.Table] = []
        self._rows = self._characters = 0  # held
        self._in_file = self._files = 0

    def __enter__(self) -> "DocumentWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(self, documents: pa.Table, characters: NDArray[np.int64]) -> None:
        """Append documents; `characters` is the size of each."""
        while len(documents):
            running = np.cumsum(characters) + self._characters
            full = int(np.searchsorted(running, _GROUP_CHARACTERS)) + 1  # the first document that fills the group
            taken = min(full, _GROUP_ROWS - self._rows, len(documents))
            self._held.append(documents.slice(0, taken))
            self._rows += taken
            self._characters = int(running[taken - 1])
            if self._characters >= _GROUP_CHARACTERS or self._rows >= _GROUP_ROWS:
                self._flush()
            documents, characters = documents.slice(taken), characters[taken:]

    def _flush(self) -> None:
        """Write what is held as one row group."""
        if not self._rows:
            return
        if self._writer is not None and self._in_file >= _FILE_CHARACTERS:
            self._writer.close()
            self._writer, self._in_file = None, 0
        if self._writer is None:
            path = self._directory / f"{self._split}-{self._files:05}.parquet"
            self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=["source"])
            self._files += 1
        self._writer.write_table(pa.concat_tables(self._held).combine_chunks(), row_group_size=self._rows)
        self._in_file += self._characters
        self._held, self._rows, self._characters = [], 0, 0


class RowGroup(NamedTuple):
    """A part of a split, small enough to hold in memory: what workers are given."""

    path: Path
    number: int


def row_groups(directory: Path, split: str) -> list[RowGroup]:
    """The row groups of a split, in order.

    Raises:
        BertlineError: the split has no file, or a file is damaged.
    """
    paths = sorted(directory.glob(f"{split}-*.parquet"))
    if not paths:
        raise BertlineError(f"no {split}-*.parquet", where=str(directory), fix=_REMAKE)
    groups: list[RowGroup] = []
    for path in paths:
        with _opened(path) as file:
            groups += [RowGroup(path, number) for number in range(file.num_row_groups)]
    return groups


def read_row_group(group: RowGroup) -> pa.ListArray:
    """The sentences of each document of a row group, as an Arrow column.

    Raises:
        BertlineError: the file is damaged.
    """
    return _column(group, "sentences")


def read_sources(group: RowGroup) -> pa.StringArray:
    """The source of each document of a row group, as an Arrow column.

    Raises:
        BertlineError: the file is damaged.
    """
    return _column(group, "source")


def _column(group: RowGroup, name: str) -> pa.Array:
    with _opened(group.path) as file:
        return file.read_row_group(group.number, [name], use_threads=False).column(0).combine_chunks()


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise BertlineError(f"not a whole corpus file ({reason(error)})", where=str(path), fix=_REMAKE) from None
