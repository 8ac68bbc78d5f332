"""A start from the corpus's own statistics: how common each token is, and in what company.

    warm_start(model, store, pieces, seed=0)        # before the first step; seconds

Token embeddings come from a truncated singular value decomposition of the corpus's positive pointwise mutual
information (Levy & Goldberg 2014, "Neural word embedding as implicit matrix factorization"; Levy, Goldberg & Dagan 2015
for context smoothing and distance weighting); the output bias of the masked language model from the frequency of each
token. The first thousand steps of pre-training learn little else: a short budget begins where it would have ended.

The same store and seed give the same bytes: sums are made in a fixed order, by one thread.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from bertline.model.bert import INITIAL_DEVIATION, BertForPreTraining
from bertline.pretraining.masking import Pieces
from bertline.tokens.store import TokenStore

WINDOW = 5  # tokens to either side, within a document
CONTEXT_SMOOTHING = 0.75  # exponent of the contexts' frequencies: rare contexts count for less
SHIFT = 1.0  # pairs must be more than this times as frequent as by chance
SPECTRUM = 0.5  # exponent of the singular values in the embeddings
_WEIGHT = 60  # of a pair side by side; 60 / d at distance d, whole numbers up to 6
_CHUNK = 1 << 20  # tokens read together
_MAX_CHUNKS = 32  # of a larger corpus, as many chunks at even distances are read
_CELLS = 1 << 26  # counts held together: 256 MB
_ROWS = 256  # rows turned into logarithms together
_POWER_ITERATIONS, _OVERSAMPLES = 4, 16

Counts = NDArray[np.float32]


@torch.no_grad()
def warm_start(model: BertForPreTraining, store: TokenStore, pieces: Pieces, seed: int) -> None:
    """Set the token embeddings and the MLM bias of a freshly initialised model, in place.

    Special tokens and tokens without company in the corpus keep their random embeddings.
    """
    embeddings = ppmi_embeddings(store, pieces, model.config.hidden_size, seed)
    known = torch.from_numpy(np.flatnonzero(embeddings.any(axis=1)))
    model.bert.token_embeddings.weight[known] = torch.from_numpy(embeddings).to(model.mlm_bias.device)[known]
    model.mlm_bias.copy_(torch.from_numpy(unigram_log_probabilities(store, len(pieces.ordinary))))


def unigram_log_probabilities(store: TokenStore, vocab_size: int) -> NDArray[np.float32]:
    """Natural logarithms of the tokens' frequencies, with one added to each count: (vocab_size,)."""
    counts = np.ones(vocab_size, dtype=np.int64)
    for begin in range(0, len(store.ids), _CHUNK):
        counts += np.bincount(store.ids[begin : begin + _CHUNK], minlength=vocab_size)
    logarithms: NDArray[np.float32] = np.log(counts / counts.sum()).astype(np.float32)
    return logarithms


def ppmi_embeddings(store: TokenStore, pieces: Pieces, size: int, seed: int) -> Counts:
    """Embeddings with which tokens of similar company are near each other: (vocabulary, size).

    Rows have the standard deviation of BERT's initial weights, in a random rotation that spreads what matters evenly
    over the attention heads; special tokens and tokens without company have rows of zeros.
    """
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 - slow to import, and needed only here
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # noqa: PLC0415

    matrix = ppmi_matrix(store, pieces)
    rank = min(size, min(matrix.shape) - 1)
    with threadpool_limits(limits=1):  # sums must not depend on the number of cores
        left, values, _ = randomized_svd(
            matrix,
            rank,
            n_oversamples=_OVERSAMPLES,
            n_iter=_POWER_ITERATIONS,
            power_iteration_normalizer="QR",
            random_state=seed,
        )
        factors = np.zeros((matrix.shape[0], size))
        factors[:, :rank] = left * values**SPECTRUM
        normal = np.random.Generator(np.random.Philox(key=seed)).standard_normal((size, size))
        rotated = factors @ np.linalg.qr(normal)[0]
    length = np.linalg.norm(rotated, axis=1, keepdims=True)
    scale = INITIAL_DEVIATION * np.sqrt(size) / np.where(length > 0, length, 1.0)
    embeddings: Counts = (rotated * scale).astype(np.float32)
    embeddings[np.diff(matrix.indptr) == 0] = 0.0
    return embeddings


