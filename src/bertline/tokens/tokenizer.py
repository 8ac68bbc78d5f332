"""BERT's tokenizer over a vocabulary, and the three tokenizer files that every model carries.

    write_tokenizer(vocab, directory, lowercase=True)   # vocab.txt, tokenizer.json, tokenizer_config.json
    tokenizer = load_tokenizer(directory)               # a checked tokenizers.Tokenizer

`AutoTokenizer.from_pretrained(directory)` gives a fast BertTokenizer with the same ids.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from bertline.base.errors import BertlineError, reason
from bertline.base.files import read_json, write_json, write_text

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4 in what we train; see SpecialIds
VOCAB, TOKENIZER, CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
_MAX_LENGTH = "model_max_length"
MAX_LENGTH = 512  # positions of every BERT size here
_REMAKE = "Make it anew with `dvc repro vocab`, or copy the three tokenizer files of one model"


@dataclass(frozen=True)
class SpecialIds:
    """The ids of the special tokens, wherever they stand in a vocabulary: 0, 100, 101, 102, 103 in bert-base-uncased.

    [PAD] alone has its place, 0: config.json says `pad_token_id: 0`, and transformers' BertModel takes that for
    `padding_idx`, a row of the token embeddings that is never trained.
    """

    pad: int
    unk: int
    cls: int
    sep: int
    mask: int

    @classmethod
    def of(cls, vocabulary: Sequence[str], where: str = "the vocabulary", fix: str = _REMAKE) -> "SpecialIds":
        """Find them among the entries, in the order of their ids; `where` and `fix` are for the message.

        Raises:
            BertlineError: one is missing or there twice, or [PAD] is not the first entry.
        """
        for token in SPECIAL_TOKENS:
            count = vocabulary.count(token)
            if count != 1:
                what = f"{token} is there {count} times" if count else f"no {token}"
                raise BertlineError(what, where=where, fix=fix)
        found = cls(*(vocabulary.index(token) for token in SPECIAL_TOKENS))
        if found.pad != 0:
            raise BertlineError(f"[PAD] is id {found.pad}, and only 0 is supported", where=where, fix=fix)
        return found


def build_tokenizer(vocab: Sequence[str], *, lowercase: bool) -> Tokenizer:
    """BERT's tokenizer over a vocabulary: normaliser, pre-tokeniser, greedy WordPiece, [CLS] A [SEP] (B [SEP]).

    Raises:
        BertlineError: as SpecialIds.of.
    """
    special = SpecialIds.of(vocab)
    tokenizer = Tokenizer(WordPiece({piece: place for place, piece in enumerate(vocab)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase)  # strip_accents follows lowercase
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", special.cls), ("[SEP]", special.sep)],
    )
    tokenizer.decoder = WordPieceDecoder()
    return tokenizer


def write_tokenizer(vocab: Sequence[str], directory: Path, *, lowercase: bool) -> None:
    """Write the three tokenizer files of a vocabulary into an existing directory.

    Args:
        vocab: the entries; place = id.
        directory: where.
        lowercase: lower-case and strip accents before splitting.

    Raises:
        BertlineError: as SpecialIds.of; or an entry occurs twice.
    """
    where = str(directory / VOCAB)
    SpecialIds.of(vocab, where)
    if len(set(vocab)) != len(vocab):
        raise BertlineError("an entry occurs twice", where=where, fix=_REMAKE)
    write_text(directory / VOCAB, "".join(f"{piece}\n" for piece in vocab))
    write_text(directory / TOKENIZER, build_tokenizer(vocab, lowercase=lowercase).to_str(pretty=True) + "\n")
    config: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        _MAX_LENGTH: MAX_LENGTH,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    write_json(directory / CONFIG, config)


def load_tokenizer(directory: Path) -> Tokenizer:
    """Load tokenizer.json, without padding or truncation, and check it against vocab.txt.

    Raises:
        BertlineError: a file is missing or malformed, the two differ, or as SpecialIds.of.
    """
    path = directory / TOKENIZER
    tokenizer = parse_tokenizer(path)
    vocab = read_vocab(directory)
    if tokenizer.get_vocab() != {piece: place for place, piece in enumerate(vocab)}:
        what = f"{tokenizer.get_vocab_size():,} entries that differ from the {len(vocab):,} of {VOCAB}"
        raise BertlineError(what, where=str(path), fix=_REMAKE)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def parse_tokenizer(path: Path, fix: str = _REMAKE) -> Tokenizer:
    """Read a tokenizer.json, whatever is in it; `fix` is for the message.

    Raises:
        BertlineError: the file is missing or malformed.
    """
    with malformed_is_refused(path, fix):
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))


@contextmanager
def malformed_is_refused(path: Path, fix: str) -> Iterator[None]:
    """Say so in one line where a tokenizer.json cannot be read or used.

    Raises:
        BertlineError: it is missing or malformed.
    """
    try:
        yield
    except FileNotFoundError:
        raise BertlineError("file not found", where=str(path), fix=fix) from None
    except BaseException as error:  # tokenizers raises bare Exception for a malformed file, or its Rust panics
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise BertlineError(f"not a tokenizer ({reason(error)})", where=str(path), fix=fix) from None


def read_vocab(directory: Path) -> list[str]:
    """The entries of vocab.txt, in the order of their ids.

    Raises:
        BertlineError: the file is missing or is not UTF-8, or as SpecialIds.of.
    """
    path = directory / VOCAB
    try:
        vocab = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise BertlineError("file not found", where=str(path), fix=_REMAKE) from None
    except UnicodeDecodeError as error:
        raise BertlineError(f"not UTF-8 ({error.reason})", where=str(path), fix=_REMAKE) from None
    if vocab[-1] == "":
        vocab.pop()
    SpecialIds.of(vocab, str(path))
    return vocab


def copy_tokenizer(source: Path, destination: Path, *, max_length: int | None = None) -> None:
    """Copy the three tokenizer files into a model's directory, after checking that they belong together.

    Args:
        source, destination: directories.
        max_length: tokens that the model was trained on at a time, which `truncation=True` of transformers cuts to; by
            default what the source says.

    Raises:
        BertlineError: as load_tokenizer; or tokenizer_config.json is missing or malformed.
    """
    load_tokenizer(source)
    config = read_json(source / CONFIG)
    for name in (VOCAB, TOKENIZER, CONFIG):
        shutil.copyfile(source / name, destination / name)
    if max_length is not None:
        write_json(destination / CONFIG, config | {_MAX_LENGTH: max_length})


def read_max_length(directory: Path, positions: int) -> int:
    """Tokens that a model takes at a time: what its tokenizer_config.json says, but no more than its positions.

    Raises:
        BertlineError: the file is malformed.
    """
    config = read_json(directory / CONFIG) if (directory / CONFIG).is_file() else {}
    said = config.get(_MAX_LENGTH) if isinstance(config, dict) else None
    return min(int(said), positions) if isinstance(said, int | float) and said > 2 else positions
