"""The card of a pre-trained model tells what the run was."""

from types import SimpleNamespace
from typing import Any

import pytest

from bertline.base.config import Pretrain, SecondPhase
from bertline.model.bert import BertConfig
from bertline.pretraining.model_card import pretraining_card

FIGURES = {"mlm_loss": 4.0, "mlm_accuracy": 0.3, "nsp_loss": None}
METRICS = {"train": FIGURES, "validation": FIGURES, "intervals": {"mlm_loss": [3.9, 4.1]}}


def card(learned: bool = True, **options: Any) -> str:
    store: Any = SimpleNamespace(meta={"tokens": 1000, "documents": 10, "vocab_sha256": "ab"})
    metrics = {**METRICS, "parameters": 1234, "steps": 100, "tokens": 6400, "precision": "fp32"}
    positions = "learned" if learned else "sinusoidal"
    shape = BertConfig(64, hidden_size=32, layers=2, heads=2, intermediate_size=64, positions=positions)
    return " ".join(pretraining_card(Pretrain(**options), shape, store, store, metrics).split())


def test_figures_stand_with_their_intervals_and_what_was_not_measured_is_a_dash() -> None:
    text = card()
    assert "| validation | 4.000 | 30.0% | - | - | - |" in text
    assert "| validation, 95 % interval | 3.900 to 4.100 | - | - | - | - |" in text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"sequence_length": 64, "batch_size": 32},
            "mlm+nsp, sequences of 64 tokens, 32 a step; 100 steps, 6,400 tokens in all",
        ),
        (
            {"sequence_length": 64, "second_phase": SecondPhase(share=0.15, sequence_length=128, batch_size=32)},
            "64 a step; in the last 15%, of 128, 32 a step; 100 steps",
        ),
        ({"upsample": {"a.txt": 8}}, "1,000 tokens held out; an epoch has a.txt 8 times. - Objective"),
        ({"init_from": "data/initial/theirs"}, "Start: the weights of data/initial/theirs."),
        ({"optimizer": "lamb"}, "- LAMB, peak learning rate"),
        ({"optimizer": "muon"}, "- Muon, and AdamW for embeddings, the next-sentence head, biases and norms, peak"),
        ({"whole_word": True, "sequence_length": 64}, "mlm+nsp, whole words masked, sequences of 64"),
        ({"learned": False, "sequence_length": 64}, "mlm+nsp, sinusoidal positions, sequences of 64"),
        # Of a model that is gone on from, the option says nothing.
        (
            {"init_from": "data/initial/theirs", "positions": "sinusoidal", "sequence_length": 64},
            "mlm+nsp, sequences of 64",
        ),
        ({"batch_size": 32, "ramp_from": 8, "ramp_share": 0.1}, "from 8 to 32 a step; 100 steps"),
        ({"average_share": 0.2}, "seed 0, fp32; weights averaged over the last 20%."),
        ({"average_share": 0.004}, "weights averaged over the last 0.4%."),
        ({"warmup": 0.0025}, "linear schedule with 0.25% warm-up"),
        ({"mask_rate": 0.125}, "12.5% of the tokens masked"),
        ({}, "seed 0, fp32. - Vocabulary"),
    ],
)
def test_the_recipe_is_told_whole(options: dict[str, Any], told: str) -> None:
    assert told in card(**options)
