"""A start from the corpus's own statistics: how common each token is, and in what company.

    warm_start(model, store, pieces, seed=0)        # before the first step; seconds

Token embeddings come from a truncated singular value decomposition of the corpus's positive pointwise mutual
information (Levy & Goldberg 2014, "Neural word embedding as implicit matrix factorization"; Levy, Goldberg & Dagan 2015
for context smoothing and distance weighting); the output bias of the masked language model from the frequency of each
token. The first thousand steps of pre-training learn little else: a short budget begins where it would have ended.

The matrix is dense, at most 512 MB, and worked on in place: `count_pairs` -> `positive_pmi` -> `embed`. Counts are
whole numbers, and all sums of floats are one thread's work: on one machine, the same store and seed give the same
bytes, whatever the number of threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bertline.model.bert import INITIAL_DEVIATION, BertForPreTraining
from bertline.pretraining.masking import Pieces
from bertline.tokens.store import TokenStore
from bertline.tokens.usage import token_counts

_CELLS = 1 << 27  # of the matrix, at most: 512 MB
_CHUNK = 1 << 16  # tokens read together; their keys stay in the cache
_MAX_CHUNKS = 1 << 11  # of a larger corpus, as many chunks at even distances are read
_ROWS = 256  # rows transformed together
_NOISE = 1e-6  # share of the largest eigenvalue below which, in fp32, an eigenvalue means nothing
MOST_TOKENS = _CHUNK * _MAX_CHUNKS  # that are counted: 134 M

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Statistics:
    """What is counted, and what becomes of it; benchmarks/warm_start.py compares other values with these.

    Attributes:
        weights: of a pair 1, 2, … tokens apart; as many as the window has tokens to either side.
        contexts: how many of the commonest tokens count as company.
        sided: company before a token and after it are told apart.
        smoothing: exponent of the contexts' frequencies; below 1, rare contexts count for less.
        shift: a pair must be more than this times as frequent as by chance.
        spectrum: exponent of the singular values in the embeddings.
    """

    weights: tuple[int, ...] = (60, 30, 20, 15, 12)
    contexts: int = 2048
    sided: bool = True
    smoothing: float = 0.75
    shift: float = 1.0
    spectrum: float = 0.5


DEFAULT = Statistics()


def warm_start(model: BertForPreTraining, store: TokenStore, pieces: Pieces, seed: int) -> None:
    """Set the token embeddings and the MLM bias of a freshly initialised model, in place.

    Special tokens and tokens without company in the corpus keep their random embeddings.
    """
    embeddings = ppmi_embeddings(store, pieces, model.config.hidden_size, seed)
    start_from(model, embeddings, unigram_log_probabilities(store))


@torch.no_grad()
def start_from(model: BertForPreTraining, embeddings: Matrix, bias: Matrix) -> None:
    """Copy the MLM bias and those rows of the token embeddings that are not all zeros into a model."""
    weight = model.bert.token_embeddings.weight
    known = np.flatnonzero(embeddings.any(axis=1))
    weight[torch.from_numpy(known).to(weight.device)] = torch.from_numpy(embeddings[known]).to(weight.device)
    model.mlm_bias.copy_(torch.from_numpy(bias))


def unigram_log_probabilities(store: TokenStore) -> Matrix:
    """Natural logarithms of the tokens' frequencies, with one added to each count: (vocabulary,)."""
    counts = token_counts(store) + 1
    logarithms: Matrix = np.log(counts / counts.sum()).astype(np.float32)
    return logarithms


def ppmi_embeddings(store: TokenStore, pieces: Pieces, size: int, seed: int) -> Matrix:
    """Embeddings with which tokens of similar company are near each other: (vocabulary, size).

    Special tokens and tokens without company have rows of zeros.
    """
    matrix = count_pairs(store, pieces)
    positive_pmi(matrix, smoothing=DEFAULT.smoothing, shift=DEFAULT.shift)
    return embed(matrix, size, seed, spectrum=DEFAULT.spectrum)


def count_pairs(store: TokenStore, pieces: Pieces, statistics: Statistics = DEFAULT) -> Matrix:
    """How often each token stands near each context in one document, weighted by distance: (vocabulary, columns).

    Columns are the contexts in the order of their ids, those before a token first, then those after it (once, where
    sides are not told apart), and a last one of zeros. Rows of special tokens are zeros, too.

    Sums are made in 32-bit whole numbers: to wrap around, a pair would have to stand together twenty million times.
    """
    before, after = _columns(store, pieces, statistics)
    width = int(after.max()) + 1
    counts = np.zeros((len(before), width), dtype=np.int32)
    cells = torch.from_numpy(counts).view(-1)  # scatter_add_ is ten times as fast as np.add.at
    for tokens, own in _chunks(store, len(statistics.weights), pieces.special.pad):
        rows, columns_before, columns_after = tokens * width, before[tokens], after[tokens]
        for distance, weight in enumerate(statistics.weights, start=1):
            left, right = slice(0, own), slice(distance, distance + own)
            weights = torch.tensor(weight, dtype=torch.int32).expand(own)
            cells.scatter_add_(0, torch.from_numpy(rows[left] + columns_after[right]), weights)
            cells.scatter_add_(0, torch.from_numpy(rows[right] + columns_before[left]), weights)
    counts[~pieces.ordinary] = 0
    counts[:, -1] = 0  # where company that is no context was put
    matrix = counts.view(np.float32)
    for begin in range(0, len(matrix), _ROWS):  # each number becomes a float in its own four bytes
        matrix[begin : begin + _ROWS] = counts[begin : begin + _ROWS].view(np.uint32)
    return matrix


