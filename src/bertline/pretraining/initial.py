"""The model that pre-training starts from: random weights of a named size, or any Hugging Face BERT (`init_from`).

    model = initial_model(config, vocabulary, root)     # before any warm start, on the CPU
    initial_hash(config, root)                          # "" or a sha256: part of the run's fingerprint

Going on from a model is domain adaptation: its own tokenizer must have made the token ids, which `vocab.reuse` sees to.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bertline.base.config import Pretrain
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_file
from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.model.hf import load_pretraining, read_config
from bertline.model.hf_files import model_files
from bertline.pretraining.plan import Plan
from bertline.tokens import hf
from bertline.tokens.tokenizer import read_max_length


def initial_model(config: Pretrain, vocabulary: Sequence[str], root: Path) -> BertForPreTraining:
    """Make the model of the first step, in fp32 on the CPU; the same config and files give the same weights.

    Args:
        config: with `init_from` empty, `model`, `positions`, `dropout` and `seed` give the model. Otherwise shape and
            positions are those of the directory, and `model` and `positions` say nothing; `dropout` holds, and `seed`
            gives the heads that the directory lacks: none for a BertForPreTraining, next-sentence prediction and the
            pooler for a BertForMaskedLM, both heads for a BertModel.
        vocabulary: the entries behind the token ids, in their order.
        root: the checkout, which `init_from` is relative to.

    Raises:
        BertlineError: the directory holds no BERT, one with another vocabulary, or one with too few positions or
            segments for the examples.
    """
    if not config.init_from:
        shape = BertConfig.named(
            config.model, vocab_size=len(vocabulary), dropout=config.dropout, positions=config.positions
        )
        model = BertForPreTraining(shape)
        initialize(model, config.seed)
        return model
    directory = root / config.init_from
    shape = replace(read_config(directory), dropout=config.dropout)
    _check_vocabulary(directory, vocabulary, shape, config.init_from)
    _check_room(directory, config, shape)
    model = BertForPreTraining(shape)
    initialize(model, config.seed)
    load_pretraining(model, directory)
    return model


def trained_length(config: Pretrain, root: Path) -> int:
    """Tokens of the longest sequences that the model has learned from, in this run or before `init_from`.

    Raises:
        BertlineError: as initial_model.
    """
    longest = max(stage.sequence_length for stage in Plan.of(config).stages)
    if not config.init_from:
        return longest
    directory = root / config.init_from
    return max(longest, read_max_length(directory, read_config(directory).max_positions))


def initial_hash(config: Pretrain, root: Path) -> str:
    """The sha256 of the content that `init_from` names: configuration, weights and tokenizer; empty from scratch.

    Raises:
        BertlineError: there is no such directory, or no weights are in it.
    """
    if not config.init_from:
        return ""
    directory = root / config.init_from
    read_config(directory)
    files = [*model_files(directory), *(directory / name for name in hf.FILES)]
    lines = [f"{sha256_file(file)}  {file.name}\n" for file in sorted(files) if file.is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check_vocabulary(directory: Path, vocabulary: Sequence[str], shape: BertConfig, init_from: str) -> None:
    """Ids must mean to the model what they mean in the token store: the vocabularies are equal, entry for entry."""
    theirs = hf.read_tokenizer(directory).vocabulary
    place = hf.first_difference(theirs, vocabulary)
    if place is not None:
        left, right = (repr(entries[place]) if place < len(entries) else "none" for entries in (theirs, vocabulary))
        what = f"its entry {place} is {left}, that of the vocabulary in use is {right}"
        fix = f"Set vocab.reuse to {init_from} and run `dvc repro`"
        raise BertlineError(what, where=str(directory), fix=fix)
    if shape.vocab_size != len(theirs):
        what = f"{shape.vocab_size:,} token embeddings for {len(theirs):,} entries of its tokenizer"
        raise BertlineError(what, where=str(directory), fix="Give the model as many embeddings as it has entries")


def _check_room(directory: Path, config: Pretrain, shape: BertConfig) -> None:
    lengths = {"sequence_length": config.sequence_length}
    if config.second_phase.share:
        lengths["second_phase.sequence_length"] = config.second_phase.sequence_length
    for key, length in lengths.items():
        if length > shape.max_positions:
            what = f"it has {shape.max_positions} positions, and pretrain.{key} is {length}"
            raise BertlineError(what, where=str(directory), fix=f"Lower pretrain.{key} to {shape.max_positions}")
    if config.pairs and shape.segments < 2:
        what = "it has one segment embedding, and pairs of sentences need two"
        raise BertlineError(what, where=str(directory), fix="Set pretrain.objective to mlm")
