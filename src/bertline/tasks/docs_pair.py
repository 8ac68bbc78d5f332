"""docs_pair (pair): do this summary and this description belong to the same object?

Half of the rows pair a summary with its own description; the other half with the description of another docstring of
the same package and split, so that the topic alone does not tell. Every summary and every description occurs once, so
that neither tells by itself, and the object's own name is masked where it stands in both. Next-sentence prediction of
BERT's pre-training is the same question about running text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bertline.base.words import normalised
from bertline.tasks.docs import DOCS_SPLITS, Doc, Split, by_split, shorten, without_repeats
from bertline.tasks.docstrings import summary_and_description
from bertline.tasks.hashing import sample, stable_hash
from bertline.tasks.schema import Row

MASK = "[MASK]"
SAME, OTHER = "same", "other"
ROWS: dict[Split, int] = {"train": 8000, "validation": 600, "test": 1200}
MIN_SUMMARY_WORDS, MIN_DESCRIPTION_WORDS = 4, 8
MAX_CHARACTERS = 240


@dataclass(frozen=True)
class _Described:
    doc: Doc
    summary: str
    description: str


def build(docs: Sequence[Doc]) -> dict[Split, list[Row]]:
    """Rows of each split, half of them SAME and half OTHER, in every package."""
    described = [item for doc in docs if (item := _described(doc))]
    parts = by_split(described, lambda item: item.doc.split)
    parts = without_repeats(parts, lambda item: normalised(item.summary))
    parts = without_repeats(parts, lambda item: normalised(item.description))
    return {split: _rows(sample(parts[split], ROWS[split], lambda item: item.doc.id)) for split in DOCS_SPLITS}


def _described(doc: Doc) -> _Described | None:
    summary, description = summary_and_description(doc.text)
    long_enough = (
        len(normalised(summary).split()) >= MIN_SUMMARY_WORDS
        and len(normalised(description).split()) >= MIN_DESCRIPTION_WORDS
    )
    if not long_enough or not summary[0].isalnum():
        return None
    name = re.compile(rf"\b{re.escape(doc.name.rpartition('.')[2])}\b", re.IGNORECASE)
    if doc.name and name.search(summary) and name.search(description):
        summary, description = name.sub(MASK, summary), name.sub(MASK, description)
    return _Described(doc, shorten(summary, MAX_CHARACTERS), shorten(description, MAX_CHARACTERS))


def _rows(items: Sequence[_Described]) -> list[Row]:
    """Half of the items of each package as they are; the descriptions of the other half go round among them."""
    packages: dict[str, list[_Described]] = {}
    for item in sorted(items, key=lambda item: (stable_hash("pair", item.doc.id), item.doc.id)):
        packages.setdefault(item.doc.package, []).append(item)
    rows: list[Row] = []
    for package in sorted(packages):
        same, other = packages[package][0::2], packages[package][1::2]
        rows += [_row(item, item, SAME) for item in same]
        if len(other) > 1:  # a single one has nobody to change with
            rows += [_row(item, giver, OTHER) for item, giver in zip(other, [*other[1:], other[0]], strict=True)]
    return sorted(rows, key=lambda row: str(row["id"]))


def _row(item: _Described, giver: _Described, label: str) -> Row:
    return {"id": item.doc.id, "text": item.summary, "text_pair": giver.description, "label": label}
