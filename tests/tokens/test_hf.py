"""Tokenizers of Hugging Face BERT directories: read with the ids that stock transformers gives, or refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, BertConfig, PreTrainedTokenizerBase

from bertline.base.errors import BertlineError
from bertline.tokens.hf import first_difference, read_tokenizer
from bertline.tokens.tokenizer import SpecialIds, build_tokenizer, load_tokenizer, read_vocab, write_tokenizer
from their_bert import as_bert_base, save_tokenizer
from tricky_text import texts

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def entries(vocab: list[str]) -> list[str]:
    pieces = [piece for piece in vocab if not piece.startswith("[")]
    return as_bert_base([*pieces, "Café", "##É", "Fox"])


def theirs(directory: Path, entries: list[str], **options: Any) -> Path:
    """A BERT directory as transformers writes it, but for the weights."""
    save_tokenizer(directory, entries, **options)
    BertConfig(vocab_size=len(entries)).save_pretrained(directory)
    return directory


def taken_over(directory: Path, destination: Path) -> Tokenizer:
    """Our tokenizer of a BERT directory, as stage vocab writes it."""
    found = read_tokenizer(directory)
    destination.mkdir()
    write_tokenizer(found.vocabulary, destination, lowercase=found.lowercase)
    return load_tokenizer(destination)


DIRECTORIES = {
    "vocab.txt alone": (True, ("vocab.txt",)),
    "tokenizer.json alone": (True, ("tokenizer.json",)),
    "all, uncased": (True, ("vocab.txt", "tokenizer.json", "tokenizer_config.json")),
    "all, cased": (False, ("vocab.txt", "tokenizer.json", "tokenizer_config.json")),
    "vocab.txt, cased": (False, ("vocab.txt", "tokenizer_config.json")),
    "tokenizer.json, cased": (False, ("tokenizer.json", "tokenizer_config.json")),
}


@pytest.fixture(scope="module", params=DIRECTORIES)
def pair(
    request: pytest.FixtureRequest, entries: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, PreTrainedTokenizerBase]:
    """Our tokenizer, and AutoTokenizer of the directory that it was taken from."""
    root = tmp_path_factory.mktemp("pair")
    lowercase, keep = DIRECTORIES[request.param]
    directory = theirs(root / "bert", entries, lowercase=lowercase, keep=keep)
    return taken_over(directory, root / "ours"), AutoTokenizer.from_pretrained(directory)


@settings(max_examples=60)
@given(text=texts, second=texts.filter(bool))  # to transformers an empty second text is none
@example("the [MASK] Café quick[SEP]ly", "[unused7] [UNK] CAFÉ")
def test_ids_are_those_of_autotokenizer_on_the_directory(
    pair: tuple[Tokenizer, PreTrainedTokenizerBase], text: str, second: str
) -> None:
    ours, auto = pair
    mine, other = ours.encode(text, second), auto(text, second)
    assert mine.ids == other["input_ids"]
    assert mine.type_ids == other["token_type_ids"]
    assert ours.encode(text, add_special_tokens=False).ids == auto(text, add_special_tokens=False)["input_ids"]


def test_special_tokens_are_found_where_they_stand(entries: list[str], tmp_path: Path) -> None:
    directory = theirs(tmp_path / "bert", entries, lowercase=True, keep=("tokenizer.json",))
    assert SpecialIds.of(read_tokenizer(directory).vocabulary) == SpecialIds(0, 100, 101, 102, 103)


def test_a_general_tokenizer_class_takes_its_case_from_tokenizer_json(entries: list[str], tmp_path: Path) -> None:
    directory = theirs(tmp_path / "bert", entries, lowercase=False, keep=("tokenizer.json",))
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    ours, auto = taken_over(directory, tmp_path / "ours"), AutoTokenizer.from_pretrained(directory)
    assert ours.encode("Fox fox").tokens == ["[CLS]", "Fox", "fox", "[SEP]"]
    assert ours.encode("Fox fox").ids == auto("Fox fox")["input_ids"]


@pytest.mark.parametrize("keep", [("vocab.txt",), ("tokenizer.json",), ("vocab.txt", "tokenizer.json")])
def test_the_line_separator_among_the_entries_of_bert_base_chinese_is_one_of_them(
    keep: tuple[str, ...], entries: list[str], tmp_path: Path
) -> None:
    """Id 343 there (transformers#860): no text becomes it, since it is a blank, but the ids after it count it."""
    chinese = [*entries[:343], "\u2028", *entries[343:]]
    directory = theirs(tmp_path / "bert", chinese)
    (directory / "tokenizer.json").write_text(build_tokenizer(chinese, lowercase=True).to_str())
    for name in {"vocab.txt", "tokenizer.json"}.difference(keep):
        (directory / name).unlink()
    ours, auto = taken_over(directory, tmp_path / "ours"), AutoTokenizer.from_pretrained(directory)
    assert read_vocab(tmp_path / "ours") == chinese
    text = "the quick\u2028brown fox"
    assert (
        ours.encode(text).ids
        == auto(text)["input_ids"]
        == AutoTokenizer.from_pretrained(tmp_path / "ours")(text)["input_ids"]
    )


@pytest.mark.parametrize("keep", [("tokenizer.json",), ("vocab.txt", "tokenizer.json")])
def test_it_is_an_empty_entry_where_transformers_has_read_it_from_vocab_txt_and_saved_it(
    keep: tuple[str, ...], entries: list[str], tmp_path: Path
) -> None:
    directory = theirs(tmp_path / "bert", [*entries[:343], "\u2028", *entries[343:]], keep=keep)
    ours, auto = taken_over(directory, tmp_path / "ours"), AutoTokenizer.from_pretrained(directory)
    assert read_vocab(tmp_path / "ours")[343] == ""
    assert ours.encode("the quick brown fox").ids == auto("the quick brown fox")["input_ids"]


def change(name: str, edit: Callable[[dict[str, Any]], object]) -> Change:
    """Change a JSON object in place, or make one."""

    def apply(directory: Path) -> None:
        path = directory / name
        value = json.loads(path.read_text()) if path.exists() else {}
        edit(value)
        path.write_text(json.dumps(value))

    return apply


def lines(edit: Callable[[list[str]], list[str]]) -> Change:
    """Change vocab.txt, and have no tokenizer.json beside it."""

    def apply(directory: Path) -> None:
        (directory / "tokenizer.json").unlink()
        path = directory / "vocab.txt"
        path.write_text("".join(f"{line}\n" for line in edit(path.read_text().splitlines())))

    return apply


def write_bpe(directory: Path) -> None:
    (directory / "vocab.txt").unlink()
    Tokenizer(models.BPE({"a": 0, "b": 1}, [])).save(str(directory / "tokenizer.json"))


JSON, CONFIG = "tokenizer.json", "tokenizer_config.json"
FAULTS: dict[str, tuple[Change, str]] = {
    "no directory": (shutil.rmtree, "no such directory"),
    "no tokenizer": (
        lambda path: [(path / name).unlink() for name in ("vocab.txt", JSON)],
        r"neither vocab\.txt nor tokenizer\.json.*Copy vocab\.txt",
    ),
    "malformed": (lambda path: (path / JSON).write_text('{"version": "1.0"}'), "not a tokenizer"),
    "not UTF-8": (
        lambda path: [(path / JSON).unlink(), (path / "vocab.txt").write_bytes(b"[PAD]\n\xff\n")],
        "not a vocabulary",
    ),
    "config no object": (lambda path: (path / CONFIG).write_text("[]"), "not a JSON object"),
    "another model": (write_bpe, "a BPE tokenizer, not WordPiece"),
    "another class": (
        change(CONFIG, lambda v: v.update(tokenizer_class="BertJapaneseTokenizer")),
        "a BertJapaneseTokenizer, not a BertTokenizer",
    ),
    "another normaliser": (
        change(JSON, lambda v: v.update(normalizer={"type": "NFKC"})),
        r'its normalizer is \{"type": "NFKC"\}',
    ),
    "accents kept": (
        change(JSON, lambda v: v["normalizer"].update(strip_accents=False)),
        "its normalizer is .*strip_accents",
    ),
    "accents kept by config": (
        change(CONFIG, lambda v: v.update(strip_accents=False)),
        "strip_accents is False, and only True is supported where do_lower_case is True",
    ),
    "ideographs joined": (
        change(CONFIG, lambda v: v.update(tokenize_chinese_chars=False)),
        "tokenize_chinese_chars is False",
    ),
    "another pre-tokeniser": (
        change(JSON, lambda v: v.update(pre_tokenizer={"type": "Whitespace"})),
        r'its pre_tokenizer is \{"type": "Whitespace"\}',
    ),
    "longer words": (
        change(JSON, lambda v: v["model"].update(max_input_chars_per_word=200)),
        "its model is .*max_input_chars_per_word",
    ),
    "another prefix": (change(JSON, lambda v: v["model"].update(continuing_subword_prefix="@@")), "its model is "),
    "another template": (
        change(JSON, lambda v: v["post_processor"].update(single=[], pair=v["post_processor"]["single"] * 2)),
        r"a pair of texts becomes ",
    ),
    "a panic as it is read": (
        change(JSON, lambda v: v.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        r"not a tokenizer \(Precompiled",
    ),
    "a panic as it is used": (
        change(JSON, lambda v: v["post_processor"].update(special_tokens={})),
        r"not a tokenizer \(no entry found",
    ),
    "cases that contradict": (
        change(CONFIG, lambda v: v.update(do_lower_case=False)),
        "its normalizer has lowercase True, but do_lower_case is False",
    ),
    "no case": (change(CONFIG, lambda v: v.update(do_lower_case="no")), "do_lower_case is 'no', not true or false"),
    "files that contradict": (
        lambda path: (path / "vocab.txt").write_text((path / "vocab.txt").read_text() + "more\n"),
        r"tokenizer\.json: differs from vocab\.txt beside it at id 1",
    ),
    "added beyond": (
        change(JSON, lambda v: v["added_tokens"].append({**v["added_tokens"][0], "id": 9999, "content": "[E1]"})),
        r"adds the token '\[E1\]'",
    ),
    "added in the vocabulary": (
        change(CONFIG, lambda v: v.update(added_tokens_decoder={"1": {"content": "[unused0]"}})),
        r"adds the token '\[unused0\]'",
    ),
    "named otherwise": (change(CONFIG, lambda v: v.update(mask_token="<mask>")), "adds the token '<mask>'"),
    "additional": (
        change("special_tokens_map.json", lambda v: v.update(additional_special_tokens=["[A]"])),
        r"special_tokens_map\.json: adds the token '\[A\]'",
    ),
    "added of old": (change("added_tokens.json", lambda v: v.update({"[B]": 30000})), r"adds the token '\[B\]'"),
    "a gap in the ids": (
        change(JSON, lambda v: v["model"]["vocab"].update({"the": 9999})),
        "no entry has id",
    ),
    "an entry twice": (lines(lambda found: [*found, "the"]), "no entry has id .* an entry occurs twice"),
    "a blank line": (lines(lambda found: [*found[:200], "", *found[200:]]), "entry 200 is blank"),
    "an entry of two words": (lines(lambda found: [*found, "two words"]), "has blanks"),
    "no mask": (lines(lambda found: [entry for entry in found if entry != "[MASK]"]), r"no \[MASK\]"),
    "padding elsewhere": (lines(lambda found: [found[1], found[0], *found[2:]]), r"\[PAD\] is id 1, and only 0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_would_give_other_ids_is_refused_in_one_line(fault: str, entries: list[str], tmp_path: Path) -> None:
    directory = theirs(tmp_path / "bert", entries)
    read_tokenizer(directory)
    spoil, complaint = FAULTS[fault]
    spoil(directory)
    with pytest.raises(BertlineError, match=complaint) as caught:
        read_tokenizer(directory)
    assert "\n" not in str(caught.value) and str(directory) in caught.value.where


def test_vocabularies_are_compared_entry_for_entry() -> None:
    assert first_difference(["a", "b"], ["a", "b"]) is None
    assert first_difference(["a", "b", "c"], ["a", "x", "c"]) == 1
    assert first_difference(["a"], ["a", "b"]) == first_difference(["a", "b"], ["a"]) == 1
