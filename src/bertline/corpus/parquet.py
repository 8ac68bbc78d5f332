"""Documents on disk: {train,validation}-00000.parquet with the columns id, source, title, sentences.

Written and read in row groups of bounded size, so that memory does not grow with the corpus.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from bertline.base.errors import BertlineError

SPLITS = ("train", "validation")
_SCHEMA = pa.schema(
    [("id", pa.string()), ("source", pa.string()), ("title", pa.string()), ("sentences", pa.list_(pa.string()))]
)
_GROUP_CHARACTERS = 4_000_000
_GROUP_ROWS = 8192
_REMAKE = "Make it anew with `dvc repro documents`"


@dataclass(frozen=True)
class CleanDocument:
    """A document ready for training: cleaned, split into sentences, and one of its kind."""

    id: str
    source: str
    title: str
    sentences: list[str]


class DocumentWriter:
    """Writes one split; a context manager."""

    def __init__(self, directory: Path, split: str) -> None:
        self._writer = pq.ParquetWriter(directory / f"{split}-00000.parquet", _SCHEMA, compression="zstd")
        self._rows: list[CleanDocument] = []
        self._characters = 0
        self.documents = self.sentences = 0

    def __enter__(self) -> "DocumentWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(self, document: CleanDocument) -> None:
        self._rows.append(document)
        self._characters += sum(map(len, document.sentences))
        self.documents += 1
        self.sentences += len(document.sentences)
        if self._characters >= _GROUP_CHARACTERS or len(self._rows) >= _GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = {name: [getattr(row, name) for row in self._rows] for name in _SCHEMA.names}
            self._writer.write_table(pa.table(columns, schema=_SCHEMA))
            self._rows, self._characters = [], 0


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
    with _opened(group.path) as file:
        return file.read_row_group(group.number, ["sentences"], use_threads=False).column(0).combine_chunks()


def read_sentences(directory: Path, split: str) -> Iterator[list[list[str]]]:
    """The sentences of each document of a split, a row group of documents at a time.

    Raises:
        BertlineError: the split has no file, or a file is damaged.
    """
    for group in row_groups(directory, split):
        yield read_row_group(group).to_pylist()


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        problem = " ".join(str(error).split())
        raise BertlineError(f"not a whole corpus file ({problem})", where=str(path), fix=_REMAKE) from None