def positive_pmi(matrix: Matrix, *, smoothing: float, shift: float) -> Matrix:
    """Turn counts #(w, c) into shifted positive pointwise mutual information, in place.

    max(0, log(#(w, c) · Σ #(c)^s / (#(w) · #(c)^s)) - log shift), where #(w) and #(c) are the sums of rows and columns
    and s is the context smoothing.
    """
    of_row, of_column = matrix.sum(axis=1, dtype=np.float64), matrix.sum(axis=0, dtype=np.float64) ** smoothing
    row_factor = (_inverse(of_row) * of_column.sum() / shift).astype(np.float32)[:, None]
    column_factor = _inverse(of_column).astype(np.float32)
    for begin in range(0, len(matrix), _ROWS):
        block = matrix[begin : begin + _ROWS]
        block *= row_factor[begin : begin + _ROWS]
        block *= column_factor
        np.log(np.maximum(block, 1, out=block), out=block)
    return matrix


def _inverse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / value, and 0 for 0."""
    return np.divide(1, values, out=np.zeros_like(values), where=values > 0)


def embed(matrix: Matrix, size: int, seed: int, *, spectrum: float) -> Matrix:
    """The rows of U · S^spectrum · R, where U · S · Vᵀ is the matrix as nearly as `size` dimensions allow.

    V and S² are the leading eigenvectors and eigenvalues of matrixᵀ · matrix, which is small, and U · S is matrix · V.
    The random rotation R spreads what matters evenly over the attention heads. Rows have the standard deviation of
    BERT's initial weights; rows of zeros stay so.
    """
    width = matrix.shape[1]
    with threadpool_limits(limits=1, user_api="blas"):  # sums must not depend on the number of cores
        squares = matrix.T @ matrix
        # The transpose is the same matrix, in the order of columns that LAPACK works on in place.
        values, vectors = eigh(
            squares.T, subset_by_index=(max(0, width - size), width - 1), overwrite_a=True, check_finite=False
        )
        kept = values > _NOISE * values[-1]
        leading = vectors[:, kept] * values[kept] ** ((spectrum - 1) / 2)
        normal = np.random.Generator(np.random.Philox(key=seed)).standard_normal((size, size))
        rotation = np.linalg.qr(normal)[0]
        embeddings: Matrix = matrix @ (leading @ rotation[: leading.shape[1]]).astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings))
    embeddings *= (INITIAL_DEVIATION * np.sqrt(np.float32(size)) / np.where(lengths > 0, lengths, 1))[:, None]
    return embeddings


def _columns(store: TokenStore, pieces: Pieces, statistics: Statistics) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The column of each token where it stands before another, and where it stands after it: (vocabulary,) each."""
    sides = 2 if statistics.sided else 1
    counts = token_counts(store)[pieces.replacements]
    contexts = min(statistics.contexts, _CELLS // len(pieces.ordinary) // sides, len(counts))
    commonest = np.argsort(-counts, kind="stable")[:contexts]
    before, after = np.full((2, len(pieces.ordinary)), sides * contexts)
    before[np.sort(pieces.replacements[commonest])] = np.arange(contexts)
    after[np.sort(pieces.replacements[commonest])] = np.arange((sides - 1) * contexts, sides * contexts)
    return before, after


def _chunks(store: TokenStore, window: int, padding: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """The tokens a chunk at a time, followed by the window of its last one, and how many are the chunk's own.

    A window of padding stands after each document, so that no pair of tokens reaches across.
    """
    bounds = np.asarray(store.sentences[store.documents])
    starts = range(0, len(store.ids), _CHUNK)
    for begin in starts[:: -(-len(starts) // _MAX_CHUNKS)]:
        ids = store.ids[begin : begin + _CHUNK + window]
        first, last = np.searchsorted(bounds, (begin + 1, begin + len(ids)))
        gaps = np.zeros(len(ids), dtype=np.int64)
        gaps[bounds[first:last] - begin] = window
        places = np.arange(len(ids)) + np.cumsum(gaps)
        tokens = np.full(places[-1] + 1 + window, padding)
        tokens[places] = ids
        yield tokens, int(places[:_CHUNK][-1]) + 1
