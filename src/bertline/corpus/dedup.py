"""Duplicates, exact and near, and the split by content.

    key = content_key(words)                              # the same for texts that differ in case or punctuation alone
    is_validation(key, fraction=0.05)                     # a document's split never changes when the corpus grows
    first_of_same(keys)                                   # exact: document -> the first with its key
    matrix = signatures(documents)                        # MinHash, (documents, 128), from the words of each
    near_duplicates(matrix, threshold=0.8, alive=alive)   # document -> an earlier one that is nearly the same, or -1

MinHash (Broder 1997) is rensa's, in Rust: the share of equal places of two signatures estimates the Jaccard similarity
of two sets of n-grams. Locality-sensitive hashing finds the pairs to compare: two documents meet if all places of one
band agree; each pair that meets is then held to the threshold. One band is looked at at a time, as one sorted array of
NumPy: 8 bytes a document, where an index of Python objects (datasketch) takes kilobytes.
"""

import hashlib

import numpy as np
import rensa
from numpy.typing import NDArray

from bertline.corpus.words import Hashes, ngrams

SHINGLE = 5  # words
PLACES = 128  # of a signature
_SEED = 1
# Similarity s: two documents meet with probability 1 - (1 - s^4)^32: above 0.9999 at 0.75, 0.23 at 0.3.
_BANDS, _ROWS = 32, 4
_MOST_LEADERS = 64  # of one bucket: a document is compared to so many distinct earlier ones, not to all
_CHUNK = 65_536  # documents whose signatures are in memory at once

Signatures = NDArray[np.uint32]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


def content_key(words: Hashes) -> bytes:
    """128 bits, of the words of a text in lower case."""
    return hashlib.blake2b(words.astype("<u8").tobytes(), digest_size=16).digest()


def is_validation(key: bytes, fraction: float) -> bool:
    """Whether a document belongs to the validation split: a share `fraction` of all keys does."""
    return int.from_bytes(key[:8], "big") < fraction * 2**64


def first_of_same(keys: NDArray[np.void]) -> Places:
    """For each document the place of the first with its key: its own, if it is that one."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    places: Places = first[inverse].astype(np.int64)
    return places


def signatures(words: list[Hashes]) -> Signatures:
    """MinHash signatures of documents, (documents, PLACES), from the words of each.

    A document shorter than SHINGLE words is the set of its words.
    """
    sets = [ngrams(document, min(SHINGLE, max(len(document), 1))) for document in words]
    offsets = np.concatenate([[0], np.cumsum([len(shingles) for shingles in sets])]).astype(np.uint64)
    flat = np.concatenate(sets) if sets else np.empty(0, np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, PLACES, _SEED)
    return np.array(matrix.to_rows(), np.uint32).reshape(len(words), PLACES)


def near_duplicates(matrix: Signatures, threshold: float, alive: Mask) -> Places:
    """For each document an earlier one that is nearly the same, or -1.

    Args:
        matrix: signatures, (documents, PLACES); may be a memory map.
        threshold: estimated Jaccard similarity from which two documents are nearly the same.
        alive: the documents to look at; others are neither dropped nor compared to.
    """
    found = np.full(len(matrix), -1, np.int64)
    for band in range(_BANDS):
        places = np.flatnonzero(alive & (found < 0))
        buckets = _band(matrix, band)[places]
        order = np.argsort(buckets, kind="stable")  # within a bucket the earlier document comes first
        starts = np.flatnonzero(np.diff(buckets[order], prepend=buckets[order[:1]] + np.uint64(1)))
        sizes = np.diff(np.append(starts, len(order)))
        for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
            _compare(matrix, places[order[start : start + size]], threshold, found)
    return found


def _band(matrix: Signatures, band: int) -> Hashes:
    """The bucket of each document: one number of the places of a band."""
    buckets = np.empty(len(matrix), np.uint64)
    columns = slice(band * _ROWS, (band + 1) * _ROWS)
    for start in range(0, len(matrix), _CHUNK):
        rows = matrix[start : start + _CHUNK, columns].astype(np.uint64)
        buckets[start : start + _CHUNK] = ngrams(rows.reshape(-1), _ROWS)[::_ROWS]
    return buckets


def _compare(matrix: Signatures, bucket: Places, threshold: float, found: Places) -> None:
    """Mark what is nearly the same as an earlier document of a bucket; `bucket` is in the order of the corpus."""
    rows = np.asarray(matrix[bucket])
    left = np.arange(len(bucket))
    for _ in range(_MOST_LEADERS):
        if len(left) < 2:
            return
        leader, rest = left[0], left[1:]
        same = (rows[rest] == rows[leader]).mean(axis=1) >= threshold
        found[bucket[rest[same]]] = bucket[leader]
        left = rest[~same]
