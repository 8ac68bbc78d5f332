"""gate_tokens lets a sound vocabulary and sound stores pass, and names what is wrong with others."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Vocab
from bertline.base.errors import BertlineError
from bertline.stages import gate_tokens
from gate_data import ENTRIES, change_json, small_params, write_store, write_vocab


def edit_store(change: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple], **meta: object):
    """Rewrite the training store with a meta.json that agrees, as a faulty encoder would."""

    def apply(artifacts: Artifacts) -> None:
        directory = artifacts.tokens("train")
        arrays = [np.load(directory / f"{name}.npy") for name in ("ids", "sentences", "documents")]
        write_store(artifacts, "train", *change(*arrays), **meta)

    return apply


def edit_ids(change: Callable[[np.ndarray], None], **meta: object):
    def apply(ids: np.ndarray, sentences: np.ndarray, documents: np.ndarray) -> tuple:
        change(ids)
        return ids, sentences, documents

    return edit_store(apply, **meta)


def edit_bytes(name: str, change: Callable[[bytes], bytes]):
    def apply(artifacts: Artifacts) -> None:
        path: Path = artifacts.tokens("train") / name
        path.write_bytes(change(path.read_bytes()))

    return apply


def edit_vocab(entries: list[str]):
    """Another vocabulary, which the stores' meta.json knows: only the vocabulary itself is at fault."""

    def apply(artifacts: Artifacts) -> None:
        write_vocab(artifacts, entries)
        for split in ("train", "validation"):
            arrays = [np.load(artifacts.tokens(split) / f"{name}.npy") for name in ("ids", "sentences", "documents")]
            write_store(artifacts, split, *arrays)

    return apply


def edit_meta(change: Callable[[dict], object]):
    return lambda artifacts: change_json(artifacts.tokens("train") / "meta.json", change)


def swap(values: np.ndarray, a: int, b: int) -> np.ndarray:
    values[[a, b]] = values[[b, a]]
    return values


FAULTS: dict[str, tuple[Callable[[Artifacts], object], str]] = {
    "specials in another order": (edit_vocab(swap(np.array(ENTRIES), 2, 3).tolist()), "special_tokens_come_first"),
    "no mask": (
        edit_vocab(["[MAST]" if entry == "[MASK]" else entry for entry in ENTRIES]),
        "special_tokens_are_there",
    ),
    "a special token twice": (edit_vocab([*ENTRIES[:-1], "[SEP]"]), "special_tokens_are_there"),
    "padding that is not 0": (
        edit_vocab(swap(np.array(ENTRIES), 0, 7).tolist()),
        r"special_tokens_are_there.*id 7, not 0",
    ),
    "an entry twice": (edit_vocab([*ENTRIES[:-1], ENTRIES[-2]]), "entries_are_unique"),
    "an empty entry": (edit_vocab([*ENTRIES[:-1], ""]), "entries_are_pieces"),
    "a size of its own": (edit_vocab([*ENTRIES, "one", "two"]), "size_is_a_multiple_of_64"),
    "another tokenizer": (
        lambda a: change_json(a.vocab / "tokenizer.json", lambda v: v["model"]["vocab"].update(word0=6, word1=5)),
        "tokenizer_has_the_vocabulary",
    ),
    "no vocabulary": (lambda a: (a.vocab / "vocab.txt").unlink(), "special_tokens_are_there"),
    "stores of another vocabulary": (
        lambda a: write_vocab(a, [*ENTRIES[:5], *reversed(ENTRIES[5:])]),
        "stores_are_of_this_vocabulary",
    ),
    "a truncated store": (edit_bytes("ids.npy", lambda data: data[:-100]), "stores_can_be_read"),
    "no offsets": (lambda a: (a.tokens("train") / "sentences.npy").unlink(), "stores_can_be_read"),
    "no counts": (edit_meta(lambda meta: meta.pop("words")), "counts_are_recorded"),
    "another byte": (edit_bytes("ids.npy", lambda data: data[:-2] + b"\x09\x00"), "files_are_as_written"),
    "miscounted": (edit_meta(lambda meta: meta.update(documents=39)), "counts_are_as_recorded"),
    "ids beyond the vocabulary": (edit_ids(lambda ids: ids.__setitem__(7, 128)), "ids_are_in_the_vocabulary"),
    "special ids in the text": (edit_ids(lambda ids: ids.__setitem__(7, 2)), "no_special_ids_in_the_text"),
    "unknown tokens": (edit_ids(lambda ids: ids.__setitem__(slice(0, 90), 1)), "unknown_tokens_are_rare"),
    "a vocabulary hardly used": (edit_ids(lambda ids: ids.__setitem__(slice(None), 7)), "vocabulary_is_in_use"),
    "offsets not rising": (edit_store(lambda i, s, d: (i, swap(s, 3, 4), d)), "offsets_are_whole"),
    "offsets ending early": (edit_store(lambda i, s, d: (i[:-5], s, d)), "offsets_are_whole"),
    "offsets not from 0": (edit_store(lambda i, s, d: (i, s + 1, d)), "offsets_are_whole"),
    "sentences of one token": (
        edit_store(lambda i, s, d: (i, np.arange(len(i) + 1), np.append(d[:-1], len(i)))),
        "sentences_are_of_normal_length",
    ),
    "lost documents": (edit_store(lambda i, s, d: (i[:-60], s[:-5], d[:-1])), "no_document_was_lost"),
    "words in pieces": (edit_meta(lambda meta: meta.update(words=100)), "words_are_few_tokens"),
    "other figures": (
        lambda a: change_json(a.metrics("encode"), lambda value: value.update(unigram_entropy=9.9)),
        "figures_agree_with_encode",
    ),
}


