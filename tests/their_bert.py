"""Hugging Face BERT directories as stock transformers writes them, tiny, with the vocabulary laid out as theirs are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from bertline.tokens.tokenizer import SPECIAL_TOKENS

TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")


def as_bert_base(pieces: Sequence[str]) -> list[str]:
    """A vocabulary like that of bert-base-uncased: special tokens at 0 and 100 to 103, unused ones around them."""
    unused = [f"[unused{number}]" for number in range(994)]
    return ["[PAD]", *unused[:99], *SPECIAL_TOKENS[1:], *unused[99:], *pieces]


def save_tokenizer(
    directory: Path, vocab: Sequence[str], *, lowercase: bool = True, keep: Sequence[str] = TOKENIZER_FILES
) -> None:
    """Write the tokenizer files of a vocabulary, only those to `keep`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.txt").write_text("".join(f"{piece}\n" for piece in vocab), encoding="utf-8")
    tokenizer = transformers.BertTokenizer(str(directory / "vocab.txt"), do_lower_case=lowercase)
    tokenizer.save_pretrained(directory)
    for name in set(TOKENIZER_FILES) - set(keep):
        (directory / name).unlink()


def save_model(kind: str, directory: Path, vocab_size: int, **shape: Any) -> transformers.PreTrainedModel:
    """Write a BERT of two layers, of a class of transformers, with weights that no initialisation has; return it."""
    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=vocab_size, **{**tiny, "max_position_embeddings": 64, **shape})
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)
        model: transformers.PreTrainedModel = getattr(transformers, kind)(config).eval()
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    model.save_pretrained(directory)
    return model
