"""The promotion rule, as a table and as laws."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.base.register_config import Register
from bertline.evaluation.seeds import spread
from bertline.registry.promotion import Scores, beats_floor, decide

CONFIG = Register(min_gain_over_majority=0.02, tolerance=0.005)
SCORE = st.floats(-1, 1, allow_nan=False)
ANY_CONFIG = st.builds(Register, min_gain_over_majority=st.floats(0, 0.5), tolerance=st.floats(0, 0.5))


def scores(value: float, data: str = "rows", noise: float = 0.0, inputs: str = "") -> Scores:
    return Scores("f1", {"f1": value, "accuracy": 0.1}, data, noise, inputs)


@pytest.mark.parametrize(
    ("challenger", "champion", "majority", "promoted", "reason"),
    [
        (0.90, None, 0.50, True, "no champion yet"),
        (0.51, None, 0.50, False, "floor asks +0.0200: failed"),
        (0.52, None, 0.50, True, "floor asks +0.0200: passed"),  # exactly the floor: in binary a little more
        (0.82, None, 0.80, True, "floor asks +0.0200: passed"),  # and a little less
        (0.90, 0.80, 0.50, True, "+0.1000 from the champion's 0.8000"),
        (0.80, 0.80, 0.50, True, "+0.0000 from the champion's"),
        (0.795, 0.80, 0.50, True, "-0.0050 is allowed: passed"),  # exactly the tolerance
        (0.79, 0.80, 0.50, False, "-0.0050 is allowed: failed"),
        (0.51, 0.40, 0.50, False, "failed"),  # better than the champion, yet under the floor
        (math.nan, None, 0.50, False, "failed"),
        (0.90, math.nan, 0.50, True, "no number"),
        (0.90, 0.80, math.nan, False, "failed"),
    ],
)
def test_the_rule(challenger: float, champion: float | None, majority: float, promoted: bool, reason: str) -> None:
    verdict = decide(scores(challenger), None if champion is None else scores(champion), {"f1": majority}, CONFIG)
    assert verdict.promote is promoted
    assert reason in "; ".join(verdict.reasons)


def test_a_champion_that_nobody_measured_is_kept_whatever_the_challenger_scored() -> None:
    verdict = decide(scores(0.99), None, {"f1": 0.5}, CONFIG, champion_version="7")
    assert not verdict.promote
    assert "version 7, is unknown: a person decides" in verdict.reasons[-1]
    assert (verdict.figures["champion"], verdict.figures["champion_version"]) == (None, "7")


@pytest.mark.parametrize(
    ("new_noise", "old_noise", "allowed"),
    [(0.03, 0.04, 0.03), (0.04, 0.03, 0.03), (0.01, 0.04, 0.01), (0.03, 0, 0.005), (0, 0.03, 0.005), (0, 0, 0.005)],
)
def test_what_the_seeds_of_both_do_anyway_is_no_regression(new_noise: float, old_noise: float, allowed: float) -> None:
    """One seed (0) shows no noise: nothing says that what is missing is some."""
    verdict = decide(scores(0.78, noise=new_noise), scores(0.80, noise=old_noise), {"f1": 0.5}, CONFIG)
    assert verdict.figures["allowed"] == allowed
    assert verdict.promote is (allowed == 0.03)


def test_a_challenger_whose_seeds_fell_apart_does_not_replace_a_better_champion() -> None:
    """0.80, 0.80 and 0.10: a deviation of 0.404."""
    noise = spread([0.80, 0.80, 0.10]).deviation
    assert noise == pytest.approx(0.404, abs=0.001)
    for champion in (scores(0.95, noise=0.01), scores(0.95)):
        assert not decide(scores(0.80, noise=noise), champion, {"f1": 0.5}, CONFIG).promote


@given(new=SCORE, old=SCORE, noise=st.floats(0, 0.5), more=st.floats(0, 0.5))
def test_seeds_that_differ_more_than_the_champion_s_promote_no_challenger(
    new: float, old: float, noise: float, more: float
) -> None:
    champion = scores(old, noise=noise)
    steady, unsteady = (decide(scores(new, noise=own), champion, {"f1": -9.0}, CONFIG) for own in (noise, noise + more))
    assert unsteady.promote is steady.promote


def test_a_champion_measured_on_other_rows_is_not_compared() -> None:
    verdict = decide(scores(0.6), scores(0.9, data="other rows"), {"f1": 0.5}, CONFIG)
    assert verdict.promote
    assert "other data" in verdict.reasons[1]


def test_a_champion_that_was_weighed_by_another_metric_is_not_compared() -> None:
    champion = Scores("accuracy", {"accuracy": 0.9, "f1": 0.9}, "rows")
    verdict = decide(scores(0.6), champion, {"f1": 0.5}, CONFIG)
    assert verdict.promote
    assert "do not compare" in verdict.reasons[1]


def test_a_champion_that_was_asked_something_else_is_not_compared() -> None:
    """The same ids and right answers, under other texts; of an older version's it is not known what it was asked."""
    old, new = (replace(scores(value), inputs=name) for value, name in ((0.9, "texts"), (0.6, "other texts")))
    assert decide(new, old, {"f1": 0.5}, CONFIG).promote
    assert not decide(new, replace(old, inputs=""), {"f1": 0.5}, CONFIG).promote
    assert not decide(replace(new, inputs="texts"), old, {"f1": 0.5}, CONFIG).promote


