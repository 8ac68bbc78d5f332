"""The tokenizer of a Hugging Face BERT directory, as stock transformers reads it, or a refusal.

    theirs = read_tokenizer(Path("data/initial/bert-base-uncased"))
    write_tokenizer(theirs.vocabulary, directory, lowercase=theirs.lowercase)   # the same ids for every text

As transformers 5 does (`BertTokenizer`, tokenization_bert.py): the entries are those of tokenizer.json, or of vocab.txt
where that is all there is; the case is `do_lower_case` of tokenizer_config.json, and true where it says nothing.
Whatever would give other ids than BERT's own tokenizer over these entries is refused: another model, normaliser or
pre-tokeniser, tokens added beside the vocabulary, and files that contradict each other.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from bertline.base.errors import BertlineError, reason
from bertline.base.files import read_json
from bertline.tokens.tokenizer import (
    CONFIG,
    SPECIAL_TOKENS,
    TOKENIZER,
    VOCAB,
    SpecialIds,
    build_tokenizer,
    malformed_is_refused,
    parse_tokenizer,
)

FILES = (VOCAB, TOKENIZER, CONFIG, "special_tokens_map.json", "added_tokens.json")
"""What may be there of a tokenizer; one of the first two must be."""

_CHOOSE = "Choose the directory of a BERT with a WordPiece tokenizer in Hugging Face format"
_OWN = ("", "BertTokenizer")  # classes, less "Fast", that make the tokenizer from its entries and tokenizer_config.json
_GENERAL = ("PreTrainedTokenizer", "TokenizersBackend")  # those that take tokenizer.json as it stands
_BLANKS = " \t\r\n"  # and no others: bert-base-chinese has an entry U+2028, which no text becomes; see _vocabulary
_PARTS = ("normalizer", "pre_tokenizer", "model")  # of tokenizer.json, what decides about ids


class TheirTokenizer(NamedTuple):
    """What the tokenizer of a BERT depends on.

    Attributes:
        vocabulary: the entries; place = id.
        lowercase: whether it lower-cases and strips accents.
    """

    vocabulary: list[str]
    lowercase: bool


def read_tokenizer(directory: Path) -> TheirTokenizer:
    """Read the tokenizer of a Hugging Face BERT directory.

    Raises:
        BertlineError: there is none, a file is malformed, it is not BERT's, files contradict each other, ids have a
            gap, or as SpecialIds.of.
    """
    if not directory.is_dir():
        raise BertlineError("no such directory", where=str(directory), fix=_CHOOSE)
    config = _read_object(directory / CONFIG)
    _check_added_tokens(directory, config)
    path = directory / TOKENIZER
    tokenizer = parse_tokenizer(path, _CHOOSE) if path.is_file() else None
    vocabulary = _vocabulary(directory, tokenizer)
    lowercase = _lowercase(directory, config, tokenizer)
    if tokenizer is not None:
        _check_pipeline(tokenizer, build_tokenizer(vocabulary, lowercase=lowercase), path)
    return TheirTokenizer(vocabulary, lowercase)


def _read_object(path: Path) -> Mapping[str, Any]:
    """A JSON object; an empty one where there is no such file."""
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise BertlineError("not a JSON object", where=str(path), fix="Fetch or write the file anew")
    return found


def _check_added_tokens(directory: Path, config: Mapping[str, Any]) -> None:
    """Refuse tokens beyond the five: they are found in the text before anything else, and may have ids of their own."""
    roles = {name: value for name, value in config.items() if name.endswith("_token")}
    roles |= {name: config.get(name) for name in ("additional_special_tokens", "extra_special_tokens")}
    named = {
        CONFIG: [*_contents(roles), *_contents(config.get("added_tokens_decoder"))],
        "special_tokens_map.json": _contents(_read_object(directory / "special_tokens_map.json")),
        "added_tokens.json": list(_read_object(directory / "added_tokens.json")),
    }
    for name, tokens in named.items():
        _refuse_added(tokens, directory / name)


def _contents(value: object) -> Iterator[str]:
    """The tokens named in a value of the tokenizer's files: texts, objects with `content`, and collections of these."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and "content" in value:
        yield str(value["content"])
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _contents(each)


def _refuse_added(tokens: Iterable[str], path: Path) -> None:
    for token in tokens:
        if token not in SPECIAL_TOKENS:
            what = f"adds the token {token!r}, and only {' '.join(SPECIAL_TOKENS)} are supported"
            raise BertlineError(what, where=str(path), fix=_CHOOSE)


def _vocabulary(directory: Path, tokenizer: Tokenizer | None) -> list[str]:
    """The entries by id, from tokenizer.json or vocab.txt; refused where both are there and differ."""
    listed = _read_vocab(directory / VOCAB) if (directory / VOCAB).is_file() else None
    if tokenizer is None:
        if listed is None:
            fix = f"Copy {VOCAB} or {TOKENIZER} of the model beside it"
            raise BertlineError(f"no tokenizer: neither {VOCAB} nor {TOKENIZER}", where=str(directory), fix=fix)
        return _in_order(listed, directory / VOCAB)
    path = directory / TOKENIZER
    kind = type(tokenizer.model).__name__
    if kind != "WordPiece":
        raise BertlineError(f"a {kind} tokenizer, not WordPiece", where=str(path), fix=_CHOOSE)
    _refuse_added((token.content for token in tokenizer.get_added_tokens_decoder().values()), path)
    vocabulary = _in_order(tokenizer.get_vocab(with_added_tokens=False), path, empty=True)
    if listed is not None:
        # An entry of blanks that `tokenizers` has read from vocab.txt is empty in the tokenizer.json that it writes.
        alike = ([entry.strip() for entry in each] for each in (vocabulary, _in_order(listed, directory / VOCAB)))
        if (place := first_difference(*alike)) is not None:
            what = f"differs from {VOCAB} beside it at id {place}"
            raise BertlineError(what, where=str(path), fix="Remove the file that is not the model's")
    return vocabulary