def test_sound_tokens_pass_without_a_warning(copy_of, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = copy_of("tokens")
    metrics = gate_tokens.run(small_params(), artifacts)
    assert json.loads(artifacts.gate_report("gate_tokens").read_text())["passed"]
    assert (metrics["warnings"], metrics["train_tokens"], metrics["vocab_used"]) == (0, 2400, 1.0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_tokens_is_named(fault: str, copy_of) -> None:
    artifacts = copy_of("tokens")
    change, expectation = FAULTS[fault]
    change(artifacts)
    with pytest.raises(BertlineError, match=expectation):
        gate_tokens.run(small_params(), artifacts)


def test_a_reused_vocabulary_has_a_size_and_an_order_of_its_own(copy_of) -> None:
    artifacts = copy_of("tokens")
    params = replace(small_params(), vocab=Vocab(reuse="data/initial/bert"))
    edit_vocab([ENTRIES[0], *ENTRIES[5:], *ENTRIES[1:5], "[unused0]"])(artifacts)
    for split in ("train", "validation"):
        arrays = [np.load(artifacts.tokens(split) / f"{name}.npy") for name in ("ids", "sentences", "documents")]
        write_store(artifacts, split, arrays[0] - 4, *arrays[1:], unknown=0)
    assert gate_tokens.run(params, artifacts)["warnings"] == 0
    with pytest.raises(BertlineError, match="special_tokens_come_first"):
        gate_tokens.run(small_params(), artifacts)
    edit_vocab([ENTRIES[0], *ENTRIES[5:], *ENTRIES[1:4], "[unused0]", "[unused1]"])(artifacts)
    with pytest.raises(BertlineError, match=r"special_tokens_are_there.*\[MASK\] is there 0 times"):
        gate_tokens.run(params, artifacts)


def test_documents_that_the_filter_dropped_are_not_lost_but_many_are_a_warning(
    copy_of, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts = copy_of("tokens")
    edit_store(lambda i, s, d: (i[:-60], s[:-5], d[:-1]))(artifacts)
    edit_meta(lambda meta: meta.update(dropped=1))(artifacts)
    change_json(artifacts.metrics("encode"), lambda value: value.update(train_tokens=2340))
    assert gate_tokens.run(small_params(), artifacts)["warnings"] == 0
    change_json(artifacts.metrics("documents"), lambda value: value.update(train_documents=60))
    edit_meta(lambda meta: meta.update(dropped=21))(artifacts)
    assert gate_tokens.run(small_params(), artifacts)["warnings"] == 1
    assert "few_documents_were_dropped failed" in capsys.readouterr().err


def test_a_vocabulary_of_whole_words_is_a_warning(copy_of, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = copy_of("tokens")
    edit_vocab([entry.replace("##", "@") for entry in ENTRIES])(artifacts)
    assert gate_tokens.run(small_params(), artifacts)["warnings"] == 1
    assert "words_have_continuations failed" in capsys.readouterr().err


def test_too_few_tokens_are_told_with_the_option_to_change(copy_of) -> None:
    params = replace(small_params(), gate_tokens=replace(small_params().gate_tokens, min_tokens=2401))
    with pytest.raises(BertlineError, match=r"tokens_are_enough.*2,401.*found 2400.*gate_tokens.min_tokens"):
        gate_tokens.run(params, copy_of("tokens"))
