"""Tab-separated tables as benchmarks publish them: a heading, nothing quoted, a row a line."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bertline.base.errors import BertlineError, reason

Record = tuple[str, dict[str, str]]
_AGAIN = "Fetch it anew: remove the file, and run the task again"


def tsv_records(
    lines: Iterable[str], shown: str, heading: Sequence[str] = (), *, drop_short: bool = False
) -> Iterator[Record]:
    """The rows of a table, each with file and line for messages. A quote is a character like any other.

    Args:
        lines: of the table, the heading first.
        shown: how messages call the table.
        heading: names of the columns, where the table has none.
        drop_short: leave out rows with too few fields (QQP has some; every published count is without them).

    Raises:
        BertlineError: a row has too few fields.
    """
    for number, line in enumerate(lines, start=1):
        fields = line.rstrip("\n").split("\t")
        where = f"{shown}, line {number}"
        if not heading:
            heading = fields
        elif len(fields) >= len(heading):
            yield where, dict(zip(heading, fields, strict=False))
        elif line.strip() and not drop_short:
            raise BertlineError(f"{len(fields)} fields under {len(heading)} headings", where=where, fix=_AGAIN)


@contextmanager
def open_member(archive: Path, name: str) -> Iterator[Iterable[str]]:
    """The lines of a file of a zip, found by its own name whatever folder it is in (the one nearest to the root).

    Raises:
        BertlineError: it is no zip, has no such file, or the file is not UTF-8.
    """
    try:
        with zipfile.ZipFile(archive) as packed, packed.open(_member(packed, archive, name)) as stream:
            yield io.TextIOWrapper(stream, encoding="utf-8-sig")
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise BertlineError(f"not a readable zip ({error})", where=f"{archive}, {name}", fix=_AGAIN) from None


@contextmanager
def open_tar_member(archive: Path, name: str) -> Iterator[Iterable[str]]:
    """The lines of a file of a tar, compressed or not, by its whole name.

    Raises:
        BertlineError: it is no tar, has no such file, or the file is not UTF-8.
    """
    try:
        with tarfile.open(archive) as packed:
            stream = packed.extractfile(name) if name in packed.getnames() else None
            if stream is None:
                raise BertlineError(f"no {name} in it", where=str(archive), fix=_AGAIN)
            yield io.TextIOWrapper(stream, encoding="utf-8-sig")
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise BertlineError(f"not a readable tar ({reason(error)})", where=f"{archive}, {name}", fix=_AGAIN) from None


def _member(packed: zipfile.ZipFile, archive: Path, name: str) -> str:
    paths = [PurePosixPath(found) for found in packed.namelist()]
    found = [path for path in paths if path.name == name and path.parts[0] != "__MACOSX"]
    if not found:
        raise BertlineError(f"no {name} in it", where=str(archive), fix=_AGAIN)
    return str(min(found, key=lambda path: len(path.parts)))
