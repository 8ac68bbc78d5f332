"""Which documents stay: decided for the whole corpus at once, in its order, from fingerprints.

corpus = Corpus.gather(scratch, parts)      # the fingerprints of all parts, in order
verdicts = decide(corpus, config)           # a rule a document, and the split
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertline.base.config import Documents
from bertline.corpus.block import KEY, Part, Places
from bertline.corpus.contamination import contaminated
from bertline.corpus.dedup import PLACES, Signatures, first_of_same, is_validation, near_duplicates

KEPT, DUPLICATE, NEAR_DUPLICATE, CONTAMINATED = 0, 1, 2, 3
RULES = {DUPLICATE: "duplicate", NEAR_DUPLICATE: "near_duplicate", CONTAMINATED: "contaminated"}

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Corpus:
    """The fingerprints of all documents; arrays are (documents,) where nothing else is said."""

    keys: NDArray[np.void]
    characters: Places
    sentences: Places
    signatures: Signatures  # (documents, PLACES), memory-mapped; (0, PLACES) if none were made
    sharing: Places  # (hits,) the document of each 13-gram shared with an evaluation row
    shared: Places  # (hits,) its place in the index
    spans: list[tuple[int, int]]  # the documents of each part
    counts: Counter[str]

    @classmethod
    def gather(cls, scratch: Path, parts: Iterable[Part]) -> "Corpus":
        """Put the parts together as they come; signatures go to a file."""
        path = scratch / "signatures.bin"
        fingerprints: list[Part] = []
        spans: list[tuple[int, int]] = []
        counts: Counter[str] = Counter()
        end = rows = 0
        with path.open("wb") as out:
            for part in parts:
                start, end = end, end + len(part.keys)
                spans.append((start, end))
                counts.update(part.counts)
                out.write(part.signatures.tobytes())
                rows += len(part.signatures)
                fingerprints.append(replace(part, signatures=part.signatures[:0].copy()))
        matrix = np.memmap(path, np.uint32, "r", shape=(rows, PLACES)) if rows else np.empty((0, PLACES), np.uint32)
        return cls(
            keys=np.concatenate([np.empty(0, KEY), *(part.keys for part in fingerprints)]),
            characters=_joined([part.characters for part in fingerprints]),
            sentences=_joined([part.sentences for part in fingerprints]),
            signatures=matrix,
            sharing=_joined([part.sharing + start for part, (start, _) in zip(fingerprints, spans, strict=True)]),
            shared=_joined([part.shared for part in fingerprints]),
            spans=spans,
            counts=counts,
        )


def _joined(arrays: list[Places]) -> Places:
    return np.concatenate([np.empty(0, np.int64), *arrays])


@dataclass(frozen=True)
class Verdicts:
    """What becomes of each document."""

    rules: NDArray[np.uint8]  # (documents,) KEPT, or the rule that drops it
    of: Places  # (documents,) the earlier document that it is a copy of, or -1
    validation: Mask  # (documents,) its split, should it stay
    telling: dict[int, int]  # contaminated document -> place in the index of the 13-gram that tells


def decide(corpus: Corpus, config: Documents) -> Verdicts:
    """Exact copies go first, then near ones, then what shares text with evaluation rows; the first of a kind stays."""
    count = len(corpus.keys)
    own = np.arange(count)
    of = first_of_same(corpus.keys)
    rules = np.where(of == own, KEPT, DUPLICATE).astype(np.uint8)
    of[of == own] = -1
    if len(corpus.signatures):
        near = near_duplicates(corpus.signatures, config.near_duplicates, rules == KEPT)
        rules[near >= 0] = NEAR_DUPLICATE
        of = np.where(near >= 0, near, of)
    telling = contaminated(corpus.sharing, corpus.shared, rules == KEPT, config.common_ngram)
    rules[list(telling)] = CONTAMINATED
    validation = [is_validation(key.tobytes(), config.validation_fraction) for key in corpus.keys]
    return Verdicts(rules, of, np.array(validation, bool), telling)
