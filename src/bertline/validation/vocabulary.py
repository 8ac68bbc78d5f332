"""Frames of gate_tokens about the vocabulary: vocab.txt, and whether tokenizer.json says the same and does as asked."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bertline.base.errors import BertlineError
from bertline.base.files import read_json
from bertline.validation.frames import Frame, first, summary

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def read_entries(path: Path) -> list[str]:
    """The lines of vocab.txt, damaged bytes as U+FFFD; none if there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    except FileNotFoundError:
        return []


def vocabulary_frames(entries: Sequence[str], tokenizer: Path) -> dict[str, Frame]:
    """The frames of a vocabulary.

    Args:
        entries: of vocab.txt.
        tokenizer: tokenizer.json.

    Returns:
        entries: a row an entry.
        vocabulary: one row: size, special tokens, agreement with tokenizer.json, and what that does with capitals.
    """
    differing = case = ""
    try:
        description = read_json(tokenizer)
        case = "lower" if description["normalizer"]["lowercase"] else "kept"
        known: dict[str, int] = description["model"]["vocab"]
        wrong = [token for place, token in enumerate(entries) if known.get(token) != place]
        listed = set(entries)
        differing = ", ".join(first([*wrong, *(token for token in known if token not in listed)]))
    except (BertlineError, KeyError, TypeError, AttributeError):
        differing = "tokenizer.json has no vocabulary or no normaliser"
    values = {
        "size": len(entries),
        "over_64": len(entries) % 64,
        "first_five": " ".join(entries[: len(SPECIAL_TOKENS)]),
        "special_fault": _special_fault(entries),
        "differs_from_tokenizer": differing,
        "case": case,
        "continuations_share": sum(token.startswith("##") for token in entries) / max(len(entries), 1),
    }
    table = pd.DataFrame({"id": range(len(entries)), "token": pd.Series(entries, dtype=str)})
    return {"entries": Frame(table, "id"), "vocabulary": summary(values)}


def _special_fault(entries: Sequence[str]) -> str:
    """What is wrong with the special tokens: each is there once, anywhere, but [PAD] is id 0 (as in config.json)."""
    counts = {token: entries.count(token) for token in SPECIAL_TOKENS}
    faults = [f"{token} is there {count} times" for token, count in counts.items() if count != 1]
    if counts["[PAD]"] and entries[0] != "[PAD]":
        faults.append(f"[PAD] is id {entries.index('[PAD]')}, not 0")
    return "; ".join(faults)
