"""Batches as pure functions of the step, and the next-sentence pairs in them."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.base.config import Pretrain, SecondPhase
from bertline.base.errors import BertlineError
from bertline.pretraining import segments
from bertline.pretraining.examples import Batch, ExampleSource, Prefetcher
from bertline.pretraining.masking import Pieces
from bertline.pretraining.plan import Plan
from bertline.pretraining.randomness import TRAINING, Places, permute
from bertline.pretraining.segments import Text, epoch_keys, slot_places
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import SPECIAL_TOKENS, SpecialIds
from pretraining.tiny_corpus import SPECIALS, make_store, place_store, random_lengths
from their_bert import as_bert_base

CONFIG = Pretrain(sequence_length=48, batch_size=32)
SPECIAL = SpecialIds.of(SPECIAL_TOKENS)  # of the stores below
Corpus = tuple[TokenStore, list[str]]


def source_of(corpus: Corpus, config: Pretrain = CONFIG, seed: int = 0) -> ExampleSource:
    store, vocabulary = corpus
    return ExampleSource(store, Pieces.of(vocabulary), config, Plan.of(config), seed=seed, stream=TRAINING)


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, item.name), getattr(other, item.name)) for item in fields(Batch))


def continues(vocabulary: list[str]) -> np.ndarray:
    """Of each place of a store, and of its end, whether a word goes on there."""
    return np.array([piece.startswith("##") for piece in vocabulary[SPECIALS:]] + [False])


def document_of(store: TokenStore) -> np.ndarray:
    """The document of each place of a store."""
    return np.repeat(np.arange(len(store.documents) - 1), np.diff(store.sentences[store.documents]))


def segments_of(batch: Batch, row: int) -> tuple[np.ndarray, np.ndarray]:
    """The places in the store of the first and second segment of a row; checks the layout on the way."""
    ids, real = batch.unmasked()[row].numpy(), int(batch.mask[row].sum())
    assert ids[0] == SPECIAL.cls and ids[real - 1] == SPECIAL.sep and (ids[real:] == SPECIAL.pad).all()
    assert not batch.mask[row, real:].any() and batch.mask[row, :real].all()
    ends = np.flatnonzero(ids == SPECIAL.sep)
    assert len(ends) == 2
    assert batch.segments[row].tolist() == [int(ends[0] < column <= ends[1]) for column in range(len(ids))]
    return ids[1 : ends[0]] - SPECIALS, ids[ends[0] + 1 : ends[1]] - SPECIALS


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    sources = [("few", 8), ("many", 32)]
    return place_store(tmp_path_factory.mktemp("store"), random_lengths(40), sources=sources)


@pytest.fixture(scope="module")
def pairs(corpus: Corpus) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(label, first, second) of some thousand rows."""
    source = source_of(corpus)
    batches = [source.batch(step) for step in range(60)]
    return [(int(batch.labels[row]), *segments_of(batch, row)) for batch in batches for row in range(32)]


PLANS = st.builds(
    replace,
    st.just(CONFIG),
    objective=st.sampled_from(["mlm+nsp", "mlm"]),
    budget=st.sampled_from([10, 10**9]),
    ramp_from=st.sampled_from([0, 8, 16]),
    ramp_share=st.just(0.5),
    second_phase=st.builds(
        SecondPhase,
        share=st.sampled_from([0.0, 0.25]),
        sequence_length=st.just(80),
        batch_size=st.sampled_from([8, 24]),
    ),
    upsample=st.dictionaries(st.sampled_from(["few", "many"]), st.integers(1, 3)),
)


@settings(max_examples=60)
@given(plan=PLANS, seed=st.integers(0, 2**32), world=st.sampled_from([2, 4, 8]), data=st.data())
def test_any_step_and_rank_gives_its_batch_directly(
    corpus: Corpus, plan: Pretrain, seed: int, world: int, data: st.DataObject
) -> None:
    again = source_of(corpus, plan, seed)
    # About where a stage begins, which a step drawn from all would hardly ever hit; and far on.
    steps = st.builds(
        lambda stage, ahead: max(stage.first + ahead, 0),
        st.sampled_from(again.plan.stages),
        st.integers(-2, 3) | st.integers(0, 10**9),
    )
    step = data.draw(steps)
    whole = source_of(corpus, plan, seed).batch(step)
    stage = again.plan.stage(step)
    assert whole.ids.shape == (stage.batch_size, stage.sequence_length)
    for other in data.draw(st.lists(steps, min_size=1, max_size=3)):
        again.batch(other)
    assert equal(whole, again.batch(step))
    parts = [again.batch(step, rank, world) for rank in range(world)]
    joined = Batch(*(torch.cat([getattr(part, item.name) for part in parts]) for item in fields(Batch)))
    assert equal(whole, joined)


