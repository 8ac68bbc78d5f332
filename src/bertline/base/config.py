"""The typed configuration: one dataclass a section of params.yaml, every option with its meaning and default.

Plain dataclasses without dependencies, so that the training core can take them on a bare GPU node.
`params.py` reads and validates params.yaml into them; `bertline preset use` writes it from them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from bertline.base.builders import FILES
from bertline.base.download_config import Download
from bertline.base.gate_config import GateCorpus, GatePretrain, GateTask, GateTokens
from bertline.base.languages import short_code
from bertline.base.options import (
    STRICT,
    in_unit_interval,
    names_random_numbers,
    not_negative,
    option,
    positive,
    require,
    watched,
)
from bertline.base.register_config import Register
from bertline.base.shapes import SIZES, shape_of
from bertline.base.tune_config import Tune

Device = Literal["cpu", "cuda"]
Precision = Literal["bf16", "fp32"]
Kind = Literal["classification", "regression", "pair", "tagging", "span"]


@dataclass(frozen=True)
class Documents:
    """Stage documents."""

    __pydantic_config__ = STRICT
    language: str = option("en", "ISO 639 code, for sentence splitting")
    min_characters: int = option(100, "drop documents shorter than this")
    min_sentences: int = option(2, "drop documents with fewer sentences (next-sentence prediction needs two)")
    validation_fraction: float = option(0.05, "share of documents held out, chosen by a hash of their text")
    near_duplicates: float = option(
        0.8, "drop a document as similar as this to an earlier one (Jaccard, of word 5-grams); 0: keep them"
    )
    decontaminate: bool = option(True, "drop documents that share 13 words in a row with a task's evaluation rows")
    common_ngram: int = option(
        10, "13 words that stand in more documents than this are a common phrase, no contamination", rare=True
    )
    min_letter_share: float = option(0.5, "drop sentences with fewer letters among what is no space", rare=True)
    max_digit_share: float = option(0.3, "drop documents with more digits a letter", rare=True)
    max_uppercase_share: float = option(0.4, "drop documents with more upper case among their letters", rare=True)
    max_repeated_share: float = option(
        0.2, "drop documents of which more stood in them before (of their word 10-grams)", rare=True
    )
    engine: Literal["local", "ray"] = option(
        "local", "processes of this machine, or Ray tasks on a cluster; the bytes are the same", rare=True
    )

    def __post_init__(self) -> None:
        code = re.fullmatch(r"[A-Za-z]{2,3}(?:[-_]\w+)*", self.language)
        require(code is not None, "language", "must be a code of ISO 639, as en, yue or zh-TW")
        positive(self, "min_characters", "min_sentences", "common_ngram")
        in_unit_interval(self, "near_duplicates", "min_letter_share")
        not_negative(self, "max_digit_share", "max_uppercase_share", "max_repeated_share")
        require(0 < self.validation_fraction <= 0.5, "validation_fraction", "must be above 0 and at most 0.5")

    @property
    def language_code(self) -> str:
        """The language alone, without a country or a script: zh of zh-TW, and of zho."""
        return short_code(self.language)


@dataclass(frozen=True)
class Vocab:
    """Stage vocab."""

    __pydantic_config__ = STRICT
    size: int = option(8192, "entries, special tokens included; rounded up to a multiple of 64")
    lowercase: bool = option(True, "lower-case and strip accents, as bert-base-uncased")
    reuse: str = option(
        "",
        "take the vocabulary of this Hugging Face BERT directory, under data/initial (size and case are its own)",
        rare=True,
    )

    def __post_init__(self) -> None:
        require(self.size >= 256, "size", "must be at least 256")
        watched(self, "reuse", "data/initial")


@dataclass(frozen=True)
class Encode:
    """Stage encode."""

    __pydantic_config__ = STRICT
    max_tokens_per_character: float = option(
        0.35, "drop documents that need more: tables, symbols, other languages (usual: 0.2 to 0.3); 0: keep all"
    )

    def __post_init__(self) -> None:
        not_negative(self, "max_tokens_per_character")


@dataclass(frozen=True)
class SecondPhase:
    """The last part of pre-training, on longer sequences: the paper trains 90 % at 128 tokens, the rest at 512."""

    __pydantic_config__ = STRICT
    share: float = option(0.0, "of the budget; 0: no second phase")
    sequence_length: int = option(512, "tokens a sequence, special tokens included")
    batch_size: int = option(64, "sequences an optimizer step, over all processes")

    def __post_init__(self) -> None:
        in_unit_interval(self, "share")
        positive(self, "batch_size")
        require(16 <= self.sequence_length <= 512, "sequence_length", "must be between 16 and 512")


@dataclass(frozen=True)
class Pretrain:
    """Stage pretrain."""

    __pydantic_config__ = STRICT
    model: str = option("tiny", f"size: {', '.join(SIZES)}, or layers and width, as 2/256")
    positions: Literal["learned", "sinusoidal"] = option("learned", "position embeddings")
    objective: Literal["mlm+nsp", "mlm"] = option("mlm+nsp", "what the examples ask for")
    embedding_init: Literal["ppmi", "normal"] = option("ppmi", "start of the token embeddings")
    init_from: str = option(
        "", "go on from this Hugging Face BERT directory, under data/initial, instead of from scratch", rare=True
    )
    upsample: dict[str, int] = option(
        {}, "source (name of a file; of docstrings, the package) -> how often an epoch has it; others: once", rare=True
    )
    sequence_length: int = option(64, "tokens a sequence, special tokens included")
    batch_size: int = option(64, "sequences an optimizer step, over all processes")
    accumulation: int = option(1, "micro-batches an optimizer step")
    budget: float = option(6000, "how much training, in budget_unit")
    budget_unit: Literal["steps", "tokens", "minutes"] = option(
        "steps", "minutes depend on the machine: the same run then gives other weights elsewhere"
    )
    ramp_from: int = option(0, "begin with so many sequences a step and double up to batch_size; 0: no ramp", rare=True)
    ramp_share: float = option(0.1, "share of the budget until the ramp has reached batch_size", rare=True)
    second_phase: SecondPhase = option(SecondPhase(), "longer sequences for the last part", rare=True)
    optimizer: Literal["adamw", "lamb", "muon"] = option(
        "adamw", "muon: learns more from each step; lamb: for batches of thousands"
    )
    learning_rate: float = option(1.2e-3, "peak")
    schedule: Literal["linear", "cosine", "trapezoid"] = option("linear", "after the warm-up")
    warmup: float = option(0.05, "share of the budget")
    weight_decay: float = option(0.01, "not on biases and layer norms")
    clip: float = option(1.0, "gradient norm, at most")
    average_share: float = option(
        0.0, "share of the budget, at its end, over which the final weights are averaged; 0: the last ones", rare=True
    )
    average_every: int = option(50, "steps between the weights that are averaged", rare=True)
    dropout: float = option(0.0, "hidden states and attention")
    mask_rate: float = option(0.15, "share of tokens to predict")
    whole_word: bool = option(False, "mask whole words")
    short_rate: float = option(0.1, "share of sequences of a random shorter length")
    seed: int = option(0, "of initialisation, examples and dropout")
    precision: Precision = option("bf16", "of matrix products (fp32 on processors without bf16); weights stay in fp32")
    device: Device = option("cpu", "where to train")
    threads: int = option(2, "CPU threads; sums depend on it, so it is part of the recipe")
    processes: int = option(1, "on this machine, one a GPU; sums depend on it, so it is part of the recipe", rare=True)
    packed: bool = option(False, "leave padding out of the encoder: for GPUs and bf16; needs a dropout of 0", rare=True)
    compile: bool = option(False, "torch.compile: a slower start, then faster steps on a GPU", rare=True)
    checkpoint_every: int = option(500, "steps between checkpoints")
    log_every: int = option(50, "steps between points of the curve")
    evaluate_every: int = option(500, "steps between evaluations on the validation documents")
    evaluation_batches: int = option(40, "validation batches an evaluation")
    perplexity_sequences: int = option(
        32, "validation sequences whose every token is masked in turn, for the pseudo-perplexity; 0: none", rare=True
    )

    def __post_init__(self) -> None:
        self._check_shape()
        positive(self, "batch_size", "accumulation", "budget", "learning_rate", "clip", "threads", "processes")
        positive(self, "checkpoint_every", "log_every", "evaluate_every", "evaluation_batches", "average_every")
        in_unit_interval(self, "warmup", "dropout", "short_rate", "weight_decay", "ramp_share", "average_share")
        not_negative(self, "perplexity_sequences")
        names_random_numbers(self, "seed")
        require(16 <= self.sequence_length <= 512, "sequence_length", "must be between 16 and 512")
        watched(self, "init_from", "data/initial")
        require(all(times >= 1 for times in self.upsample.values()), "upsample", "must be whole numbers, at least 1")
        self._check_stages()
        require(not (self.packed and self.dropout), "packed", "needs a dropout of 0: its attention has none")
        require(0 < self.mask_rate <= 0.5, "mask_rate", "must be above 0 and at most 0.5")
        divides = self.batch_size % self.accumulation == 0
        require(divides, "accumulation", f"must divide batch_size ({self.batch_size})")

    @property
    def pairs(self) -> bool:
        """Whether an example is a pair of segments, as next-sentence prediction needs it."""
        return self.objective == "mlm+nsp"

    def _check_shape(self) -> None:
        try:
            shape_of(self.model)
        except ValueError as error:
            raise ValueError(f"model: {error}") from error

    def _check_stages(self) -> None:
        """The ramp and the second phase begin at given steps, which a budget in minutes cannot name beforehand."""
        counted = self.budget_unit != "minutes"
        require(counted or not self.ramp_from, "ramp_from", "needs a budget in steps or tokens")
        require(counted or not self.second_phase.share, "second_phase", "needs a budget in steps or tokens")
        doublings = 0 < self.ramp_from < self.batch_size and self.batch_size % self.ramp_from == 0
        ratio = self.batch_size // self.ramp_from if doublings else 0
        halved = f"must be batch_size ({self.batch_size}) halved once or more, or 0"
        require(not self.ramp_from or (ratio > 1 and ratio & (ratio - 1) == 0), "ramp_from", halved)
        require(not self.ramp_from or self.ramp_share > 0, "ramp_share", "must be above 0 when ramp_from is set")
        room = self.ramp_share * bool(self.ramp_from) + self.second_phase.share <= 1
        require(room, "ramp_share", "and second_phase.share must not exceed 1 together")


@dataclass(frozen=True)
class TaskData:
    """Where the rows of a task come from."""

    __pydantic_config__ = STRICT
    builder: str = option(FILES, "files, or a name of the catalogue (README, Tasks)")
    train: str = option("", "builder files: the training rows, a path under data/sources or an address", rare=True)
    validation: str = option("", "builder files: the validation rows; empty: cut from train by hash", rare=True)
    test: str = option("", "builder files: the test rows; empty: cut from train by hash", rare=True)
    columns: dict[str, str] = option({}, "builder files: our column name -> yours, where they differ", rare=True)
    max_train_rows: int = option(0, "keep this many training rows, chosen by hash; 0: all", rare=True)

    def __post_init__(self) -> None:
        not_negative(self, "max_train_rows")
        require(self.builder != FILES or bool(self.train), "train", "builder files needs the path of the rows")
        for key in ("train", "validation", "test", "columns"):
            require(self.builder == FILES or not getattr(self, key), key, "is for builder files alone")


@dataclass(frozen=True)
class Task:
    """One downstream task."""

    __pydantic_config__ = STRICT
    kind: Kind = option("classification", "classification | regression | pair | tagging | span")
    data: TaskData = option(TaskData(train="?"), "the rows")
    finetune: dict[str, Any] = option({}, "options of section finetune to override for this task")


@dataclass(frozen=True)
class Finetune:
    """Stage finetune: one setting for all tasks; `tasks.NAME.finetune` overrides single options."""

    __pydantic_config__ = STRICT
    epochs: int = option(3, "passes over the training rows")
    batch_size: int = option(32, "rows an optimizer step")
    learning_rate: float = option(5e-4, "peak; linear decay to 0")
    warmup: float = option(0.1, "share of the steps")
    weight_decay: float = option(0.01, "not on biases and layer norms")
    clip: float = option(1.0, "gradient norm, at most")
    dropout: float = option(0.1, "hidden states, attention and head")
    patience: int = option(
        0, "stop after so many epochs without a better validation score, keep the best epoch; 0: off", rare=True
    )
    layer_decay: float = option(1.0, "learning rate of a layer as a share of that of the one above", rare=True)
    frozen_layers: int = option(
        0, "leave embeddings and so many of the lowest layers as pre-trained; not from random weights", rare=True
    )
    max_length: int = option(128, "tokens a row; longer texts are cut, longer contexts are windowed")
    stride: int = option(32, "span: tokens that two windows of a context share")
    seed: int = option(0, "the first, of head, order and dropout")
    seeds: int = option(3, "how many, from `seed` on: scores are medians over them, with their spread")
    tune: Tune = option(Tune(), "options chosen for each task, shown beside the headline", rare=True)
    baseline_checkpoint: str = option(
        "", "a Hugging Face BERT directory, under data/baselines, to run the same protocol from", rare=True
    )
    precision: Precision = option("bf16", "of matrix products (fp32 on processors without bf16); weights stay in fp32")
    device: Device = option("cpu", "where to train")
    threads: int = option(2, "CPU threads; sums depend on it, so it is part of the recipe")

    def __post_init__(self) -> None:
        watched(self, "baseline_checkpoint", "data/baselines")
        positive(self, "epochs", "batch_size", "learning_rate", "clip", "seeds", "threads")
        in_unit_interval(self, "warmup", "weight_decay", "dropout")
        require(8 <= self.max_length <= 512, "max_length", "must be between 8 and 512")
        positive(self, "stride")
        not_negative(self, "patience", "frozen_layers")
        names_random_numbers(self, "seed")
        require(0 < self.layer_decay <= 1, "layer_decay", "must be above 0 and at most 1")


@dataclass(frozen=True)
class Evaluate:
    """Stage evaluate."""

    __pydantic_config__ = STRICT
    draws: int = option(1000, "bootstrap draws of an interval")

    def __post_init__(self) -> None:
        positive(self, "draws")


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml."""

    __pydantic_config__ = STRICT
    download: Download = option(Download(), "")
    documents: Documents = option(Documents(), "")
    gate_corpus: GateCorpus = option(GateCorpus(), "")
    vocab: Vocab = option(Vocab(), "")
    encode: Encode = option(Encode(), "")
    gate_tokens: GateTokens = option(GateTokens(), "")
    pretrain: Pretrain = option(Pretrain(), "")
    gate_pretrain: GatePretrain = option(GatePretrain(), "")
    tasks: dict[str, Task] = option({}, "One entry a task; its name is the T of task@T, finetune@T, evaluate@T.")
    gate_task: GateTask = option(GateTask(), "")
    finetune: Finetune = option(Finetune(), "")
    transfer: dict[str, str] = option({}, "Stage transfer@T: T also from the model of another task, as {rte: mnli}.")
    evaluate: Evaluate = option(Evaluate(), "")
    register: Register = option(Register(), "")

    def finetune_for(self, task: str) -> Finetune:
        """Section finetune with the overrides of one task."""
        overrides: dict[str, Any] = dict(self.tasks[task].finetune)
        if isinstance(overrides.get("tune"), Mapping):
            overrides["tune"] = Tune(**overrides["tune"])
        return replace(self.finetune, **overrides)

    def finetuning_stages(self, task: str) -> tuple[str, ...]:
        """The stages that fine-tune a task."""
        return ("finetune", "transfer") if task in self.transfer else ("finetune",)
