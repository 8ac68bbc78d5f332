"""What all runs of a task from one encoder share: rows encoded once, the encoder's shape, and a hash of all of it.

    material = load_material(Path("data/tasks/rte"), Path("data/models/pretrained"), config)

The test rows are here without their labels: nothing in fine-tuning can see those.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer

import bertline
from bertline.base.config import Finetune
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_directory
from bertline.finetuning.data import FinetuningData, prepare_data
from bertline.finetuning.trainer import check_fits
from bertline.inference.vocabulary import check_vocabulary
from bertline.model.bert import BertConfig
from bertline.model.hf import read_config
from bertline.tasks.batches import Features
from bertline.tasks.features import encode_rows
from bertline.tasks.schema import TaskInfo, read_inputs, read_rows
from bertline.tokens.hf import read_tokenizer
from bertline.tokens.tokenizer import build_tokenizer, load_tokenizer

Row = Mapping[str, Any]


class Encoded(NamedTuple):
    """Rows without labels, and their examples."""

    rows: Sequence[Row]
    features: Features


@dataclass(frozen=True)
class Material:
    """What the runs of a task from one encoder, or from random weights of its shape, read.

    Attributes:
        encoder: directory of a BERT in Hugging Face format, with its tokenizer.
        shape: of it.
        data: training and validation rows, encoded.
        test: split -> rows to predict.
        content: sha256 of the task, the encoder and the code that trains.
    """

    encoder: Path
    shape: BertConfig
    data: FinetuningData
    test: Mapping[str, Encoded]
    content: str


def load_material(source: Path, encoder: Path, config: Finetune) -> Material:
    """Read and encode the rows of a task, each once, whatever the number of runs.

    Args:
        source: `data/tasks/T`.
        encoder: directory of a BERT with its tokenizer.
        config: says how long an example may be.

    Raises:
        BertlineError: a row, the encoder or its tokenizer is not as it should be, they do not belong together, or the
            encoder has too few positions or segments.
    """
    return _load(source, encoder, load_tokenizer(encoder), config)


def load_checkpoint(source: Path, directory: Path, config: Finetune) -> Material:
    """The same rows for another BERT, with its own tokenizer, from any Hugging Face directory; as load_material."""
    theirs = read_tokenizer(directory)
    return _load(source, directory, build_tokenizer(theirs.vocabulary, lowercase=theirs.lowercase), config)


def _load(source: Path, encoder: Path, tokenizer: Tokenizer, config: Finetune) -> Material:
    info, shape = TaskInfo.read(source), read_config(encoder)
    check_vocabulary(shape.vocab_size, tokenizer, str(encoder))
    check_fits(config, shape, str(encoder))
    data = prepare_data(info, read_rows(source, "train"), read_rows(source, "validation"), tokenizer, config)
    _check_segments(data, shape, encoder)
    length, stride = config.max_length, config.stride
    test = {}
    for split in info.test_splits:
        rows = read_inputs(source, split)
        test[split] = Encoded(rows, encode_rows(rows, info, tokenizer, max_length=length, stride=stride))
    parts = (sha256_directory(source), sha256_directory(encoder), _code(), torch.__version__)
    content = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Material(encoder, shape, data, test, content)


def _check_segments(data: FinetuningData, shape: BertConfig, encoder: Path) -> None:
    if shape.segments < 2 and any(example.second < len(example.ids) for example in data.train.examples):
        what = f"it has one segment embedding, and the rows of {data.task.name} are two texts each"
        fix = "Choose an encoder with two (type_vocab_size in its config.json), or leave the task out"
        raise BertlineError(what, where=str(encoder), fix=fix)


def _code() -> str:
    """A hash of this package: a run that other code has finished is not gone on from."""
    return sha256_directory(Path(bertline.__file__).parent, "*.py")
