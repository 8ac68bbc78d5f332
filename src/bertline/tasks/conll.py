"""Files of columns, a word a line, as in the CoNLL shared tasks; and CoNLL-2003's named entities."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bertline.base.errors import BertlineError
from bertline.tasks.published import Benchmark, Parts, PublishedFile
from bertline.tasks.schema import Record, Row
from bertline.tasks.tag_schemes import of_entity, to_bio2

_DATA = "https://raw.githubusercontent.com/synalp/NER/c0ea07c81ec3512b5047dcd804b0ac2b10a3bdfc/corpus/CoNLL-2003"
_BETWEEN = re.compile(r"[ \t]+")  # other white space may be part of a word


def conll_records(lines: Iterable[str], shown: str) -> Iterator[Record]:
    """The sentences of a file: words from the first column, tags from the last; each column under its number, from 1.

    A file of words alone, one a line, has no tags.

    Blank lines, -DOCSTART- lines and comments of CoNLL-U (`# …` before a sentence) stand between sentences.

    Raises:
        BertlineError: a line has no tag, or another number of columns than the lines before.
    """
    sentence: list[list[str]] = []
    first = width = 0
    for number, line in enumerate((*lines, ""), start=1):
        columns = [column for column in _BETWEEN.split(line.strip(" \t\r\n")) if column]
        ends = not columns or columns[0] == "-DOCSTART-"
        if ends and sentence:
            numbered = {str(place): list(column) for place, column in enumerate(zip(*sentence, strict=True), start=1)}
            tags = {"tags": numbered[str(width)]} if width > 1 else {}
            yield f"{shown}, line {first}", {"words": numbered["1"], **tags, **numbered}
            sentence = []
        word = len(columns) == (width or 2) and of_entity(columns[-1])  # of a sentence that begins with #
        if ends or (line.startswith("# ") and not sentence and not word):
            continue
        where = f"{shown}, line {number}"
        if len(columns) == 1 and width > 1:
            what = f"one column ({columns[0]!r}), where a word and its tag belong"
            raise BertlineError(what, where=where, fix="Write `word tag`")
        if width and len(columns) != width:
            what = f"{len(columns)} columns, and {width} in the lines before"
            raise BertlineError(what, where=where, fix="Give every line the same columns, the tag last")
        first, width = first if sentence else number, len(columns)
        sentence.append(columns)


def _read(files: Mapping[str, Path]) -> Parts:
    return Parts({split: list(_rows(path)) for split, path in files.items()})


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for number, (_, record) in enumerate(conll_records(lines, path.name)):
            name = path.suffix.removeprefix(".")
            yield {"id": f"{name}-{number}", "words": record["words"], "tags": to_bio2(record["tags"])}


CONLL: Mapping[str, Benchmark] = {
    "conll2003": Benchmark(
        "CoNLL-2003 NER, English",
        "tagging",
        {
            "train": PublishedFile.at(
                f"{_DATA}/eng.train", 3_281_528, "eac0822f501353f265383ddf1edb0dcd42a1b6eefd3e383d7074db98c38eb41c"
            ),
            "validation": PublishedFile.at(
                f"{_DATA}/eng.testa", 827_012, "aedc4ccbd1ae9795feaa0e86fe72d195b0258abed9d705b630d1c889276fac1e"
            ),
            "test": PublishedFile.at(
                f"{_DATA}/eng.testb", 748_096, "0632f32c090ef31c223135b7fee3187a7cf8e65c4015c7866bb7783428cdd9a6"
            ),
        },
        _read,
        {"train": 14_041, "validation": 3250, "test": 3453},
        ("f1", "precision", "recall", "accuracy"),
        licence="research",
    )
}
