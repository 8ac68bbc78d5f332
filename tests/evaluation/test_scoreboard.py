"""The scoreboard: a task beside its baselines, and which differences the seeds bear out."""

from typing import Any

import pytest

from bertline.evaluation.scoreboard import make_scoreboard, render_scoreboard

Scores = tuple[float, ...]
VALIDATION = {"mlm_loss": 4.2, "mlm_accuracy": 0.31, "nsp_loss": 0.5, "nsp_accuracy": 0.752}


def stages(validation: dict[str, float] = VALIDATION) -> dict[str, Any]:
    return {
        "documents": {"train_documents": 12345, "validation_documents": 600},
        "encode": {"train_tokens": 6_000_000, "unigram_entropy": 6.7},
        "pretrain": {"steps": 2000, "tokens": 8_192_000, "parameters": 1_500_000, "validation": validation},
    }


def evaluated(pretrained: Scores, from_random: Scores, majority: float, **baselines: float) -> dict[str, Any]:
    """Metrics of stage evaluate: a value a seed, the middle one first."""
    starts = {"pretrained": pretrained, "from_random": from_random}
    seeds = {
        start: {str(seed): {"f1": value, "exact_match": value / 2} for seed, value in enumerate(values)}
        for start, values in starts.items()
    }
    around = {start: {"f1": {"min": min(values), "max": max(values), "std": 0.1}} for start, values in starts.items()}
    medians = {start: values[0] for start, values in starts.items()} | {"majority": majority, **baselines}
    shown = {name: {"f1": value, "exact_match": value / 2} for name, value in medians.items()}
    seed, score = len(pretrained) - 1, pretrained[-1]
    kept = {"kept": {"pretrained": seed}, "intervals": {"pretrained": {"f1": (score - 0.02, score + 0.03)}}}
    return {"metric": "f1", "rows": 1000, "seeds": seeds, "spread": around} | kept | shown


@pytest.fixture
def scoreboard() -> dict[str, Any]:
    return make_scoreboard(
        stages(),
        {"zebra": "span", "apple": "span"},
        {
            "apple": evaluated((0.5, 0.45, 0.55), (0.6, 0.5, 0.7), 0.1),
            "zebra": evaluated((0.75, 0.7, 0.8), (0.5, 0.4, 0.6), 0.25),
            "gone": evaluated((1,), (1,), 1),
        },
    )


def test_a_task_stands_beside_its_baselines(scoreboard: dict[str, Any]) -> None:
    row = scoreboard["tasks"]["zebra"]
    figures = {key: row[key] for key in ("pretrained", "from_random", "majority", "gain", "seeds")}
    assert figures == {"pretrained": 0.75, "from_random": 0.5, "majority": 0.25, "gain": 0.25, "seeds": 3}
    assert (
        "| zebra | span | 1,000 | F1 | **0.750** (0.700 to 0.800) | 0.500 (0.400 to 0.600) | +0.250 | yes | 0.250 "
        "| exact match 0.375 |" in render_scoreboard(scoreboard)
    )


@pytest.mark.parametrize(
    ("pretrained", "from_random", "beyond", "shown"),
    [
        ((0.75, 0.7, 0.8), (0.5, 0.4, 0.69), "above", "| +0.250 | yes |"),
        ((0.75, 0.7, 0.8), (0.5, 0.4, 0.7), "within", "| +0.250 | no |"),
        ((0.5, 0.4, 0.6), (0.75, 0.7, 0.8), "below", "| -0.250 | worse |"),
        ((0.75,), (0.5, 0.4, 0.6), "unknown", "| +0.250 | one seed |"),
    ],
)
def test_a_gain_counts_where_the_worst_seed_beats_the_best_one(
    pretrained: Scores, from_random: Scores, beyond: str, shown: str
) -> None:
    board = make_scoreboard(stages(), {"apple": "span"}, {"apple": evaluated(pretrained, from_random, 0.1)})
    assert board["tasks"]["apple"]["beyond_seeds"] == beyond
    assert shown in render_scoreboard(board)


def test_a_baseline_that_wins_is_said_to(scoreboard: dict[str, Any]) -> None:
    text = render_scoreboard(scoreboard)
    assert "Better than *pre-trained*: from random on apple." in text
    assert "Better than *pre-trained*: majority" not in text
    assert scoreboard["tasks"]["zebra"]["ahead"] == []


def test_a_baseline_that_does_as_well_is_not_said_to_be_better() -> None:
    board = make_scoreboard(stages(), {"apple": "span"}, {"apple": evaluated((0.5, 0.4, 0.6), (0.4, 0.3, 0.5), 0.5)})
    assert board["tasks"]["apple"]["ahead"] == []
    assert "Better than" not in render_scoreboard(board)


def test_the_model_that_is_kept_stands_with_its_interval(scoreboard: dict[str, Any]) -> None:
    assert scoreboard["tasks"]["zebra"]["kept"] == {"seed": 2, "score": 0.8, "interval": pytest.approx([0.78, 0.83])}
    _, kept = render_scoreboard(scoreboard).split("## The models that are kept\n")
    assert "| zebra | 2 | F1 0.800 | 0.780 to 0.830 |\n| apple | 2 | F1 0.550 | 0.530 to 0.580 |" in kept


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


def test_a_loss_that_is_worse_than_a_guess_that_reads_nothing_stands_above_it() -> None:
    text = render_scoreboard(make_scoreboard(stages(VALIDATION | {"mlm_loss": 7.0}), {}, {}))
    assert "**7.000** nats, 0.300 above the unigram entropy" in text


def test_a_model_without_next_sentence_prediction_has_no_row_for_it() -> None:
    validation = {key: None if key.startswith("nsp") else value for key, value in VALIDATION.items()}
    assert "NSP" not in render_scoreboard(make_scoreboard(stages(validation), {}, {}))


def test_tables_are_whole(scoreboard: dict[str, Any]) -> None:
    tables = [line for line in render_scoreboard(scoreboard).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {3, 5, 11}