def test_seed_and_step_change_the_batch(corpus: Corpus) -> None:
    one = source_of(corpus).batch(0)
    assert not torch.equal(one.ids, source_of(corpus).batch(1).ids)
    assert not torch.equal(one.ids, source_of(corpus, seed=1).batch(0).ids)


def test_a_batch_that_cannot_be_shared_out_is_refused(corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="multiple"):
        source_of(corpus).batch(0, rank=0, world=5)


def test_micro_batches_are_the_rows_in_order(corpus: Corpus) -> None:
    batch = source_of(corpus).batch(0)
    for share in (4, 3):  # in three equal parts 32 rows cannot be
        parts = list(batch.micro_batches(batch.ids.numel() / share))
        assert [len(part.ids) for part in parts] == [8] * 4
        assert torch.equal(torch.cat([part.targets for part in parts]), batch.targets)


def test_half_of_the_second_segments_are_random(corpus: Corpus) -> None:
    labels = source_of(corpus, replace(CONFIG, batch_size=8192)).batch(0).labels.numpy()
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(labels))


def test_segments_are_contiguous_and_from_the_documents_their_label_says(
    corpus: Corpus, pairs: list[tuple[int, np.ndarray, np.ndarray]]
) -> None:
    store, _ = corpus
    document = document_of(store)
    for label, first, second in pairs:
        assert len(first) and len(second)
        assert (np.diff(first) == 1).all() and (np.diff(second) == 1).all()
        assert len(set(document[first])) == len(set(document[second])) == 1
        if label:
            assert document[first[0]] != document[second[0]]
        else:
            assert second[0] == first[-1] + 1 and document[first[0]] == document[second[0]]
        # Every second segment is the start of a sentence, every first one the end of one, whatever the label.
        assert second[0] in store.sentences and first[-1] + 1 in store.sentences


def test_no_segment_begins_or_ends_inside_a_word(
    corpus: Corpus, pairs: list[tuple[int, np.ndarray, np.ndarray]]
) -> None:
    inside = continues(corpus[1])
    for _, first, second in pairs:
        for segment in (first, second):
            assert not inside[segment[0]] and not inside[segment[-1] + 1]


@pytest.mark.parametrize("objective", ["mlm+nsp", "mlm"])
def test_words_of_more_pieces_than_there_is_room_for_are_passed_over(tmp_path: Path, objective: Any) -> None:
    corpus = place_store(tmp_path, random_lengths(60, longest=60), inside=0.8)  # words of five pieces, and of thirty
    source = source_of(corpus, replace(CONFIG, objective=objective, short_rate=0.5))
    inside = continues(corpus[1])
    for step in range(60):
        ids = source.batch(step).unmasked().numpy()
        real = ids[:, 1:-1] >= SPECIALS
        places = np.where(real, ids[:, 1:-1] - SPECIALS, 0)
        begins = real & (ids[:, :-2] < SPECIALS)
        ends = real & (ids[:, 2:] < SPECIALS)
        assert not inside[places[begins]].any() and not inside[places[ends] + 1].any()


@pytest.mark.parametrize("inside", [0.5, 0.9])
def test_both_segments_have_tokens_however_many_pieces_a_word_has(tmp_path: Path, inside: float) -> None:
    random = np.random.default_rng(0)
    lengths = [random.integers(5, 250, size=random.integers(4, 12)).tolist() for _ in range(40)]
    source = source_of(place_store(tmp_path, lengths, inside=inside), replace(CONFIG, sequence_length=16))
    for step in range(40):
        batch = source.batch(step)
        assert all(len(segment) for row in range(len(batch.ids)) for segment in segments_of(batch, row))


