"""gate_tokens: reused vocabularies, documents dropped on the way, what it says; its faults are in test_faults.py."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Vocab
from bertline.base.errors import BertlineError
from bertline.base.files import read_json
from bertline.stages import encode, gate_tokens
from bertline.tokens.tokenizer import write_tokenizer
from bertline.validation import token_store
from bertline.validation.text_of_tokens import Offsets, text_fault
from clean_run import PARAMS
from faults import change_json, corpus, tokens


def test_documents_that_were_dropped_at_the_beginning_of_a_split_stop_nothing(clean_copy: Artifacts) -> None:
    lists = [" ".join(f"{number * 7919 % 99991:x}" for number in range(first, first + 40)) for first in range(60)]
    rows = corpus.read_documents(clean_copy, "validation")
    odd = [{**rows[0], "id": f"{place:032x}", "sentences": [text, text]} for place, text in enumerate(lists)]
    corpus.write_documents(clean_copy, "validation", [*odd, *rows])
    change_json(clean_copy.metrics("documents"), lambda value: value.update(validation_documents=len(rows) + len(odd)))
    assert encode.run(PARAMS, clean_copy)["dropped_documents"] >= len(odd)
    gate_tokens.run(PARAMS, clean_copy)


def test_vowels_that_are_marks_and_words_without_spaces_are_told_of(
    clean_copy: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    thai = replace(PARAMS, documents=replace(PARAMS.documents, language="th"))
    gate_tokens.run(thai, clean_copy)
    said = capsys.readouterr().err
    assert "marks_are_kept failed" in said and "Set vocab.lowercase to false" in said
    few = replace(thai, gate_tokens=replace(PARAMS.gate_tokens, max_tokens_per_word=1.0))
    with pytest.raises(BertlineError, match=r"words_are_few_tokens.*Raise gate_tokens\.max_tokens_per_word"):
        gate_tokens.run(few, clean_copy)
    endless = "ก" * 101
    corpus.change("train", lambda rows: [row["sentences"].append(endless) for row in rows] and None)(clean_copy)
    encode.run(PARAMS, clean_copy)
    with pytest.raises(BertlineError, match=r"unknown_tokens_are_rare.*put spaces between words"):
        gate_tokens.run(thai, clean_copy)
    chinese = replace(PARAMS, documents=replace(PARAMS.documents, language="zh"))  # an entry a character
    with pytest.raises(BertlineError, match=r"unknown_tokens_are_rare.*twice.*raise gate_tokens\.max_unknown_share"):
        gate_tokens.run(chinese, clean_copy)


def test_a_reused_vocabulary_has_a_size_an_order_and_a_case_of_its_own(clean_copy: Artifacts) -> None:
    entries = tokens.entries_of(clean_copy)
    theirs = [entries[0], *entries[5:], *entries[1:5], "[unused0]", "\u2028", ""]  # as in bert-base-chinese
    write_tokenizer(theirs, clean_copy.vocab, lowercase=False)
    encode.run(PARAMS, clean_copy)
    reused = replace(
        PARAMS,
        vocab=Vocab(reuse="data/initial/bert"),
        gate_tokens=replace(PARAMS.gate_tokens, max_unknown_share=0.2),
    )
    assert gate_tokens.run(reused, clean_copy)["warnings"] == 0
    with pytest.raises(
        BertlineError, match=r"special_tokens_come_first.*size_is_a_multiple_of_64, capitals_are_as_asked"
    ):
        gate_tokens.run(PARAMS, clean_copy)
    write_tokenizer([*theirs, "two words"], clean_copy.vocab, lowercase=False)
    encode.run(PARAMS, clean_copy)
    with pytest.raises(BertlineError, match=r"entries_are_pieces"):
        gate_tokens.run(reused, clean_copy)


def test_a_vocabulary_of_whole_words_is_a_warning(clean_copy: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    entries = tokens.entries_of(clean_copy)
    whole = [entry if entry in entries[:5] or not entry.startswith("##") else f"@{entry[2:]}" for entry in entries]
    write_tokenizer(whole, clean_copy.vocab, lowercase=True)
    encode.run(PARAMS, clean_copy)
    lax = replace(PARAMS.gate_tokens, max_unknown_share=1.0, min_vocab_used=0.1)
    assert gate_tokens.run(replace(PARAMS, gate_tokens=lax), clean_copy)["warnings"] == 1
    assert "words_have_continuations failed" in capsys.readouterr().err


def test_too_few_tokens_are_told_with_the_option_to_change(clean_copy: Artifacts) -> None:
    params = replace(PARAMS, gate_tokens=replace(PARAMS.gate_tokens, min_tokens=90_000_000))
    with pytest.raises(BertlineError, match=r"tokens_are_enough.*90,000,000.*found \d+.*gate_tokens.min_tokens"):
        gate_tokens.run(params, clean_copy)


def test_a_text_that_spells_special_tokens_passes(clean_copy: Artifacts) -> None:
    spelled = "The model guesses what [MASK] was, between [CLS] and [SEP]."
    for split in ("train", "validation"):
        corpus.change(split, lambda rows: [row["sentences"].append(spelled) for row in rows[:3]] and None)(clean_copy)
    encode.run(PARAMS, clean_copy)
    assert gate_tokens.run(PARAMS, clean_copy)["warnings"] == 0


def test_what_no_text_gives_is_counted_token_by_token_and_empty_sentences_are_told(clean_copy: Artifacts) -> None:
    def spoil(ids: np.ndarray, sentences: np.ndarray, documents: np.ndarray) -> None:
        ids[:4] = 0, 2, 3, 4  # [PAD], [CLS], [SEP], [MASK]
        sentences[7] = sentences[6]

    tokens.store(lambda i, s, d: spoil(i, s, d) and None)(clean_copy)
    found = token_store.token_frames(clean_copy, {}, {})["stores"].table.iloc[0]
    assert (found["special_ids"], found["offset_faults"]) == (4, "sentences do not rise at 7")


def test_a_figure_that_encode_tells_otherwise_or_not_at_all_is_named(clean_copy: Artifacts) -> None:
    told = read_json(clean_copy.metrics("encode"))

    def differing(**changed: object) -> str:
        found = token_store.token_frames(clean_copy, read_json(clean_copy.metrics("documents")), told | changed)
        return str(found["tokens"].table["differs"].item())

    assert differing() == ""
    assert differing(unigram_entropy=told["unigram_entropy"] * 1.00005) == "", "rounded"
    assert differing(unigram_entropy=told["unigram_entropy"] * 1.001).startswith("unigram_entropy: ")
    assert differing(train_tokens=None).endswith(" here, None there")


def test_offsets_of_a_large_store_are_looked_at_in_little_memory(
    clean_copy: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "_BLOCK", 1 << 16)
    sentences = np.arange(2**20 + 1)
    sentences[3 << 16] -= 1  # the last of a block, and the first of the next
    arrays = (np.zeros(2**20, np.uint16), sentences, np.array([0, 2**20]))
    for name, array in zip(tokens.NAMES, arrays, strict=True):
        np.save(clean_copy.tokens("train") / f"{name}.npy", array)
    tracemalloc.start()
    try:
        found = token_store.token_frames(clean_copy, {}, {})["stores"].table
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found["offset_faults"].tolist() == [f"sentences do not rise at {3 << 16}", ""]
    assert peak < 4e6, "8 MB are all offsets"


def test_text_is_found_in_a_store_that_dropped_some_documents(clean_copy: Artifacts) -> None:
    """A stage may leave documents out; the others must still be there."""
    directory = clean_copy.tokens("train")
    ids, sentences, documents = (np.load(directory / f"{name}.npy") for name in tokens.NAMES)
    kept = [place for place in range(len(documents) - 1) if place % 10 != 3]
    spans = [range(documents[place], documents[place + 1]) for place in kept]
    lengths = np.array([sentences[s + 1] - sentences[s] for span in spans for s in span])
    parts = [ids[sentences[span.start] : sentences[span.stop]] for span in spans]
    thinned = Offsets(
        np.concatenate(parts),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([[0], np.cumsum([len(span) for span in spans])]),
    )
    tokenizer = clean_copy.vocab / "tokenizer.json"
    assert text_fault(clean_copy.documents, "train", tokenizer, thinned) == ""
    shifted = Offsets(thinned.ids ^ 1, thinned.sentences, thinned.documents)
    assert "documents have other ids" in text_fault(clean_copy.documents, "train", tokenizer, shifted)


def test_a_store_that_is_wrong_in_part_is_told_though_some_documents_were_dropped(clean_copy: Artifacts) -> None:
    """One dropped document explains one that is not found, and not a third of them."""
    directory = clean_copy.tokens("train")
    ids, sentences, documents = (np.load(directory / f"{name}.npy") for name in tokens.NAMES)
    start = sentences[documents[1]]  # the first document was dropped
    thinned = Offsets(ids[start:], sentences[documents[1] :] - start, documents[1:] - documents[1])
    tokenizer = clean_copy.vocab / "tokenizer.json"
    assert text_fault(clean_copy.documents, "train", tokenizer, thinned) == ""
    first = thinned.sentences[thinned.documents[2 * len(documents) // 3]]
    odd = np.where(np.arange(len(thinned.ids)) < first, thinned.ids, thinned.ids ^ 1)
    fault = text_fault(clean_copy.documents, "train", tokenizer, Offsets(odd, thinned.sentences, thinned.documents))
    assert "documents have other ids" in fault
