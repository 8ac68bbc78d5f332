"""Ramps, phases and budgets as arithmetic on the step."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.base.config import Pretrain, SecondPhase
from bertline.base.errors import BertlineError
from bertline.pretraining.plan import Plan, Stage

recipes = st.builds(
    Pretrain,
    batch_size=st.sampled_from([16, 64]),
    sequence_length=st.sampled_from([32, 128]),
    ramp_from=st.sampled_from([0, 2, 8]),
    ramp_share=st.sampled_from([0.1, 0.3]),
    second_phase=st.builds(SecondPhase, share=st.sampled_from([0.0, 0.1, 0.5]), batch_size=st.sampled_from([4, 16])),
    budget=st.integers(50, 5000),
)


def test_the_recipe_of_the_paper() -> None:
    recipe = Pretrain(
        sequence_length=128, batch_size=256, budget=1_000_000, second_phase=SecondPhase(share=0.1, batch_size=256)
    )
    plan = Plan.of(recipe)
    tokens = 900_000 * 256 * 128
    assert plan.stages == (Stage(0, 256, 128), Stage(900_000, 256, 512, 900_000 * 256, tokens))
    assert plan.steps == 1_000_000 and plan.tokens(plan.steps) == tokens + 100_000 * 256 * 512


def test_a_ramp_doubles_the_batch_over_its_share_of_the_budget() -> None:
    plan = Plan.of(Pretrain(batch_size=64, ramp_from=8, ramp_share=0.3, budget=1000))
    assert [(stage.first, stage.batch_size) for stage in plan.stages] == [(0, 8), (100, 16), (200, 32), (300, 64)]
    assert plan.sequences(250) == 100 * 8 + 100 * 16 + 50 * 32
    assert [plan.stage(step).batch_size for step in (0, 99, 100, 299, 300, 10**9)] == [8, 8, 16, 32, 64, 64]


@given(recipes)
def test_the_stages_follow_each_other_without_a_gap(recipe: Pretrain) -> None:
    plan = Plan.of(recipe)
    assert plan.steps == recipe.budget
    for before, after in pairwise(plan.stages):
        count = after.first - before.first
        assert count >= 1
        assert after.sequences == before.sequences + count * before.batch_size
        assert after.tokens == before.tokens + count * before.batch_size * before.sequence_length
        assert plan.stage(after.first - 1) == before and plan.stage(after.first) == after


@given(recipes)
def test_a_budget_in_tokens_is_shared_out_in_tokens(recipe: Pretrain) -> None:
    recipe = Pretrain(**{**vars(recipe), "budget_unit": "tokens", "budget": 50_000_000})
    plan = Plan.of(recipe)
    assert plan.steps is not None
    largest = max(stage.tokens_per_step for stage in plan.stages)
    assert 0 <= plan.tokens(plan.steps) - recipe.budget < largest * len(plan.stages)
    if recipe.second_phase.share:
        expected = recipe.budget * (1 - recipe.second_phase.share)
        assert plan.stages[-1].tokens == pytest.approx(expected, abs=largest * len(plan.stages))


@given(recipes)
def test_sequences_grow_at_the_first_step_of_a_longer_stage_and_nowhere_else(recipe: Pretrain) -> None:
    plan = Plan.of(recipe)
    assert plan.steps is not None
    known = {step: found for step in range(plan.steps + 2) if (found := plan.lengthened(step))}
    assert known == ({plan.stages[-1].first: recipe.sequence_length} if recipe.second_phase.share else {})


def test_a_second_phase_of_shorter_sequences_is_no_growth() -> None:
    plan = Plan.of(Pretrain(sequence_length=128, budget=20, second_phase=SecondPhase(share=0.5, sequence_length=64)))
    assert not any(plan.lengthened(step) for step in range(30))


@pytest.mark.parametrize(("budget", "unit"), [(1, "steps"), (100, "tokens")])
def test_a_budget_too_small_for_its_stages_gives_each_of_them_a_step(budget: float, unit: Any) -> None:
    phase = SecondPhase(share=0.1, sequence_length=256, batch_size=4)
    plan = Plan.of(Pretrain(batch_size=64, ramp_from=8, budget=budget, budget_unit=unit, second_phase=phase))
    assert [stage.first for stage in plan.stages] == [0, 1, 2, 3, 4] and plan.steps == 5
    assert [plan.stage(step).batch_size for step in range(5)] == [8, 16, 32, 64, 4]


def test_the_clock_leaves_the_number_of_steps_open() -> None:
    plan = Plan.of(Pretrain(budget=5, budget_unit="minutes"))
    assert plan.steps is None and len(plan.stages) == 1


def test_batches_that_cannot_be_shared_out_are_refused_before_training() -> None:
    plan = Plan.of(Pretrain(batch_size=12, ramp_from=3))
    plan.check_processes(3)
    with pytest.raises(BertlineError, match="3 sequences a step cannot be shared out among 2 processes"):
        plan.check_processes(2)
    phase = SecondPhase(share=0.1, batch_size=9)
    with pytest.raises(BertlineError, match="9 sequences a step cannot be shared out among 2 processes"):
        Plan.of(Pretrain(batch_size=12, second_phase=phase)).check_processes(2)