def test_a_short_sequence_grows_until_the_words_about_it_fit(tmp_path: Path) -> None:
    documents = [[list(range(SPECIALS + 24 * number, SPECIALS + 24 * number + 12))] * 9 for number in range(4)]
    words = [f"{'##' if place % 12 else ''}w{place}" for place in range(24 * 4)]  # of twelve pieces each
    store = make_store(tmp_path, documents, SPECIALS + len(words))
    source = source_of((store, [*SPECIAL_TOKENS, *words]), replace(CONFIG, objective="mlm", short_rate=0.99))
    for step in range(5):
        batch = source.batch(step)
        assert set((batch.mask.sum(dim=1) - 2).tolist()) <= {12, 24, 36}, "nothing but whole words"


def test_a_segment_that_is_cut_keeps_a_quarter_of_the_room(tmp_path: Path) -> None:
    store, vocabulary = place_store(tmp_path, [[7, 15, 11] * 5] * 20, inside=0.0)
    source = source_of((store, vocabulary), replace(CONFIG, short_rate=0.0))
    least, shortest = source.room(48) // 4, [48, 48]
    for step in range(20):
        batch = source.batch(step)
        for row in range(32):
            first, second = segments_of(batch, row)
            for place, (segment, bound) in enumerate(((first, first[0]), (second, second[-1] + 1))):
                if bound not in store.sentences:
                    shortest[place] = min(shortest[place], len(segment))
    assert min(shortest) >= least and max(shortest) < 48, "both are cut, and neither to less"


def test_full_sequences_are_filled_and_a_tenth_is_shorter(tmp_path: Path) -> None:
    corpus = place_store(tmp_path, [[7, 15, 11] * 5] * 20)
    full = source_of(corpus, replace(CONFIG, short_rate=0.0))
    lengths = np.concatenate([full.batch(step).mask.sum(dim=1).numpy() for step in range(40)])
    assert (lengths >= 44).mean() > 0.97  # the rest: long words that did not fit
    mixed = source_of(corpus)
    shorter = np.concatenate([mixed.batch(step).mask.sum(dim=1).numpy() for step in range(40)])
    assert 0.06 < (lengths >= 44).mean() - (shorter >= 44).mean() < 0.12
    assert shorter.min() < 12 and shorter.min() >= 5


def test_short_sequences_are_of_any_length_and_as_often_of_either_label(tmp_path: Path) -> None:
    corpus = place_store(tmp_path, [[7, 15, 11] * 5] * 20, inside=0.0)
    batch = source_of(corpus, replace(CONFIG, short_rate=0.5, batch_size=2048)).batch(0)
    lengths = batch.mask.sum(dim=1).numpy() - 3
    short = lengths < 40  # and not almost full
    assert abs(batch.labels.numpy()[short].mean() - 0.5) < 4 * 0.5 / np.sqrt(short.sum())
    quarters = np.histogram(lengths[short], bins=4, range=(8, 40))[0] / short.sum()
    assert np.abs(quarters - 0.25).max() < 0.06, quarters


def test_neither_segment_of_a_pair_is_the_longer_one_by_rule(tmp_path: Path) -> None:
    corpus = place_store(tmp_path, [[3, 5, 4] * 40] * 20, inside=0.0)
    batch = source_of(corpus, replace(CONFIG, short_rate=0.0, batch_size=512)).batch(0)
    second = batch.segments.sum(dim=1) - 1
    first = batch.mask.sum(dim=1) - 3 - second
    assert abs((first - second).double().mean()) < 5 < (first - second).double().std()


