"""What the quickstart's four tasks share: their rows come from the docstrings in data/raw/python-docs.jsonl.

The tasks themselves are docs_topic.py, docs_pair.py, docs_params.py and docs_qa.py. A whole module is in one split
(`docs_split`), the corpus leaves test modules out of pre-training, and what occurs in several splits stays in the
first of train, validation, test alone (`without_repeats`): nothing that a test row shows was pre-trained or trained on.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from bertline.base.errors import BertlineError
from bertline.base.files import read_jsonl
from bertline.tasks.hashing import stable_hash

T = TypeVar("T")
Split = Literal["train", "validation", "test"]
DOCS_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
RAW_FILE = "python-docs.jsonl"
_COLUMNS = ("package", "module", "name", "kind", "text")


@dataclass(frozen=True)
class Doc:
    """One docstring of the raw file; `id` is unique: module:name, and #2 for a second of that name."""

    id: str
    package: str
    module: str
    name: str
    text: str

    @property
    def split(self) -> Split:
        return docs_split(self.module)


def docs_split(module: str) -> Split:
    """The split of a module, by its whole dotted name: 80 % train, 10 % validation, 10 % test, by a stable hash."""
    bucket = stable_hash("split", module) % 10
    return "test" if bucket == 0 else "validation" if bucket == 1 else "train"


def read_docs(raw: Path) -> list[Doc]:
    """Read the docstrings under `raw`, in the order of the file.

    Raises:
        BertlineError: the file is missing or a row lacks a column.
    """
    path = raw / RAW_FILE
    if not path.exists():
        fix = "Add `address: 'python-docs:'` to download.sources, or take the tasks of docs_* builders out of tasks"
        raise BertlineError("file not found (the docs tasks are made from it)", where=str(path), fix=fix)
    docs: list[Doc] = []
    seen: Counter[str] = Counter()
    for number, row in enumerate(read_jsonl(path), start=1):
        missing = [column for column in _COLUMNS if not isinstance(row.get(column), str)]
        if missing:
            where = f"{path}, line {number}"
            raise BertlineError(f"no text in column {missing[0]!r}", where=where, fix="Run `dvc repro -f download`")
        key = f"{row['module']}:{row['name']}"
        seen[key] += 1
        unique = key if seen[key] == 1 else f"{key}#{seen[key]}"
        docs.append(Doc(unique, row["package"], row["module"], row["name"], row["text"]))
    return docs


def by_split(items: Iterable[T], split: Callable[[T], Split]) -> dict[Split, list[T]]:
    """Items of each split, in their order."""
    parts: dict[Split, list[T]] = {name: [] for name in DOCS_SPLITS}
    for item in items:
        parts[split(item)].append(item)
    return parts


def without_repeats(parts: Mapping[Split, Sequence[T]], key: Callable[[T], Hashable]) -> dict[Split, list[T]]:
    """Keep the first item of each key over train, validation and test in this order.

    A test text that also stands in a training module was pre-trained on, so it is the test row that goes.
    """
    seen: set[Hashable] = set()
    kept: dict[Split, list[T]] = {}
    for name in DOCS_SPLITS:
        kept[name] = []
        for item in parts[name]:
            mark = key(item)
            if mark not in seen:
                seen.add(mark)
                kept[name].append(item)
    return kept


def shorten(text: str, limit: int) -> str:
    """The text, cut after the last whole word within `limit` characters."""
    return text if len(text) <= limit else text[: limit + 1].rpartition(" ")[0] or text[:limit]
