"""Readers: the files under data/raw as a stream of documents, whatever their size.

    for document in read_documents(Path("data/raw")): ...

| format | what a document is |
|---|---|
| text | a paragraph a line, an empty line between documents; a file without empty lines is one document |
| book | the file, or each of Project Gutenberg's in it; empty lines between paragraphs of wrapped lines; no licence |
| jsonl | a line: {"text": …, "title": …}; the title (or an id) is optional, line breaks end paragraphs |
| parquet | a row, of the columns text and, where there is one, title |
| wikiextractor | <doc id=… title=…> … </doc>; its --json output is jsonl |
| python-docs | the documentation of Python packages (python-docs.jsonl) |

A file's format is told by its name, else by its content (corpus/raw_files.py), or said by `format` of its source. Files
of a folder are read one by one, sorted by name. All but Parquet may be compressed (.xz, .gz, .bz2, .zst). Text and
books are held in parts of bounded size: a line or a document without end does not fill the memory. Of JSONL a whole
line is in memory, of Parquet some rows, of WikiExtractor a document.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from bertline.base.errors import BertlineError
from bertline.base.files import JsonRow, read_json, read_jsonl, visible
from bertline.base.messages import say
from bertline.corpus.plain_text import read_book, read_plain_text
from bertline.corpus.raw_files import kind
from bertline.corpus.records import Document, read_jsonl_documents, read_parquet, read_wikiextractor
from bertline.tasks.docs import docs_split

MANIFEST = "manifest.json"
_SHORT = 400  # characters; docstrings shorter than this are gathered into a document of their module


def read_documents(raw: Path) -> Iterator[Document]:
    """All documents of the sources in manifest.json, in its order; a source without one is told of.

    Raises:
        BertlineError: the manifest or a file is missing, damaged, or not of its format.
    """
    for source in read_json(raw / MANIFEST)["sources"]:
        path = raw / source["path"]
        empty = True
        try:
            for file in filter(Path.is_file, visible(path)) if path.is_dir() else [path]:
                for document in READERS[source.get("format") or kind(file)](file):
                    empty = False
                    yield document
        except BertlineError as error:  # it names the copy, which nobody can mend
            fix = f"{error.fix}. It came from {source['address']}; what is changed in {raw} itself, the next run undoes"
            raise BertlineError(error.what, where=error.where, fix=fix) from None
        if empty:
            say(f"{path}: there is no document in it")


def read_python_docs(path: Path) -> Iterator[Document]:
    """Documents of python-docs.jsonl: a top-level class with its methods, a function, or the short rest of a module.

    Modules whose text the docs tasks are tested on are left out.
    """
    for (package, module), rows in groupby(read_jsonl(path), key=lambda row: (row["package"], row["module"])):
        if docs_split(module) == "test":
            continue
        short: list[str] = []
        for name, members in groupby(rows, key=_top_level):
            texts = [row["text"] for row in members]
            if name and sum(map(len, texts)) >= _SHORT:
                yield Document(package, f"{module}.{name}", tuple(texts), docstrings=True)
            else:
                short += texts
        if short:
            yield Document(package, module, tuple(short), docstrings=True)


def _top_level(row: JsonRow) -> str:
    return str(row["name"]).partition(".")[0]


READERS: Mapping[str, Callable[[Path], Iterator[Document]]] = {
    "text": read_plain_text,
    "book": read_book,
    "jsonl": read_jsonl_documents,
    "parquet": read_parquet,
    "wikiextractor": read_wikiextractor,
    "python-docs": read_python_docs,
}
