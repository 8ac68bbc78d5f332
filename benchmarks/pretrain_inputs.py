"""The text that both sides of benchmarks/pretrain.py train on.

with corpus(options) as (store, vocabulary, directory):     # of --tokens and --vocab, or random words
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bertline.base.files import sha256_file
from bertline.tokens.store import TokenBatch, TokenStore, write_store
from bertline.tokens.tokenizer import SPECIAL_TOKENS, VOCAB, read_vocab, write_tokenizer

TOKENS = Path("data/tokens/train")


def made_up(options: argparse.Namespace) -> bool:
    """Whether there is no text: none was named, and the checkout has none either."""
    return options.tokens is None and not (TOKENS / "meta.json").exists()


@contextmanager
def corpus(options: argparse.Namespace) -> Iterator[tuple[TokenStore, list[str], Path]]:
    """The token store, its vocabulary and the tokenizer's directory; text of random words where there is none."""
    if not made_up(options):
        yield TokenStore.open(options.tokens or TOKENS), read_vocab(options.vocab), options.vocab
        return
    with tempfile.TemporaryDirectory() as folder:
        vocab, tokens = Path(folder) / "vocab", Path(folder) / "tokens"
        vocab.mkdir()
        vocabulary = [*SPECIAL_TOKENS, *(f"word{number}" for number in range(8192 - len(SPECIAL_TOKENS)))]
        write_tokenizer(vocabulary, vocab, lowercase=True)
        random = np.random.default_rng(0)
        sentences = random.integers(5, 40, size=60_000)
        ids = len(SPECIAL_TOKENS) + random.zipf(1.2, size=int(sentences.sum())) % (8192 - len(SPECIAL_TOKENS))
        batch = TokenBatch(ids.astype(np.uint32), sentences.astype(np.int64), np.full(3000, 20), words=len(ids))
        write_store(tokens, [batch], vocab_size=8192, vocab_sha256=sha256_file(vocab / VOCAB), unknown_id=1)
        yield TokenStore.open(tokens), vocabulary, vocab
