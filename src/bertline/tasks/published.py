"""Benchmarks as they are published: where their files are, what is in them, and how they are scored.

A `Benchmark` is an entry of the catalogue (glue.py, squad.py, conll.py, reviews.py; all of them: benchmarks.py). Its
files are fetched once into `data/downloads/<host>/<path>`, laid out as BERTLINE_MIRROR is, and taken from there as long
as their hash is right.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bertline.base.config import Kind
from bertline.base.download_config import Source
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_file
from bertline.tasks.hashing import stable_hash
from bertline.tasks.schema import SPLITS, Row

Fetch = Callable[[Source, Path], None]
"""Puts the file at an address into a directory or below it, checked; the stage brings it along."""


@dataclass(frozen=True)
class PublishedFile:
    """A file of a benchmark.

    Attributes:
        places: where it is to be had, tried in order, the official one last; each with its hash, where that is known.
        bytes: its size at the official place; 0: not known.
    """

    places: tuple[Source, ...]
    bytes: int = 0

    @property
    def address(self) -> str:
        """The official address."""
        return self.places[-1].address

    @classmethod
    def at(cls, address: str, size: int = 0, *sha256: str) -> "PublishedFile":
        """A file at one address, any of whose hashes is right (the same rows may have been packed again)."""
        return cls((Source(address, sha256=" ".join(sha256)),), size)


@dataclass(frozen=True)
class Parts:
    """The rows of a benchmark, before validation rows are cut from the training rows where it has none.

    Attributes:
        rows: split (train, validation, test, test_…) -> labelled rows.
        groups: a text for each training row; rows with the same one are never cut apart. Empty: the row's first text.
        submission: name of a file of a submission -> rows without labels, in the order of the server.
        drop_empty: training rows with an empty text are left out, once all were counted.
    """

    rows: Mapping[str, Sequence[Row]]
    groups: Sequence[str] = ()
    submission: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    drop_empty: bool = False


@dataclass(frozen=True)
class Benchmark:
    """An entry of the catalogue.

    Attributes:
        title: what people call it.
        kind: decides the head and the form of the rows.
        files: role -> file.
        read: makes the rows from the fetched files, by role.
        rows: split, or name of a file of a submission -> how many rows there are, as published.
        metrics: how the benchmark is scored, the primary metric first.
        positive: the label that metric f1 is of.
        licence: under which it may be used.
    """

    title: str
    kind: Kind
    files: Mapping[str, PublishedFile]
    read: Callable[[Mapping[str, Path]], Parts]
    rows: Mapping[str, int]
    metrics: tuple[str, ...]
    positive: str = ""
    licence: str = ""

    @property
    def submission_files(self) -> tuple[str, ...]:
        """Names of the files of a submission that this benchmark has rows for."""
        return tuple(name for name in self.rows if name not in SPLITS and not name.startswith("test_"))

    @property
    def source(self) -> str:
        """Title and official addresses, in words."""
        return f"{self.title} ({', '.join(file.address for file in self.files.values())})"


class Downloads:
    """The files of benchmarks on this machine: `path` fetches what is not there, or not right."""

    def __init__(self, directory: Path, fetch: Fetch) -> None:
        """Keep files below `directory`; get them with `fetch`."""
        self._directory = directory
        self._fetch = fetch

    def path(self, file: PublishedFile, task: str) -> Path:
        """Where a file is, fetched and checked.

        Raises:
            BertlineError: no place has the file; names the task and every place.
        """
        for place in file.places:
            path = self._local(place)
            if path.is_file() and (not place.sha256 or sha256_file(path) in place.sha256.split()):
                return path
        problems = []
        for place in file.places:
            try:
                return self._get(place)
            except BertlineError as error:
                problems.append(error)
        where = f"task {task}, {file.address}"
        what = "; ".join(error.what for error in problems)
        raise BertlineError(what, where=where, fix=problems[-1].fix) from None

    def _local(self, place: Source) -> Path:
        path, _, query = place.address.partition(":")[2].partition("?")
        kept = self._directory / path.strip("/")
        # What differs in the query alone is another file, of the same name.
        return kept.parent / f"{stable_hash(query):016x}" / kept.name if query else kept

    def _get(self, place: Source) -> Path:
        path = self._local(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two tasks may want the same file at the same time: each fetches its own, and the last one stays.
        temporary = Path(tempfile.mkdtemp(dir=self._directory, prefix=".", suffix=".tmp"))
        try:
            self._fetch(place, temporary)
            file = _only_file(temporary, place.address)
            if path.is_dir():  # of an earlier version, which took the folder for the file
                shutil.rmtree(path)
            file.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return path


def _only_file(directory: Path, address: str) -> Path:
    """What came from an address; one of the Hub is in folders."""
    files = [found for found in directory.rglob("*") if found.is_file()]
    if len(files) > 1:
        fix = "Task rows are one file: name one (braces are for download.sources)"
        raise BertlineError(f"{len(files)} files came from there", where=address, fix=fix)
    return files[0]
