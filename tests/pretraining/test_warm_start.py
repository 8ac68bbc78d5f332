"""The warm start: what it knows of the corpus, exactly, and that it knows the same every time."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.pretraining import warm_start as room
from bertline.pretraining.masking import Pieces
from bertline.pretraining.warm_start import (
    Statistics,
    count_pairs,
    embed,
    positive_pmi,
    ppmi_embeddings,
    unigram_log_probabilities,
    warm_start,
)
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import SPECIAL_TOKENS
from pretraining.tiny_corpus import SPECIALS, Documents, make_store, topic_store

TOPICS, WORDS = 8, 24
Corpus = tuple[TokenStore, Pieces]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    store, vocabulary = topic_store(tmp_path_factory.mktemp("topics"))
    return store, Pieces.of(vocabulary)


def chosen_contexts(documents: Documents, ordinary: int, contexts: int) -> list[int]:
    """The ids of the commonest ordinary tokens, ascending; of equally common ones, those with the smaller ids."""
    counts = Counter(token for document in documents for sentence in document for token in sentence)
    ranked = sorted(range(SPECIALS, SPECIALS + ordinary), key=lambda token: (-counts[token], token))
    return sorted(ranked[:contexts])


def counted_by_hand(documents: Documents, ordinary: int, statistics: Statistics) -> np.ndarray:
    """What count_pairs should return, pair by pair."""
    contexts = chosen_contexts(documents, ordinary, statistics.contexts)
    column = {(token, side): number for number, token in enumerate(contexts) for side in (-1, 1)}
    if statistics.sided:
        column |= {(token, 1): len(contexts) + number for number, token in enumerate(contexts)}
    expected = np.zeros((SPECIALS + ordinary, len(contexts) * (1 + statistics.sided) + 1), dtype=np.float32)
    for document in documents:
        tokens = [token for sentence in document for token in sentence]
        for place, token in enumerate(tokens):
            for distance, weight in enumerate(statistics.weights, start=1):
                for side in (-1, 1):
                    other = place + side * distance
                    if 0 <= other < len(tokens) and token >= SPECIALS and (tokens[other], side) in column:
                        expected[token, column[tokens[other], side]] += weight
    return expected


sentences = st.lists(st.integers(0, SPECIALS + 5), min_size=1, max_size=8)
some_documents = st.lists(st.lists(sentences, min_size=1, max_size=3), min_size=1, max_size=4)


@settings(max_examples=40)
@given(
    documents=some_documents,
    weights=st.sampled_from([(1,), (2, 1), (60, 30, 20, 15, 12)]),
    contexts=st.integers(1, 6),
    sided=st.booleans(),
    chunk=st.integers(1, 40),
)
@example(documents=[[[5]]], weights=(2, 1), contexts=1, sided=False, chunk=1)  # shorter than the window
def test_counts_are_those_of_a_loop_over_all_pairs_whatever_the_chunk(
    documents: Documents, weights: tuple[int, ...], contexts: int, sided: bool, chunk: int
) -> None:
    statistics = Statistics(weights=weights, contexts=contexts, sided=sided)
    pieces = Pieces.of([*SPECIAL_TOKENS, *"abcdef"])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_CHUNK", chunk)
        found = count_pairs(make_store(Path(folder, "store"), documents, SPECIALS + 6), pieces, statistics)
    assert np.array_equal(found, counted_by_hand(documents, 6, statistics))


def test_counts_beyond_two_billion_are_not_negative(tmp_path: Path) -> None:
    store = make_store(tmp_path, [[[5, 6, 5]]], 7)
    weight = 2**30 + 2**29
    counts = count_pairs(store, Pieces.of([*SPECIAL_TOKENS, "a", "b"]), Statistics(weights=(weight,), sided=False))
    assert counts[5, 1] == counts[6, 0] == 2 * weight


@pytest.mark.parametrize("smoothing", [0.75, 1.0])
@pytest.mark.parametrize("shift", [0.5, 1.0])
@pytest.mark.parametrize("rows", [2, 256])
def test_the_matrix_is_what_the_formula_says(
    smoothing: float, shift: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_ROWS", rows)
    counts = np.array([[0, 0, 0, 0], [3, 1, 0, 0], [0, 7, 2, 0], [9, 1, 5, 0], [1, 0, 0, 0]], dtype=np.float32)
    frequency, smooth = counts.sum(axis=1), counts.sum(axis=0) ** smoothing
    expected = np.zeros(counts.shape)
    for row, column in np.argwhere(counts):
        ratio = counts[row, column] * smooth.sum() / (frequency[row] * smooth[column])
        expected[row, column] = max(0.0, np.log(ratio / shift))
    assert np.allclose(positive_pmi(counts, smoothing=smoothing, shift=shift), expected, atol=1e-6)


@pytest.mark.parametrize("spectrum", [0.0, 0.5, 1.0])
def test_embeddings_are_the_singular_value_decomposition_up_to_length_and_rotation(spectrum: float) -> None:
    matrix = np.random.default_rng(0).random((40, 12), dtype=np.float32) ** 4
    matrix[3] = 0
    left, values, _ = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    exact = left[:, :5] * values[:5] ** spectrum
    found = embed(matrix.copy(), 5, 0, spectrum=spectrum)
    assert not found[3].any()
    exact, found = np.delete(exact, 3, axis=0), np.delete(found, 3, axis=0).astype(np.float64)
    exact, found = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (exact, found))
    assert np.allclose(found @ found.T, exact @ exact.T, atol=1e-4)


def test_the_output_bias_is_the_frequency_of_each_token(corpus: Corpus) -> None:
    store, pieces = corpus
    found = unigram_log_probabilities(store)
    counts = np.bincount(store.ids, minlength=len(pieces.ordinary)) + 1
    assert np.allclose(np.exp(found), counts / counts.sum(), rtol=1e-5) and np.isclose(np.exp(found).sum(), 1)


def test_tokens_of_similar_company_are_near_each_other(corpus: Corpus) -> None:
    store, pieces = corpus
    embeddings = ppmi_embeddings(store, pieces, 32, seed=0)[SPECIALS : SPECIALS + TOPICS * WORDS]
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    near = (unit @ unit.T).reshape(TOPICS, WORDS, TOPICS, WORDS).mean(axis=(1, 3))
    within, across = np.diag(near).mean(), near[~np.eye(TOPICS, dtype=bool)].mean()
    assert within > 0.5 and abs(across) < 0.1


def test_rows_have_the_deviation_of_initial_weights_and_are_spread_over_all_columns(corpus: Corpus) -> None:
    store, pieces = corpus
    embeddings = ppmi_embeddings(store, pieces, 32, seed=0)
    known = embeddings.any(axis=1)
    assert known.sum() == TOPICS * WORDS and not known[:SPECIALS].any()
    assert np.allclose(np.sqrt((embeddings[known] ** 2).mean(axis=1)), 0.02, rtol=1e-4)
    columns = embeddings[known].std(axis=0)
    assert columns.max() < 3 * columns.min()


def test_the_same_seed_gives_the_same_bytes_and_another_another_rotation(corpus: Corpus) -> None:
    store, pieces = corpus
    first, again, other = (ppmi_embeddings(store, pieces, 32, seed=seed) for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_the_number_of_threads_and_the_chunks_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(0).zipf(1.3, size=40_000) % 600 + SPECIALS
    store = make_store(tmp_path, [[part.tolist()] for part in ids.reshape(100, 400)], SPECIALS + 600)
    pieces = Pieces.of([*SPECIAL_TOKENS, *(f"w{number}" for number in range(600))])
    found = []
    before = torch.get_num_threads()
    for threads, chunk in ((1, 1 << 18), (2, 1 << 18), (2, 999)):
        monkeypatch.setattr(room, "_CHUNK", chunk)
        torch.set_num_threads(threads)
        with threadpool_limits(limits=threads):
            found.append(ppmi_embeddings(store, pieces, 64, seed=0).tobytes())
    torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_a_large_corpus_is_sampled_evenly(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    store, pieces = corpus
    whole = count_pairs(store, pieces)
    monkeypatch.setattr(room, "_CHUNK", 500)
    monkeypatch.setattr(room, "_MAX_CHUNKS", 3)
    part = count_pairs(store, pieces)
    share = part.sum() / whole.sum()
    assert 3 * 500 / len(store.ids) * 0.9 < share < 3 * 500 / len(store.ids) * 1.1
    assert (part <= whole).all() and part[SPECIALS : SPECIALS + 2 * WORDS].any() and part[-3 * WORDS :].any()


def test_special_and_unseen_tokens_keep_their_random_embeddings(corpus: Corpus) -> None:
    store, pieces = corpus
    model = BertForPreTraining(BertConfig.named("tiny", vocab_size=len(pieces.ordinary)))
    initialize(model, 0)
    before = model.bert.token_embeddings.weight.detach().clone()
    warm_start(model, store, pieces, seed=0)
    changed = (model.bert.token_embeddings.weight != before).any(dim=1)
    assert changed[SPECIALS : SPECIALS + TOPICS * WORDS].all()
    assert not changed[:SPECIALS].any() and not changed[SPECIALS + TOPICS * WORDS :].any()
    assert torch.isclose(model.mlm_bias.exp().sum(), torch.tensor(1.0))
    assert torch.isfinite(model.mlm_bias).all()


def test_tokens_that_are_always_alone_get_no_embeddings(tmp_path: Path) -> None:
    store = make_store(tmp_path, [[[5]], [[6]], [[7]]], 8)
    pieces = Pieces.of([*SPECIAL_TOKENS, "a", "b", "c"])
    assert not ppmi_embeddings(store, pieces, 4, seed=0).any()
