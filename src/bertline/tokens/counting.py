"""How often each word occurs, as BERT's own normaliser and pre-tokeniser cut words, over worker processes.

    counts = count_documents(Path("data/documents"), "train", lowercase=True)   # a corpus on disk
    counts = count_words(["A sentence.", "…"], lowercase=True)                  # text in memory

Each distinct piece of a row group is cut once; the tables of the row groups are merged in their order, so that the
number of workers changes nothing. Words are kept in Arrow columns, some 20 bytes a distinct word.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bertline.base.workers import Workers
from bertline.corpus.parquet import RowGroup, read_row_group, row_groups
from bertline.tokens.words import is_plain, split_words

_ROWS = 2_000_000  # rows of tables that are held until they are merged
MAX_DISTINCT = 8_000_000  # distinct words held; the rarest are let go beyond it


class WordCounts(NamedTuple):
    """Distinct words in the order of their code points, and how often each occurs."""

    words: pa.StringArray  # (distinct,)
    counts: NDArray[np.int64]  # (distinct,)

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "WordCounts":
        words = sorted(counts)
        return cls(pa.array(words, pa.string()), np.array([counts[word] for word in words], np.int64))

    def total(self) -> int:
        return int(self.counts.sum())

    def occurrences(self, words: Iterable[str]) -> int:
        """How often these words occur, all together."""
        among = pc.is_in(self.words, value_set=pa.array(words, pa.string()))
        return int(self.counts[among.to_numpy(zero_copy_only=False)].sum())


def count_documents(directory: Path, split: str, *, lowercase: bool) -> WordCounts:
    """Count the words of a split of data/documents.

    Raises:
        BertlineError: the split has no file, or a file is damaged.
    """
    with Workers() as workers:
        return _merged(workers.map(partial(_of_row_group, lowercase=lowercase), row_groups(directory, split)))


def count_words(sentences: Iterable[str], *, lowercase: bool) -> WordCounts:
    """Count the words of sentences in memory."""
    return _merged([_of_sentences(pa.array(sentences, pa.string()), lowercase)])


def _of_row_group(group: RowGroup, *, lowercase: bool) -> pa.Table:
    return _of_sentences(read_row_group(group).flatten(), lowercase)


def _of_sentences(sentences: pa.StringArray, lowercase: bool) -> pa.Table:
    """A table of words and counts; a word may be there twice."""
    coded = split_words(sentences, lowercase=lowercase).pieces.dictionary_encode()
    counts = np.bincount(coded.indices.to_numpy(), minlength=len(coded.dictionary))
    plain = is_plain(coded.dictionary)
    cut = _cut(coded.dictionary.filter(pa.array(~plain)).to_pylist(), counts[~plain].tolist(), lowercase)
    return pa.concat_tables(
        [_table(coded.dictionary.filter(pa.array(plain)), counts[plain]), _table(list(cut), list(cut.values()))]
    )


def _table(words: pa.StringArray | list[str], counts: NDArray[np.int64] | list[int]) -> pa.Table:
    return pa.table({"word": pa.array(words, pa.string()), "count": pa.array(counts, pa.int64())})


def _cut(pieces: list[str], counts: list[int], lowercase: bool) -> Counter[str]:
    """The words of pieces that are no words as they stand; those that occur equally often are cut in one go."""
    normaliser, pre_tokeniser = BertNormalizer(lowercase=lowercase), BertPreTokenizer()
    alike: defaultdict[int, list[str]] = defaultdict(list)
    for piece, count in zip(pieces, counts, strict=True):
        alike[count].append(piece)
    words: Counter[str] = Counter()
    for count, together in alike.items():
        for word, _ in pre_tokeniser.pre_tokenize_str(normaliser.normalize_str(" ".join(together))):
            words[word] += count
    return words


def _merged(tables: Iterable[pa.Table]) -> WordCounts:
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) > _ROWS + len(held[0]):
            held = [_summed(held)]
    whole = _summed(held).sort_by("word").combine_chunks()
    return WordCounts(whole["word"].combine_chunks(), whole["count"].to_numpy())


def _summed(tables: list[pa.Table]) -> pa.Table:
    """One table in which each word is there once; of too many words, those that occur least are let go."""
    summed = pa.concat_tables(tables).group_by("word", use_threads=False).aggregate([("count", "sum")])
    table = summed.rename_columns(["word", "count"])
    least = 1
    while len(table) > MAX_DISTINCT:
        table = table.filter(pc.greater(table["count"], least))
        least += 1
    return table
