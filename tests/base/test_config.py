"""Options: what the last value is that each takes, and the first that it does not."""

from typing import Any

import pytest

from bertline.base.config import Documents, Encode, Evaluate, Finetune, Pretrain, SecondPhase, TaskData, Vocab
from bertline.base.download_config import Download, Source
from bertline.base.gate_config import GateCorpus, GatePretrain, GateTask, GateTokens
from bertline.base.register_config import Register
from bertline.base.tune_config import Tune

_SHARE = ([0.0, 0.99], [-0.01, 1.0, float("nan")])
_CLOSED_SHARE = ([0.0, 1.0], [-0.01, 1.01])
_POSITIVE = ([1], [0, -1])
_POSITIVE_FLOAT = ([1e-9], [0.0, -1.0, float("inf"), float("nan")])
_NOT_NEGATIVE = ([0], [-1])
EDGES: dict[tuple[type, str], tuple[list[Any], list[Any]]] = {
    **{(Documents, key): _SHARE for key in ("near_duplicates", "min_letter_share")},
    **{(Documents, key): _POSITIVE for key in ("min_characters", "min_sentences", "common_ngram")},
    **{(Documents, key): _NOT_NEGATIVE for key in ("max_digit_share", "max_uppercase_share", "max_repeated_share")},
    (Documents, "validation_fraction"): ([0.001, 0.5], [0.0, 0.51]),
    (Vocab, "size"): ([256], [255]),
    (Vocab, "reuse"): (
        ["", "data/initial/bert"],
        ["data/initial", "data/models/bert", "/data/initial/bert", "data/initial/../x"],
    ),
    (Encode, "max_tokens_per_character"): ([0.0], [-0.1]),
    (SecondPhase, "share"): _SHARE,
    (SecondPhase, "batch_size"): _POSITIVE,
    (SecondPhase, "sequence_length"): ([16, 512], [15, 513]),
    **{(Pretrain, key): _POSITIVE for key in ("accumulation", "threads", "processes", "log_every", "average_every")},
    **{(Pretrain, key): _POSITIVE for key in ("checkpoint_every", "evaluate_every", "evaluation_batches")},
    **{(Pretrain, key): _POSITIVE_FLOAT for key in ("budget", "learning_rate", "clip")},
    **{(Pretrain, key): _SHARE for key in ("warmup", "short_rate", "weight_decay", "ramp_share", "average_share")},
    (Pretrain, "perplexity_sequences"): _NOT_NEGATIVE,
    (Pretrain, "sequence_length"): ([16, 512], [15, 513]),
    (Pretrain, "init_from"): (["", "data/initial/bert"], ["data/initial", "data/baselines/bert"]),
    (Pretrain, "mask_rate"): ([0.01, 0.5], [0.0, 0.51]),
    (Pretrain, "seed"): ([0, 2**63 - 1], [-1, 2**63]),
    (Finetune, "baseline_checkpoint"): (["", "data/baselines/bert"], ["data/baselines", "data/initial/bert"]),
    **{(Finetune, key): _POSITIVE for key in ("epochs", "batch_size", "seeds", "threads", "stride")},
    **{(Finetune, key): _POSITIVE_FLOAT for key in ("learning_rate", "clip")},
    **{(Finetune, key): _SHARE for key in ("warmup", "weight_decay", "dropout")},
    **{(Finetune, key): _NOT_NEGATIVE for key in ("patience", "frozen_layers")},
    (Finetune, "max_length"): ([8, 512], [7, 513]),
    (Finetune, "layer_decay"): ([0.1, 1.0], [0.0, 1.01]),
    (Finetune, "seed"): ([0, 2**63 - 1], [-1, 2**63]),
    (Tune, "optuna_trials"): _NOT_NEGATIVE,
    (Tune, "learning_rates"): ([[], [0.1]], [[0.1, 0.0], [-1.0]]),
    (Evaluate, "draws"): _POSITIVE,
    (TaskData, "max_train_rows"): ([0], [-1]),
    (Source, "sha256"): (["", "a" * 64, f"{'a' * 64} {'0' * 64}"], ["a" * 63, "A" * 64, f"{'a' * 64} b"]),
    (Source, "bytes"): _NOT_NEGATIVE,
    (Source, "max_unpacked"): _NOT_NEGATIVE,
    (Source, "folder"): (["", "a/b", "a..b"], ["/a", "..", "a/../b"]),
    (Download, "sources"): ([[Source("python-docs:")]], [[]]),
    (Register, "experiment"): (["x"], ["", " "]),
    (Register, "min_gain_over_majority"): ([0.0], [-0.01, float("inf")]),
    (Register, "tolerance"): ([0.0], [-0.01, float("inf")]),
    **{(GateCorpus, key): _CLOSED_SHARE for key in ("max_markup_share", "max_duplicate_share", "max_leaked_share")},
    **{(GateCorpus, key): _CLOSED_SHARE for key in ("max_near_duplicate_share", "max_mojibake_share")},
    (GateCorpus, "max_foreign_share"): _CLOSED_SHARE,
    (GateCorpus, "min_documents"): _NOT_NEGATIVE,
    (GateTokens, "min_tokens"): _NOT_NEGATIVE,
    (GateTokens, "max_tokens_per_word"): _POSITIVE_FLOAT,
    **{(GateTokens, key): _CLOSED_SHARE for key in ("max_unknown_share", "min_vocab_used")},
    (GatePretrain, "min_gain_over_unigram"): ([-9.0, 9.0], [float("inf"), float("nan")]),
    (GatePretrain, "min_accuracy_over_unigram"): ([-1.0, 1.0], [-1.01, 1.01]),
    (GatePretrain, "min_nsp_accuracy"): _CLOSED_SHARE,
    (GateTask, "min_rows"): _NOT_NEGATIVE,
    (GateTask, "max_characters"): _POSITIVE,
    **{(GateTask, key): _CLOSED_SHARE for key in ("max_label_share", "max_leaked_share", "max_duplicate_share")},
    **{(GateTask, key): _CLOSED_SHARE for key in ("max_label_shift", "max_markup_share", "max_mojibake_share")},
}
"""Option -> the last values that are taken, and the first that are not."""


@pytest.mark.parametrize(("section", "option"), EDGES, ids=lambda part: getattr(part, "__name__", part))
def test_an_option_is_taken_up_to_its_edge_and_refused_beyond_it(section: type, option: str) -> None:
    needed = {"train": "data/sources/rows.csv"} if section is TaskData else {}
    taken, refused = EDGES[section, option]
    for value in taken:
        assert getattr(section(**needed, **{option: value}), option) == value
    for value in refused:
        with pytest.raises(ValueError, match=f"^{option}: "):
            section(**needed, **{option: value})


def test_packing_needs_attention_without_dropout() -> None:
    assert Pretrain(packed=True, dropout=0.0).packed
    with pytest.raises(ValueError, match=r"^packed: needs"):
        Pretrain(packed=True, dropout=0.1)


def test_two_sections_share_no_default_that_can_be_changed() -> None:
    first, second = Pretrain(), Pretrain()
    first.upsample["books.txt"] = 2
    assert second.upsample == Pretrain().upsample == {}
