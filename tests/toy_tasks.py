"""Small tasks of each kind that a tiny network learns in a second, and a tiny pre-trained model to start from."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertline.base.config import Finetune, Kind
from bertline.finetuning.data import FinetuningData
from bertline.inference.heads import build_model
from bertline.inference.settings import InferenceSettings
from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.model.hf import save_model
from bertline.tasks.schema import SPLITS, TaskInfo, write_task
from bertline.tokens.tokenizer import SPECIAL_TOKENS, copy_tokenizer, write_tokenizer

Row = dict[str, Any]

FILLERS = ["the", "a", "some", "near", "with", "very", "then", "here"]
COLOURS = ["red", "blue", "green", "white"]
ANIMALS = ["cat", "dog", "horse", "mouse"]
PEOPLE = ["ann", "bob", "eve", "tom"]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCAB = [
    *dict.fromkeys(
        [*SPECIAL_TOKENS, *FILLERS, *COLOURS, *ANIMALS, *PEOPLE, "new", "york", "which", "colour", "animal"]
    ),
    *"?.,",
    *LETTERS[1:],  # "a" is a filler
    *(f"##{letter}" for letter in LETTERS),
]
SHAPE = BertConfig(len(VOCAB), hidden_size=32, layers=2, heads=2, intermediate_size=64, max_positions=64)
RECIPE = Finetune(
    epochs=4,
    batch_size=16,
    learning_rate=5e-3,
    dropout=0.0,
    max_length=32,
    stride=8,
    seeds=2,
    precision="fp32",
    threads=1,
)
SHORT = replace(RECIPE, epochs=1, dropout=0.1, precision="bf16")
Prepare = Callable[..., FinetuningData]
"""What fixture `prepare` gives: (kind, config, train_rows) to a task's examples."""
KINDS: tuple[Kind, ...] = ("classification", "pair", "regression", "tagging", "span")


def toy_rows(kind: Kind, count: int, seed: int) -> list[Row]:
    """Rows whose right answer follows from their words alone."""
    random = np.random.Generator(np.random.Philox(key=[seed, KINDS.index(kind)]))
    make = {
        "classification": _classification,
        "pair": _pair,
        "regression": _regression,
        "tagging": _tagging,
        "span": _span,
    }
    return [{"id": f"{seed}-{number}", **make[kind](random)} for number in range(count)]


def toy_task(kind: Kind) -> tuple[TaskInfo, dict[str, list[Row]]]:
    """A task of a kind, and its rows by split."""
    sizes = zip(SPLITS, (320, 40, 60), strict=True)
    rows = {split: toy_rows(kind, count, seed) for seed, (split, count) in enumerate(sizes)}
    return TaskInfo.of(f"toy_{kind}", kind, rows, "made up"), rows


def write_toy_task(directory: Path, kind: Kind) -> TaskInfo:
    """Write data/tasks/T of a toy task."""
    info, rows = toy_task(kind)
    write_task(directory, info, rows)
    return info


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Random weights, large enough that outputs differ and learning is fast."""
    initialize(model, seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.ndim == 2 else 1)


def write_pretrained(directory: Path, seed: int = 1, shape: BertConfig = SHAPE, vocab: Sequence[str] = VOCAB) -> None:
    """A BertForPreTraining with its tokenizer; of random weights, but large enough to learn fast from."""
    model = BertForPreTraining(shape)
    randomize(model, seed)
    directory.mkdir(parents=True, exist_ok=True)
    save_model(model, directory)
    write_tokenizer(vocab, directory, lowercase=True)


def write_finetuned(directory: Path, info: TaskInfo, pretrained: Path) -> None:
    """A model of a task as stage finetune leaves it, but of random weights."""
    directory.mkdir(parents=True)
    model = build_model(info, SHAPE)
    randomize(model, seed=3)
    save_model(model, directory, labels=info.labels)
    copy_tokenizer(pretrained, directory)
    info.write(directory)
    InferenceSettings(max_length=32, stride=8).write(directory)


def _pick(random: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(random.integers(len(words)))]


def _fill(random: np.random.Generator, *words: str) -> list[str]:
    """The words in this order, with fillers before each and at the end."""
    filled: list[str] = []
    for word in (*words, ""):
        filled += [_pick(random, FILLERS) for _ in range(int(random.integers(3)))]
        filled += [word] if word else []
    return filled


def _classification(random: np.random.Generator) -> Row:
    colour = _pick(random, COLOURS)
    return {"text": " ".join(_fill(random, colour)), "label": colour}


def _pair(random: np.random.Generator) -> Row:
    """Which animal the second text has; the first has one too."""
    first, second = _pick(random, ANIMALS), _pick(random, ANIMALS)
    text, text_pair = (" ".join(_fill(random, word)) for word in (first, second))
    return {"text": text, "text_pair": text_pair, "label": second}


def _regression(random: np.random.Generator) -> Row:
    colour = int(random.integers(4))
    return {"text": " ".join(_fill(random, COLOURS[colour])), "label": 100.0 + 10 * colour}


def _tagging(random: np.random.Generator) -> Row:
    """York is a place after "new", and a person without."""
    place = ["new", "york"] if random.integers(2) else ["york"]
    tags = ["B-LOC", "I-LOC"] if len(place) == 2 else ["B-PER"]
    before, after = _fill(random, _pick(random, PEOPLE)), _fill(random, _pick(random, ANIMALS))
    outside = (["B-PER" if word in PEOPLE else "O" for word in words] for words in (before, after))
    return {"words": [*before, *place, *after], "tags": [*next(outside), *tags, *next(outside)]}


def _span(random: np.random.Generator) -> Row:
    asked = _pick(random, ("colour", "animal"))
    colour, animal = _pick(random, COLOURS), _pick(random, ANIMALS)
    context = " ".join(_fill(random, colour, animal))
    answer = colour if asked == "colour" else animal
    return {
        "question": f"which {asked} ?",
        "context": context,
        "answers": [{"text": answer, "start": context.index(answer)}],
    }
