"""A split of data/documents as token ids, over worker processes: what a token store is written from.

    with encoders(Path("data/vocab"), max_tokens_per_character=0.5) as workers:
        write_store(directory, encode_documents(workers, Path("data/documents"), "train"), …)

Row groups are encoded by whichever worker is free and come back in their order, so that the number of workers changes
nothing; only a few are held at a time.

The compressibility filter: text that a vocabulary cuts into many tokens for its length is of little use (tables,
strings of symbols, other languages, markup). Documents over a limit of tokens a character are dropped and counted: the
filter of data that helped most in Geiping & Goldstein 2023, "Cramming: Training a Language Model on a Single GPU in One
Day". An ideograph, always a token of its own, counts as four characters, about as many letters as it stands for: so
Chinese text has 0.28 tokens a character, English 0.22, and one limit does for both.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bertline.base.workers import Workers
from bertline.corpus.parquet import RowGroup, read_row_group, read_sources, row_groups
from bertline.tokens.encoder import Encoder
from bertline.tokens.store import TokenBatch
from bertline.tokens.tokenizer import load_tokenizer
from bertline.tokens.words import count_ideographs, count_spaced

IDEOGRAPH = 4  # characters that an ideograph counts as


class DocumentEncoder:
    """Encodes documents and leaves out those that the filter drops.

    Args:
        vocab: directory of the tokenizer.
        max_tokens_per_character: the limit; 0: nothing is dropped.

    Raises:
        BertlineError: as load_tokenizer.
    """

    def __init__(self, vocab: Path, max_tokens_per_character: float) -> None:
        tokenizer = load_tokenizer(vocab)
        self._encoder = Encoder(tokenizer)
        self._limit = max_tokens_per_character
        self._type = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32

    def encode(self, documents: pa.ListArray, sources: pa.StringArray) -> TokenBatch:
        """Encode documents, each a list of sentences and from a source."""
        sentences = documents.flatten()
        ids, lengths = self._encoder.encode(sentences)
        counts = pc.list_value_length(documents).to_numpy().astype(np.int64)
        kept = self._kept(sentences, lengths, counts)
        dropped = len(kept) - int(kept.sum())
        if dropped:
            of_sentence = np.repeat(kept, counts)
            ids = ids[np.repeat(of_sentence, lengths)]
            sentences, lengths = sentences.filter(pa.array(of_sentence)), lengths[of_sentence]
        runs = [(name, len(list(run))) for name, run in groupby(sources.filter(pa.array(kept)).to_pylist())]
        return TokenBatch(ids.astype(self._type), lengths, counts[kept], count_spaced(sentences), dropped, runs)

    def _kept(
        self, sentences: pa.StringArray, lengths: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which documents are within the limit."""
        if not self._limit:
            return np.ones(len(counts), bool)
        characters = pc.utf8_length(sentences).to_numpy() + (IDEOGRAPH - 1) * count_ideographs(sentences)
        document = np.repeat(np.arange(len(counts)), counts)
        over = np.bincount(document, lengths - self._limit * characters, len(counts))
        within: NDArray[np.bool_] = over <= 0
        return within


_ENCODERS: list[DocumentEncoder] = []  # of a worker process: one, made once


def _set_up(vocab: Path, max_tokens_per_character: float) -> None:
    _ENCODERS[:] = [DocumentEncoder(vocab, max_tokens_per_character)]


def encoders(vocab: Path, max_tokens_per_character: float) -> Workers:
    """Worker processes with a DocumentEncoder each; its arguments."""
    return Workers(setup=_set_up, arguments=(vocab, max_tokens_per_character))


def encode_documents(workers: Workers, documents: Path, split: str) -> Iterator[TokenBatch]:
    """The documents of a split in order, a row group at a time, by workers that `encoders` made.

    Raises:
        BertlineError: the split has no file, or a file is damaged.
    """
    return workers.map(_encode_row_group, row_groups(documents, split))


def _encode_row_group(group: RowGroup) -> TokenBatch:
    return _ENCODERS[0].encode(read_row_group(group), read_sources(group))