def ppmi_matrix(store: TokenStore, pieces: Pieces) -> sparse.csr_matrix:
    """Shifted positive pointwise mutual information of tokens (rows) and the tokens around them: sparse, fp32.

    max(0, log(#(w, c) · Σ #(c)^s / (#(w) · #(c)^s)) - log SHIFT), where #(w, c) sums 1/distance over the pairs of a
    window and s is the context smoothing. The counts are dense, but only for as many rows at a time as 256 MB hold.
    """
    vocab_size = len(pieces.ordinary)
    frequency = _frequencies(store, vocab_size)
    frequency[~pieces.ordinary] = 0
    contexts = frequency**CONTEXT_SMOOTHING
    with np.errstate(divide="ignore"):  # tokens that never occur get infinities, which no count ever meets
        row_term = -np.log(frequency) + np.log(contexts.sum()) - np.log(SHIFT)
        column_term = -np.log(contexts)
    rows = max(1, _CELLS // vocab_size)
    blocks = []
    for low in range(0, vocab_size, rows):
        counts = _block(store, vocab_size, low, min(low + rows, vocab_size))
        for begin in range(0, len(counts), _ROWS):
            some = counts[begin : begin + _ROWS]
            offset = row_term[low + begin : low + begin + len(some)]
            blocks.append(_positive(some, offset, column_term, pieces.ordinary))
    matrix: sparse.csr_matrix = sparse.vstack(blocks, format="csr")
    return matrix


def _positive(
    counts: Counts, row_term: NDArray[np.float64], column_term: NDArray[np.float64], ordinary: NDArray[np.bool_]
) -> sparse.csr_matrix:
    """The positive values of log count + row term + column term, where both tokens are ordinary."""
    row, column = np.nonzero(counts)
    both = ordinary[column] & np.isfinite(row_term[row])
    row, column = row[both], column[both]
    value = (np.log(counts[row, column].astype(np.float64)) + row_term[row] + column_term[column]).astype(np.float32)
    positive = value > 0
    kept = (value[positive], (row[positive], column[positive]))
    matrix: sparse.csr_matrix = sparse.csr_matrix(kept, shape=counts.shape)
    return matrix


def _block(store: TokenStore, vocab_size: int, low: int, high: int) -> Counts:
    """Distance-weighted counts of tokens low … high - 1 with all tokens around them: (high - low, vocab_size)."""
    counts = np.zeros((high - low) * vocab_size, dtype=np.float32)
    whole = high - low == vocab_size
    for left, right, weight in _pairs(store):
        for token, other in ((left, right), (right, left)):
            inside = slice(None) if whole else (token >= low) & (token < high)
            np.add.at(counts, (token[inside] - low) * vocab_size + other[inside], np.float32(weight))
    return counts.reshape(high - low, vocab_size)


def _frequencies(store: TokenStore, vocab_size: int) -> NDArray[np.float64]:
    """The sum of each token's row of counts: (vocab_size,)."""
    total = np.zeros(vocab_size, dtype=np.int64)
    for left, right, weight in _pairs(store):
        total += weight * (np.bincount(left, minlength=vocab_size) + np.bincount(right, minlength=vocab_size))
    return total.astype(np.float64)


def _pairs(store: TokenStore) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """All pairs of tokens up to WINDOW apart in one document, by chunk and distance: left, right, weight."""
    bounds = np.asarray(store.sentences[store.documents])
    starts = range(0, len(store.ids), _CHUNK)
    for begin in starts[:: -(-len(starts) // _MAX_CHUNKS)]:
        ids = store.ids[begin : begin + _CHUNK + WINDOW].astype(np.int64)
        document = np.searchsorted(bounds, begin + np.arange(0, len(ids)), side="right")
        for distance in range(1, WINDOW + 1):
            count = min(_CHUNK, len(ids) - distance)
            together = document[:count] == document[distance : distance + count]
            yield ids[:count][together], ids[distance : distance + count][together], _WEIGHT // distance
