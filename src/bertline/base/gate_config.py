"""Sections gate_corpus, gate_tokens, gate_pretrain and gate_task of params.yaml: the thresholds of the gates."""

import math
from dataclasses import dataclass

from bertline.base.options import STRICT, not_negative, option, positive, require, shares


@dataclass(frozen=True)
class GateCorpus:
    """Stage gate_corpus: the thresholds of its expectations."""

    __pydantic_config__ = STRICT
    min_documents: int = option(1000, "training documents, at least")
    max_markup_share: float = option(0.02, "share of sentences with left-over markup, at most")
    max_duplicate_share: float = option(0.01, "share of documents whose text occurs twice, at most")
    max_leaked_share: float = option(0.0, "share of validation documents also in train, at most", rare=True)
    max_near_duplicate_share: float = option(0.1, "share of documents nearly the same as another, at most", rare=True)
    max_mojibake_share: float = option(0.001, "share of sentences with wrongly decoded characters, at most", rare=True)
    max_foreign_share: float = option(0.02, "share of letters of another script, at most", rare=True)

    def __post_init__(self) -> None:
        not_negative(self, "min_documents")
        shares(self, "max_markup_share", "max_duplicate_share", "max_leaked_share", "max_near_duplicate_share")
        shares(self, "max_mojibake_share", "max_foreign_share")


@dataclass(frozen=True)
class GateTokens:
    """Stage gate_tokens: the thresholds of its expectations."""

    __pydantic_config__ = STRICT
    max_unknown_share: float = option(0.001, "share of [UNK] among the tokens, at most")
    max_tokens_per_word: float = option(2.0, "tokens per whitespace-delimited word, at most")
    min_tokens: int = option(1_000_000, "training tokens, at least")
    min_vocab_used: float = option(0.9, "share of the vocabulary that occurs in training tokens, at least")

    def __post_init__(self) -> None:
        not_negative(self, "min_tokens")
        positive(self, "max_tokens_per_word")
        shares(self, "max_unknown_share", "min_vocab_used")


@dataclass(frozen=True)
class GatePretrain:
    """Stage gate_pretrain: the thresholds of its expectations."""

    __pydantic_config__ = STRICT
    min_gain_over_unigram: float = option(0.5, "nats of validation MLM loss under the unigram entropy, at least")
    min_accuracy_over_unigram: float = option(0.05, "MLM accuracy above always guessing the commonest token, at least")
    min_nsp_accuracy: float = option(0.55, "on validation documents, at least (chance is 0.5)")

    def __post_init__(self) -> None:
        require(math.isfinite(self.min_gain_over_unigram), "min_gain_over_unigram", "must be finite")
        require(-1 <= self.min_accuracy_over_unigram <= 1, "min_accuracy_over_unigram", "must be between -1 and 1")
        shares(self, "min_nsp_accuracy")


@dataclass(frozen=True)
class GateTask:
    """Stage gate_task: the thresholds of its expectations."""

    __pydantic_config__ = STRICT
    min_rows: int = option(100, "rows of each split, at least")
    max_label_share: float = option(0.95, "share of the commonest label, at most")
    max_leaked_share: float = option(0.0, "share of a split's rows whose text is also in train, at most", rare=True)
    max_label_shift: float = option(0.0, "by how much words may tell the label beside theirs better", rare=True)
    max_duplicate_share: float = option(0.05, "share of rows whose text occurs twice before a warning", rare=True)
    max_characters: int = option(100_000, "characters of a row, at most: more are often a quote left open", rare=True)
    max_markup_share: float = option(0.1, "share of rows with left-over markup, at most", rare=True)
    max_mojibake_share: float = option(0.01, "share of rows with wrongly decoded characters, at most", rare=True)

    def __post_init__(self) -> None:
        not_negative(self, "min_rows")
        positive(self, "max_characters")
        shares(self, "max_label_share", "max_leaked_share", "max_duplicate_share", "max_label_shift")
        shares(self, "max_markup_share", "max_mojibake_share")