def test_a_random_segment_may_be_from_any_place_of_any_other_document(tmp_path: Path) -> None:
    source = source_of(place_store(tmp_path, [[7, 15, 11] * 5] * 20), replace(CONFIG, short_rate=0.0))
    begins = np.array(
        [
            segments_of(batch, row)[1][0]
            for batch in map(source.batch, range(60))
            for row in np.flatnonzero(batch.labels.numpy())
        ]
    )
    later = begins[begins % 165 >= 33] % 165 // 33 - 1  # a second segment never begins with its document
    for place, parts in ((begins // 165, 20), (later, 4)):
        counts, expected = np.bincount(place, minlength=parts), len(place) / parts
        assert ((counts - expected) ** 2 / expected).sum() < 3 * parts, counts


def test_random_tokens_are_any_of_the_vocabulary(corpus: Corpus) -> None:
    """Which token stands in is drawn apart from whether one does."""
    source, drawn = source_of(corpus), []
    for batch in map(source.batch, range(40)):
        seen = batch.ids.gather(1, batch.positions)
        random = (batch.weights > 0) & (seen != SPECIAL.mask) & (seen != batch.targets)
        drawn += ((seen[random] - SPECIALS) / len(source.pieces.replacements)).tolist()
    assert np.abs(np.histogram(drawn, bins=4, range=(0, 1))[0] / len(drawn) - 0.25).max() < 0.07


def test_what_is_known_of_the_documents_is_held_once_for_all_lengths(corpus: Corpus) -> None:
    phase = SecondPhase(share=0.25, sequence_length=80, batch_size=8)
    texts = source_of(corpus, replace(CONFIG, budget=10, second_phase=phase)).texts
    assert texts[48].longest_unit < texts[80].longest_unit
    for name in ("starts", "ends", "before"):
        assert getattr(texts[48], name) is getattr(texts[80], name)


def test_the_count_of_predictions_follows_the_length(corpus: Corpus) -> None:
    batch = source_of(corpus).batch(0)
    wanted = np.maximum(np.rint(batch.mask.sum(dim=1).numpy() * 0.15), 1)
    candidates = batch.mask.sum(dim=1).numpy() - 3
    assert batch.weights.shape == (32, 7)
    assert np.array_equal(batch.weights.sum(dim=1).numpy(), np.minimum(wanted, candidates))


def places_of(text: Text, example: Places, stride: int, seed: int) -> Places:
    return slot_places(text, example, stride, epoch_keys(text, example, stride, seed))


@given(tokens=st.integers(1, 500), stride=st.integers(1, 60), seed=st.integers(0, 99), epoch=st.integers(0, 3))
def test_every_epoch_visits_each_slot_once(tokens: int, stride: int, seed: int, epoch: int) -> None:
    ids = np.zeros(tokens, dtype=np.uint16)
    text = Text(
        ids, np.array([0, tokens]), np.array([0, 1]), np.zeros(1, dtype=bool), min_sentences=1, longest_unit=tokens
    )
    slots = -(-tokens // stride)
    places = places_of(text, epoch * slots + np.arange(slots), stride, seed)
    gaps = np.diff(np.sort(places))
    assert len(set(places.tolist())) == slots
    assert (gaps <= stride).all()


@pytest.mark.parametrize("objective", ["mlm+nsp", "mlm"])
def test_beginnings_and_ends_of_documents_are_seen_as_often_as_what_is_between(tmp_path: Path, objective: Any) -> None:
    corpus = place_store(tmp_path, [[11, 7, 15, 9] * 10] * 50)
    source = source_of(corpus, replace(CONFIG, objective=objective, short_rate=0.0))
    room, seen = source.room(48), np.zeros(len(corpus[0].ids))
    for step in range(12 * len(seen) // (room * 32)):  # twelve epochs
        ids = source.batch(step).unmasked().numpy()
        np.add.at(seen, ids[ids >= SPECIALS] - SPECIALS, 1)
    by_place = seen.reshape(50, -1).mean(axis=0)
    inner = by_place[2 * room : -2 * room].mean()
    assert by_place[:room].mean() == pytest.approx(inner, rel=0.2)
    assert by_place[-room:].mean() == pytest.approx(inner, rel=0.2)
    assert by_place[: room // 3].mean() > 0.4 * inner


@pytest.mark.parametrize(("objective", "most"), [("mlm+nsp", 0.27), ("mlm", 0.12)])
def test_an_epochs_sequences_of_a_long_document_lie_side_by_side(tmp_path: Path, objective: Any, most: float) -> None:
    corpus = place_store(tmp_path, [[3, 5, 4] * 170] * 20)  # what a random second segment skips is not seen
    source = source_of(corpus, replace(CONFIG, objective=objective, short_rate=0.0))
    seen = np.zeros(len(corpus[0].ids), dtype=bool)
    for step in range(len(seen) // (source.room(48) * 32)):
        ids = source.batch(step).unmasked().numpy()
        seen[ids[ids >= SPECIALS] - SPECIALS] = True
    assert 1 - seen.mean() < most


def test_epochs_differ_in_order_and_in_where_their_sequences_begin(corpus: Corpus) -> None:
    source = source_of(corpus)
    text, room = source.texts[48], source.room(48)
    slots = -(-text.tokens // room)
    first, second = (places_of(text, epoch * slots + np.arange(slots), room, 0) for epoch in (0, 1))
    assert not np.array_equal(np.argsort(first), np.argsort(second))
    assert not set(first.tolist()) & set(second.tolist())  # nor do they begin at the same tokens
    other_seed = places_of(text, np.arange(slots), room, 1)
    assert not np.array_equal(np.argsort(first), np.argsort(other_seed))
    assert permute(np.arange(slots), slots, 1).shape == (slots,)


def test_an_epoch_has_the_documents_of_an_upsampled_source_so_often(tmp_path: Path) -> None:
    lengths = [[9, 9, 9]] * 6
    corpus = place_store(tmp_path, lengths, sources=[("few", 2), ("many", 3), ("few", 1)])
    config = replace(CONFIG, objective="mlm", sequence_length=29, upsample={"few": 3})  # 27 tokens of text: a document
    text = source_of(corpus, config).texts[29]
    epoch = places_of(text, np.arange(text.tokens // 27), 27, 0)
    assert np.bincount(text.starts[text.locate(epoch)[0]] // 27).tolist() == [3, 3, 1, 1, 1, 3]
    plain, once = source_of(corpus), source_of(corpus, replace(CONFIG, upsample={"many": 1}))
    assert all(equal(plain.batch(step), once.batch(step)) for step in range(3))


@given(upsample=st.dictionaries(st.sampled_from("abc"), st.integers(1, 4)), seed=st.integers(0, 9))
def test_a_random_segment_is_never_from_a_copy_of_its_own_document(
    tmp_path_factory: pytest.TempPathFactory, upsample: dict[str, int], seed: int
) -> None:
    sources = [("a", 2), ("b", 1), ("c", 2)]
    corpus = place_store(tmp_path_factory.mktemp("store"), random_lengths(5, seed=seed), sources=sources)
    batch = source_of(corpus, replace(CONFIG, upsample=upsample), seed).batch(0)
    bounds = corpus[0].sentences[corpus[0].documents]
    for row, label in enumerate(batch.labels.tolist()):
        first, second = (set(np.searchsorted(bounds, places, "right")) for places in segments_of(batch, row))
        assert len(first) == len(second) == 1
        assert (first != second) == bool(label)


def test_a_source_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path) -> None:
    corpus = place_store(tmp_path, [[9, 9]] * 4, sources=[("wiki.txt", 3), ("books.txt", 1)])
    with pytest.raises(BertlineError, match=r"pretrain\.upsample.*'book\.txt', but from wiki\.txt, books\.txt"):
        source_of(corpus, replace(CONFIG, upsample={"book.txt": 2}))


def test_long_sentences_are_reached_in_all_their_length(tmp_path: Path) -> None:
    corpus = place_store(tmp_path, [[400, 3], [5, 300, 200]], inside=0.5)
    source = source_of(corpus, replace(CONFIG, sequence_length=24))
    seen = np.zeros(len(corpus[0].ids), dtype=bool)
    for step in range(60):
        batch = source.batch(step)
        for row in range(32):
            for segment in segments_of(batch, row):
                seen[segment] = True
    assert seen.mean() > 0.99


@pytest.mark.parametrize("chunk", [1, 3, 1 << 22])
def test_sentences_without_tokens_and_one_sentence_documents_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(segments, "_CHUNK", chunk)
    lengths = [[3, 0, 9], [0, 4], [7], [0], [6, 5, 0], [30, 0, 0, 30]]
    corpus = place_store(tmp_path, lengths)
    source = source_of(corpus)
    assert source.texts[48].documents == 3
    eligible = {*range(12), *range(23, 34), *range(34, 94)}
    for step in range(30):
        batch = source.batch(step)
        for row in range(32):
            first, second = segments_of(batch, row)
            assert len(first) and len(second) and eligible.issuperset([*first, *second])


def test_next_sentence_prediction_needs_two_documents_and_says_so(tmp_path: Path) -> None:
    corpus = place_store(tmp_path / "one", [[5, 5, 5]])
    with pytest.raises(BertlineError, match=r"two documents.*objective to mlm"):
        source_of(corpus)
    source_of(corpus, replace(CONFIG, objective="mlm")).batch(0)
    twice = place_store(tmp_path / "twice", [[5, 5, 5]], sources=[("few", 1)])
    with pytest.raises(BertlineError, match=r"two documents"):
        source_of(twice, replace(CONFIG, upsample={"few": 2}))
    single = place_store(tmp_path / "single", [[5], [6]])
    with pytest.raises(BertlineError, match="2 or more sentences"):
        source_of(single)
    assert source_of(single, replace(CONFIG, objective="mlm")).texts[48].documents == 2


def test_the_mlm_objective_gives_one_segment(corpus: Corpus) -> None:
    store, vocabulary = corpus
    inside, document = continues(vocabulary), document_of(store)
    source = source_of(corpus, replace(CONFIG, objective="mlm"))
    for step in range(20):
        batch = source.batch(step)
        ids = batch.unmasked().numpy()
        assert not batch.segments.any() and not batch.labels.any()
        for row in ids:
            (end,) = np.flatnonzero(row == SPECIAL.sep)
            text = row[1:end] - SPECIALS
            assert row[0] == SPECIAL.cls and (row[end + 1 :] == SPECIAL.pad).all()
            assert (np.diff(text) == 1).all() and len(set(document[text])) == 1
            assert not inside[text[0]] and not inside[text[-1] + 1]


@pytest.fixture(scope="module")
def rearranged(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, torch.Tensor]:
    """The same corpus with the vocabulary laid out as that of bert-base-uncased, and its id for each of the other."""
    store, vocabulary = corpus
    entries = as_bert_base(vocabulary[SPECIALS:])
    place = np.array([entries.index(piece) for piece in vocabulary])
    assert place[:SPECIALS].tolist() == [0, 100, 101, 102, 103] and place[SPECIALS] == 999
    sentences = np.split(place[store.ids], store.sentences[1:-1])
    documents = [
        [sentence.tolist() for sentence in sentences[begin:end]]
        for begin, end in zip(store.documents, store.documents[1:], strict=False)
    ]
    made = make_store(tmp_path_factory.mktemp("rearranged"), documents, len(entries))
    return (made, entries), torch.from_numpy(place)


@settings(max_examples=25)
@given(
    step=st.integers(0, 10**9),
    objective=st.sampled_from(["mlm+nsp", "mlm"]),
    whole_word=st.booleans(),
    mask_rate=st.sampled_from([0.15, 0.5]),
)
def test_another_order_of_the_vocabulary_gives_the_same_batches_in_other_ids(
    corpus: Corpus,
    rearranged: tuple[Corpus, torch.Tensor],
    step: int,
    objective: Any,
    whole_word: bool,
    mask_rate: float,
) -> None:
    config = replace(CONFIG, objective=objective, whole_word=whole_word, mask_rate=mask_rate)
    other, place = rearranged
    mine, theirs = source_of(corpus, config).batch(step), source_of(other, config).batch(step)
    assert torch.equal(place[mine.ids], theirs.ids)
    assert equal(replace(mine, ids=place[mine.ids], targets=place[mine.targets]), theirs)


def test_a_word_too_long_for_any_sequence_is_cut(tmp_path: Path) -> None:
    corpus = place_store(tmp_path, [[90, 90], [90, 90]], inside=1.0)
    source = source_of(corpus, replace(CONFIG, sequence_length=16))
    assert all(int(source.batch(step).mask.sum(dim=1).min()) >= 5 for step in range(10))


def test_ids_may_be_of_any_width(tmp_path: Path) -> None:
    store = make_store(tmp_path, [[[70_000, 5], [6, 7]], [[8, 9], [10, 11]]], 70_001)
    vocabulary = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(70_001 - 5))]
    batches = [source_of((store, vocabulary)).batch(step) for step in range(5)]
    assert max(int(batch.unmasked().max()) for batch in batches) == 70_000


@pytest.mark.parametrize("workers", [1, 3])
def test_prefetching_changes_neither_order_nor_content(corpus: Corpus, workers: int) -> None:
    source = source_of(corpus)
    with Prefetcher(source.batch, first=7, workers=workers) as batches:
        assert all(equal(next(batches), source.batch(step)) for step in range(7, 27))


def test_an_error_in_the_background_reaches_the_consumer() -> None:
    def fail(step: int) -> int:
        if step == 2:
            raise BertlineError("broken", where="here", fix="mend it")
        return step

    with Prefetcher(fail, first=0) as values:
        assert [next(values), next(values)] == [0, 1]
        with pytest.raises(BertlineError, match="broken"):
            next(values)
