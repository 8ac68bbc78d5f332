from typing import Any

import pytest

from bertline.evaluation.scoreboard import make_scoreboard, render_scoreboard

VALIDATION = {"mlm_loss": 4.2, "mlm_accuracy": 0.31, "nsp_loss": 0.5, "nsp_accuracy": 0.752}


def stages(validation: dict[str, float] = VALIDATION) -> dict[str, Any]:
    return {
        "documents": {"train_documents": 12345, "validation_documents": 600},
        "encode": {"train_tokens": 6_000_000, "unigram_entropy": 6.7},
        "pretrain": {"steps": 2000, "tokens": 8_192_000, "parameters": 1_500_000, "validation": validation},
    }


def evaluated(pretrained: float, from_random: float, majority: float) -> dict[str, Any]:
    scores = {"pretrained": pretrained, "from_random": from_random, "majority": majority}
    return {"metric": "f1", "rows": 1000} | {
        start: {"f1": value, "exact_match": value / 2} for start, value in scores.items()
    }


@pytest.fixture
def scoreboard() -> dict[str, Any]:
    return make_scoreboard(
        stages(),
        {"zebra": "span", "apple": "span"},
        {
            "apple": evaluated(0.5, 0.6, 0.1),
            "zebra": evaluated(0.75, 0.5, 0.25),
            "gone": evaluated(1, 1, 1),
        },
    )


def test_a_task_stands_beside_its_baselines(scoreboard: dict[str, Any]) -> None:
    row = scoreboard["tasks"]["zebra"]
    figures = {key: row[key] for key in ("pretrained", "from_random", "majority", "gain")}
    assert figures == {"pretrained": 0.75, "from_random": 0.5, "majority": 0.25, "gain": 0.25}
    assert (
        "| zebra | span | 1,000 | F1 | **0.750** | 0.500 | +0.250 | 0.250 | exact match 0.375 |"
        in render_scoreboard(scoreboard)
    )


def test_a_loss_is_shown_as_one(scoreboard: dict[str, Any]) -> None:
    assert "-0.100" in render_scoreboard(scoreboard)


def test_only_the_tasks_of_params_yaml_are_shown_in_its_order(scoreboard: dict[str, Any]) -> None:
    text = render_scoreboard(scoreboard)
    assert "gone" not in text
    assert text.index("| zebra") < text.index("| apple")


def test_pretraining_stands_beside_the_unigram_entropy(scoreboard: dict[str, Any]) -> None:
    text = render_scoreboard(scoreboard)
    for shown in (
        "12,345",
        "6,000,000",
        "8,192,000 in 2,000 steps",
        "**4.200** nats, 2.500 below",
        "6.700",
        "31.0%",
        "75.2%",
    ):
        assert shown in text


def test_a_model_without_next_sentence_prediction_has_no_row_for_it() -> None:
    validation = {key: value for key, value in VALIDATION.items() if not key.startswith("nsp")}
    assert "NSP" not in render_scoreboard(make_scoreboard(stages(validation), {}, {}))


def test_tables_are_whole(scoreboard: dict[str, Any]) -> None:
    tables = [line for line in render_scoreboard(scoreboard).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {3, 10}