def first_difference(one: Sequence[str], other: Sequence[str]) -> int | None:
    """The first id of which two vocabularies have other entries, or one of them has none; None: they are equal."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return None if len(one) == len(other) else min(len(one), len(other))


def _read_vocab(path: Path) -> dict[str, int]:
    """The lines and their numbers, without the blanks behind them; not as `tokenizers` reads them: see _BLANKS."""
    try:
        with path.open(encoding="utf-8") as lines:
            return {line.rstrip(_BLANKS): place for place, line in enumerate(lines)}
    except UnicodeDecodeError as error:
        raise BertlineError(f"not a vocabulary ({reason(error)})", where=str(path), fix=_CHOOSE) from None


def _in_order(places: Mapping[str, int], path: Path, *, empty: bool = False) -> list[str]:
    """Entries by id: one for each id from 0, each a text that a line of vocab.txt can hold; one may be `empty`."""
    vocabulary = sorted(places, key=places.__getitem__)
    for expected, entry in enumerate(vocabulary):
        if places[entry] != expected:
            what = f"no entry has id {expected}, and {entry!r} has {places[entry]}: an entry occurs twice, or is lost"
            raise BertlineError(what, where=str(path), fix=_CHOOSE)
        if not (entry or empty) or not set(_BLANKS).isdisjoint(entry):
            raise BertlineError(f"entry {expected} is blank or has blanks ({entry!r})", where=str(path), fix=_CHOOSE)
    SpecialIds.of(vocabulary, str(path), _CHOOSE)
    return vocabulary


def _lowercase(directory: Path, config: Mapping[str, Any], tokenizer: Tokenizer | None) -> bool:
    """Whether the tokenizer lower-cases; refused where its files say both, or set options that we do not have."""
    path = directory / CONFIG
    name = str(config.get("tokenizer_class") or "").removesuffix("Fast")
    if name not in (*_OWN, *_GENERAL):
        raise BertlineError(f"a {name}, not a BertTokenizer", where=str(path), fix=_CHOOSE)
    written = None if tokenizer is None else (_pipeline(tokenizer)["normalizer"] or {}).get("lowercase")
    lowercase = config.get("do_lower_case", written if name in _GENERAL else True)
    if not isinstance(lowercase, bool):
        raise BertlineError(f"do_lower_case is {lowercase!r}, not true or false", where=str(path), fix=_CHOOSE)
    for option, value in (("strip_accents", lowercase), ("tokenize_chinese_chars", True)):
        if config.get(option) not in (None, value):
            what = f"{option} is {config[option]!r}, and only {value} is supported where do_lower_case is {lowercase}"
            raise BertlineError(what, where=str(path), fix=_CHOOSE)
    if written not in (None, lowercase):
        what = f"its normalizer has lowercase {written}, but do_lower_case is {lowercase} by {CONFIG}, or by default"
        fix = f"Set do_lower_case in {CONFIG} to what the model was trained with, and fetch or remove {TOKENIZER}"
        raise BertlineError(what, where=str(directory / TOKENIZER), fix=fix)
    return lowercase


def _pipeline(tokenizer: Tokenizer) -> dict[str, Any]:
    """What decides about ids but the entries: normaliser, pre-tokeniser and options of the model, as JSON values."""
    described: dict[str, Any] = json.loads(tokenizer.to_str())
    described["model"].pop("vocab", None)
    normalizer = described["normalizer"] or {}
    if "strip_accents" in normalizer and normalizer["strip_accents"] is None:
        normalizer["strip_accents"] = normalizer["lowercase"]  # what None stands for
    return {part: described[part] for part in _PARTS}


def _check_pipeline(theirs: Tokenizer, ours: Tokenizer, path: Path) -> None:
    """Refuse a tokenizer.json that is not BERT's but for the entries."""
    found, expected = _pipeline(theirs), _pipeline(ours)
    for part in _PARTS:
        if found[part] != expected[part]:
            what = f"its {part} is {json.dumps(found[part])[:200]}, and only {json.dumps(expected[part])} is supported"
            raise BertlineError(what, where=str(path), fix=_CHOOSE)
    theirs.no_padding()
    theirs.no_truncation()
    with malformed_is_refused(path, _CHOOSE):
        pairs = [tokenizer.encode("[UNK]", "[MASK]") for tokenizer in (theirs, ours)]
    if theirs.post_processor is not None and (pairs[0].ids, pairs[0].type_ids) != (pairs[1].ids, pairs[1].type_ids):
        what = f"a pair of texts becomes {' '.join(pairs[0].tokens)}, not {' '.join(pairs[1].tokens)}"
        raise BertlineError(what, where=str(path), fix=_CHOOSE)
