"""docs_topic (classification): which package does this description come from?

The text is the prose of a docstring. Names of packages and what gives them away (`np`, `plt`, `pytorch`, …) are masked,
alone and inside longer names, so that the answer has to come from what the text is about.
"""

import re
from collections.abc import Iterable, Sequence

from bertline.base.words import normalised
from bertline.tasks.docs import DOCS_SPLITS, Doc, Split, by_split, shorten, without_repeats
from bertline.tasks.docstrings import summary_and_description
from bertline.tasks.hashing import sample
from bertline.tasks.schema import Row

MASK = "[MASK]"
ROWS_A_PACKAGE: dict[Split, int] = {"train": 800, "validation": 60, "test": 130}
MIN_WORDS = 6
MAX_CHARACTERS = 500

# What gives a package away: masked wherever it occurs, with the rest of its word (torchvision, MlflowException).
_TELLING = re.findall(
    r"\w+",
    "torch numpy scipy sklearn scikit pandas matplotlib pyplot mlflow databricks sqlalchemy transformers huggingface "
    "python",
)
# Masked as a whole word, also in dotted names (np.mean); too short to be masked inside words.
_ALIASES = frozenset(re.findall(r"\w+", "np pd plt mpl sa hf sp sk nn aten dynamo inductor"))


class NameMask:
    """Puts [MASK] for every word that names one of the packages."""

    def __init__(self, packages: Iterable[str]) -> None:
        self._telling = sorted({*_TELLING, *(name.lower() for name in packages)})
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        return _RUN.sub(MASK, _WORD.sub(self._replace, text))

    def _replace(self, match: re.Match[str]) -> str:
        word = match.group()
        if word not in self._known:
            lower = word.lower()
            tells = lower in _ALIASES or any(name in lower for name in self._telling)
            self._known[word] = MASK if tells else word
        return self._known[word]


_WORD = re.compile(r"\w+(?:-learn\b)?")
_RUN = re.compile(r"\[MASK\](?:[\s-]+\[MASK\])+")


def build(docs: Sequence[Doc]) -> dict[Split, list[Row]]:
    """Rows of each split, at most ROWS_A_PACKAGE of a package, so that no package dominates."""
    packages = sorted({doc.package for doc in docs})
    mask = NameMask(packages)
    rows: list[tuple[Split, Row]] = []
    for doc in docs:
        text = shorten(mask(" ".join(summary_and_description(doc.text)).strip()), MAX_CHARACTERS)
        if text[:1].isalnum() and len(normalised(text).replace("mask", "").split()) >= MIN_WORDS:
            rows.append((doc.split, {"id": doc.id, "text": text, "label": doc.package}))
    parts = without_repeats(by_split(rows, lambda pair: pair[0]), lambda pair: normalised(pair[1]["text"]))
    chosen: dict[Split, list[Row]] = {}
    for split in DOCS_SPLITS:
        chosen[split] = []
        for package in packages:
            some = [row for _, row in parts[split] if row["label"] == package]
            chosen[split] += sample(some, ROWS_A_PACKAGE[split], lambda row: str(row["id"]))
    return chosen
