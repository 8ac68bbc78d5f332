"""Text to token ids, exactly as the `tokenizers` BERT tokenizer, fast over large corpora.

ids, lengths = Encoder(load_tokenizer(directory)).encode(["A sentence.", "…"])   # flat ids, tokens a sentence
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bertline.tokens.words import is_plain, split_words


class Encoder:
    """Encodes corpora: text is cut into words in bulk (words.py), and each distinct word is encoded once.

    A plain word goes to the WordPiece model at once, any other through the whole tokenizer. The first words that are
    met are remembered; words beyond that number are encoded anew in each call, so that memory does not grow.

    Special tokens spelled out in the text ("[MASK]" in a manual) are encoded as the plain text they are: what is
    stored for pre-training holds none.
    """

    def __init__(self, tokenizer: Tokenizer, *, remember: int = 200_000) -> None:
        """`tokenizer`: as build_tokenizer makes it; `remember` bounds the words kept for later calls."""
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())  # a copy: the setting below is ours alone
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._model = self._tokenizer.model
        self._lowercase = bool(self._tokenizer.normalizer.lowercase)
        self._remember = remember
        self._places: dict[str, int] = {}  # word -> its place in the two arrays below
        self._ids: NDArray[np.uint32] = np.zeros(0, np.uint32)  # of all remembered words, one after the other
        self._offsets: NDArray[np.int64] = np.zeros(1, np.int64)

    def encode(self, sentences: Sequence[str] | pa.StringArray) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Encode sentences without special tokens.

        Returns:
            ids (tokens,) of all sentences one after the other, and the number of tokens of each (sentences,).
        """
        column = sentences if isinstance(sentences, pa.StringArray) else pa.array(sentences, pa.string())
        words = split_words(column, lowercase=self._lowercase)
        coded = words.pieces.dictionary_encode()
        known, first, length = self._look_up(coded.dictionary)
        codes = coded.indices.to_numpy()
        lengths = length[codes]
        ends = np.zeros(len(codes) + 1, np.int64)
        np.cumsum(lengths, out=ends[1:])
        # Token t of the result is token t - (start of its word in the result) of that word.
        sources = np.repeat(first[codes] - ends[:-1], lengths)
        sources += np.arange(len(sources))
        return known[sources], np.diff(ends[words.offsets])

    def _look_up(self, words: pa.StringArray) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
        """The ids of distinct words: word w is `ids[first[w] : first[w] + length[w]]`."""
        texts = words.to_pylist()
        places = np.fromiter((self._places.get(text, -1) for text in texts), np.int64, len(texts))
        new = np.flatnonzero(places < 0)
        places[new] = len(self._places) + np.arange(len(new))
        learned = self._learn([texts[place] for place in new], is_plain(words.take(pa.array(new))))
        lengths = np.fromiter(map(len, learned), np.int64, len(learned))
        added = np.fromiter(chain.from_iterable(learned), np.uint32, int(lengths.sum()))
        ids = np.concatenate([self._ids, added])
        offsets = np.concatenate([self._offsets, self._offsets[-1] + np.cumsum(lengths)])
        before = len(self._places)
        kept = min(len(new), self._remember - before)
        if kept > 0:
            self._places.update((texts[place], before + number) for number, place in enumerate(new[:kept].tolist()))
            self._offsets = offsets[: len(self._places) + 1]
            self._ids = ids[: self._offsets[-1]]
        return ids, offsets[places], np.diff(offsets)[places]

    def _learn(self, words: Sequence[str], plain: NDArray[np.bool_]) -> list[list[int]]:
        """The ids of words, each on its own."""
        tokenize = self._model.tokenize
        ids = [
            [token.id for token in tokenize(word)] if known else []
            for word, known in zip(words, plain.tolist(), strict=True)
        ]
        others = np.flatnonzero(~plain).tolist()
        encodings = self._tokenizer.encode_batch_fast([words[place] for place in others], add_special_tokens=False)
        for place, encoding in zip(others, encodings, strict=True):
            ids[place] = encoding.ids
        return ids
