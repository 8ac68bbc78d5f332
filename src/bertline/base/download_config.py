"""The options of section `download`: where the corpus comes from. A part of config.py in a file of its own."""

import re
from dataclasses import dataclass
from typing import Literal

from bertline.base.options import STRICT, not_negative, option, require


@dataclass(frozen=True)
class Source:
    """A place to fetch text from."""

    __pydantic_config__ = STRICT
    address: str = option("", "python-docs:[package+package], file:PATH, https://…, hf://datasets/…, or mirror:NAME")
    sha256: str = option("", "expected hash of the file (any of several, with spaces); empty: not checked", rare=True)
    bytes: int = option(0, "expected size of the file; 0: not checked", rare=True)
    licence: str = option("", "recorded in manifest.json", rare=True)
    format: Literal["", "text", "book", "jsonl", "parquet", "wikiextractor"] = option(
        "", "how the files are read; empty: told by name and content", rare=True
    )
    folder: str = option("", "folder under data/raw for its files, where two sources have the same name", rare=True)
    unpack: Literal["archives", "all", "nothing"] = option(
        "archives", "zip and tar become folders, .zst files are decompressed; all: also .gz, .bz2, .xz", rare=True
    )
    max_unpacked: int = option(
        0, "bytes that it may unpack to; 0: 100 times its size, 64 MiB at least and 256 GiB at most", rare=True
    )

    def __post_init__(self) -> None:
        hashes = all(re.fullmatch("[0-9a-f]{64}", value) for value in self.sha256.split())
        require(hashes, "sha256", "must be 64 digits 0-9 a-f")
        not_negative(self, "bytes", "max_unpacked")
        inside = not self.folder.startswith("/") and ".." not in self.folder.split("/")
        require(inside, "folder", "must be a relative path, without ..")


@dataclass(frozen=True)
class Download:
    """Stage download."""

    __pydantic_config__ = STRICT
    sources: list[Source] = option(
        [Source("python-docs:", licence="as each package")], "where the corpus comes from, in order"
    )

    def __post_init__(self) -> None:
        require(bool(self.sources), "sources", "name at least one source")