@pytest.mark.parametrize(("challenger", "promoted"), [(0.6, False), (0.9, True)])
def test_where_the_champion_was_deleted_the_one_before_it_is_the_bar(challenger: float, promoted: bool) -> None:
    before = {"champion_version": "4", "champion_gone": True}
    verdict = decide(scores(challenger), scores(0.8), {"f1": 0.5}, CONFIG, **before)
    assert verdict.promote is promoted
    assert verdict.reasons[-1].startswith("the champion is gone, version 4 was it before: ")
    unknown = decide(scores(challenger), None, {"f1": 0.5}, CONFIG, **before)
    assert not unknown.promote and "a person decides" in unknown.reasons[-1]


def test_a_missing_primary_metric_never_promotes() -> None:
    assert not decide(Scores("f1", {}, "rows"), None, {"f1": 0.0}, CONFIG).promote
    assert not decide(scores(0.9), None, {}, CONFIG).promote


SCORED = ("data", "noise", "inputs")
ANY_FIGURE = SCORE | st.just(math.nan)
ANY_SCORES = st.builds(
    *(scores, ANY_FIGURE, st.sampled_from(["rows", "other rows"]), st.floats(0, 0.5)),
    st.sampled_from(["", "texts", "other texts"]),
)


@given(
    new=ANY_SCORES,
    old=st.none() | ANY_SCORES,
    majority=ANY_FIGURE,
    config=ANY_CONFIG,
    version=st.sampled_from([None, "3"]),
    gone=st.booleans(),
)
def test_a_verdict_names_every_figure_it_weighed_so_that_it_can_be_made_again(
    new: Scores, old: Scores | None, majority: float, config: Register, version: str | None, gone: bool
) -> None:
    """From verdict.json alone: what is left out there would have to be guessed here."""
    verdict = decide(new, old, {"f1": majority}, config, champion_version=version, champion_gone=gone)
    read = json.loads(json.dumps(verdict.as_json()))
    figures = read["figures"]
    challenger = [figures[key] for key in ("metric", "challenger", *(f"challenger_{key}" for key in SCORED))]
    champion = [figures[key] for key in ("champion_metric", "champion", *(f"champion_{key}" for key in SCORED))]
    again = decide(
        Scores(*challenger),
        Scores(*champion) if figures["champion"] else None,
        figures["majority"],
        Register(min_gain_over_majority=figures["min_gain_over_majority"], tolerance=figures["tolerance"]),
        champion_version=figures["champion_version"],
        champion_gone=figures["champion_gone"],
    )
    assert json.dumps(again.as_json()) == json.dumps(read)
    assert math.isnan(figures["floor"]) or figures["floor"] == majority + config.min_gain_over_majority


@given(new=SCORE, old=SCORE, noise=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), config=ANY_CONFIG)
def test_exactly_what_is_within_the_noise_of_the_seeds_or_the_tolerance_is_no_regression(
    new: float, old: float, noise: tuple[float, float], config: Register
) -> None:
    allowed = max(config.tolerance, min(noise))
    promoted = decide(scores(new, noise=noise[0]), scores(old, noise=noise[1]), {"f1": -9.0}, config).promote
    assert promoted is (new >= old - allowed - 1e-9)


@given(new=SCORE, old=st.none() | SCORE, majority=SCORE, config=ANY_CONFIG)
def test_nothing_below_the_floor_is_promoted(new: float, old: float | None, majority: float, config: Register) -> None:
    challenger = scores(new)
    if decide(challenger, None if old is None else scores(old), {"f1": majority}, config).promote:
        assert beats_floor(challenger, {"f1": majority}, config)
        assert new >= majority + config.min_gain_over_majority - 1e-6


@given(new=SCORE, old=SCORE, majority=SCORE, config=ANY_CONFIG)
def test_no_champion_on_the_same_rows_gives_way_to_a_regression(
    new: float, old: float, majority: float, config: Register
) -> None:
    if decide(scores(new), scores(old), {"f1": majority}, config).promote:
        assert new >= old - config.tolerance - 1e-6


@given(new=SCORE, better=st.floats(0, 1), old=st.none() | SCORE, majority=SCORE, config=ANY_CONFIG)
def test_a_better_challenger_is_promoted_wherever_a_worse_one_is(
    new: float, better: float, old: float | None, majority: float, config: Register
) -> None:
    champion = None if old is None else scores(old)
    if decide(scores(new), champion, {"f1": majority}, config).promote:
        assert decide(scores(new + better), champion, {"f1": majority}, config).promote
