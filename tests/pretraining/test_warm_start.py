"""The warm start: what it knows of the corpus, and that it knows the same every time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.pretraining import warm_start as room
from bertline.pretraining.masking import Pieces
from bertline.pretraining.warm_start import ppmi_embeddings, ppmi_matrix, unigram_log_probabilities, warm_start
from bertline.tokens.encoder import SPECIAL_TOKENS
from bertline.tokens.store import TokenStore
from pretraining.tiny_corpus import SPECIALS, make_store, topic_store

TOPICS, WORDS = 8, 24
Corpus = tuple[TokenStore, Pieces]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    store, vocabulary = topic_store(tmp_path_factory.mktemp("topics"))
    return store, Pieces.of(vocabulary)


def test_the_output_bias_is_the_frequency_of_each_token(corpus: Corpus) -> None:
    store, pieces = corpus
    found = unigram_log_probabilities(store, len(pieces.ordinary))
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


def test_the_matrix_is_what_the_formula_says(tmp_path: Path) -> None:
    documents = [[[5, 6, 7], [5, 8]], [[6, 6, 5, 1, 8, 7, 5, 6]]]
    store = make_store(tmp_path, documents, 9)
    pieces = Pieces.of([*SPECIAL_TOKENS, "a", "b", "c", "d"])
    counts = np.zeros((9, 9))
    for document in documents:
        tokens = [token for sentence in document for token in sentence]
        for place, token in enumerate(tokens):
            for other in range(max(0, place - 5), min(len(tokens), place + 6)):
                if other != place:
                    counts[token, tokens[other]] += 1 / abs(place - other)
    frequency = counts.sum(axis=1) * (np.arange(9) >= 5)
    smooth = frequency**0.75
    expected = np.zeros((9, 9))
    for row in range(5, 9):
        for column in range(5, 9):
            if counts[row, column]:
                ratio = counts[row, column] * smooth.sum() / (frequency[row] * smooth[column])
                expected[row, column] = max(0.0, np.log(ratio))
    assert np.allclose(ppmi_matrix(store, pieces).toarray(), expected, atol=1e-5)


def test_counting_in_blocks_and_chunks_changes_nothing(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    store, pieces = corpus
    whole = ppmi_matrix(store, pieces)
    monkeypatch.setattr(room, "_CELLS", 37 * len(pieces.ordinary))
    monkeypatch.setattr(room, "_CHUNK", 1000)
    parts = ppmi_matrix(store, pieces)
    assert (whole != parts).nnz == 0


def test_a_large_corpus_is_sampled_evenly(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    store, pieces = corpus
    monkeypatch.setattr(room, "_CHUNK", 500)
    monkeypatch.setattr(room, "_MAX_CHUNKS", 3)
    seen = np.unique(np.concatenate([left for left, _, _ in room._pairs(store)]))
    assert 2 * WORDS < len(seen) < len(pieces.replacements)


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
