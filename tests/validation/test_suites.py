"""The suites: each option of params.yaml is the bound of the expectation that is named for it, and of no other."""

import dataclasses
from typing import Any, get_args

import pytest

from bertline.base.config import Documents, Kind, Pretrain, Vocab
from bertline.base.gate_config import GateCorpus, GatePretrain, GateTask, GateTokens
from bertline.validation.checks import Check
from bertline.validation.suites import corpus_suite, pretrain_suite, task_suite, tokens_suite

# Section -> option -> another value, and the bounds that it moves: expectation, argument and what that is then.
BOUNDS: dict[type, dict[str, tuple[Any, dict[str, tuple[str, Any]]]]] = {
    GateCorpus: {
        "min_documents": (7, {"documents_are_enough": ("min_value", 7)}),
        "max_markup_share": (0.25, {"markup_is_gone": ("max_value", 0.25)}),
        "max_duplicate_share": (0.25, {"texts_are_unique": ("mostly", 0.75)}),
        "max_leaked_share": (0.25, {"validation_is_not_in_train": ("max_value", 0.25)}),
        "max_near_duplicate_share": (0.25, {"near_duplicates_are_rare": ("mostly", 0.75)}),
        "max_mojibake_share": (0.25, {"encoding_is_intact": ("max_value", 0.25)}),
        "max_foreign_share": (0.25, {"letters_are_of_the_script": ("max_value", 0.25)}),
    },
    GateTokens: {
        "max_unknown_share": (0.25, {"unknown_tokens_are_rare": ("max_value", 0.25)}),
        "max_tokens_per_word": (7.0, {"words_are_few_tokens": ("max_value", 7.0)}),
        "min_tokens": (7, {"tokens_are_enough": ("min_value", 7)}),
        "min_vocab_used": (0.25, {"vocabulary_is_in_use": ("min_value", 0.25)}),
    },
    GatePretrain: {
        "min_gain_over_unigram": (0.75, {"model_beats_unigrams": ("min_value", 0.75)}),
        "min_accuracy_over_unigram": (0.25, {"mlm_beats_the_commonest_token": ("min_value", 0.25)}),
        "min_nsp_accuracy": (0.75, {"nsp_beats_chance": ("min_value", 0.75)}),
    },
    GateTask: {
        "min_rows": (7, {"rows_are_enough": ("min_value", 7)}),
        "max_label_share": (0.75, {"labels_are_balanced": ("max_value", 0.75)}),
        "max_leaked_share": (0.25, {"test_is_not_in_train": ("max_value", 0.25)}),
        "max_label_shift": (0.25, {"labels_stand_with_their_texts": ("max_value", 0.25)}),
        "max_duplicate_share": (0.25, {"texts_are_unique": ("mostly", 0.75)}),
        "max_characters": (7, {"texts_are_of_normal_length": ("max_value", 7)}),
        "max_markup_share": (0.25, {"markup_is_gone": ("max_value", 0.25)}),
        "max_mojibake_share": (0.25, {"encoding_is_intact": ("max_value", 0.25)}),
    },
    Documents: {
        "min_sentences": (7, {"documents_have_sentences": ("min_value", 7)}),
        "min_characters": (700, {"documents_have_text": ("min_value", 350)}),  # less what the filter of sentences takes
    },
    Vocab: {"lowercase": (False, {"capitals_are_as_asked": ("value_set", ["kept"])})},
    Pretrain: {
        "budget": (70.0, {"budget_was_used": ("min_value", 70)}),
        "log_every": (7, {"curve_has_no_gaps": ("max_value", 7), "curve_reaches_the_end": ("max_value", 7)}),
        "learning_rate": (0.5, {"learning_rate_is_within_its_peak": ("max_value", pytest.approx(0.5, rel=0.01))}),
    },
}


def suite_of(options: Any) -> dict[str, Check]:
    """The checks of the gate that has this section, or reads it beside its own."""
    if isinstance(options, GateCorpus | Documents):
        gate, documents = (options, Documents()) if isinstance(options, GateCorpus) else (GateCorpus(), options)
        checks = corpus_suite(gate, documents, 1000)
    elif isinstance(options, GateTokens | Vocab):
        gate_tokens, vocab = (options, Vocab()) if isinstance(options, GateTokens) else (GateTokens(), options)
        checks = tokens_suite(gate_tokens, vocab, "en")
    elif isinstance(options, GatePretrain | Pretrain):
        gate_pretrain, recipe = (
            (options, Pretrain()) if isinstance(options, GatePretrain) else (GatePretrain(), options)
        )
        checks = pretrain_suite(gate_pretrain, recipe)
    else:
        checks = task_suite(options, "classification")
    return {check.name: check for check in checks}


@pytest.mark.parametrize(("section", "option"), [(section, option) for section in BOUNDS for option in BOUNDS[section]])
def test_an_option_is_the_bound_of_the_expectation_that_is_named_for_it_and_of_no_other(
    section: type, option: str
) -> None:
    value, bounds = BOUNDS[section][option]
    before, after = suite_of(section()), suite_of(section(**{option: value}))
    assert {name for name in before if before[name] != after[name]} == set(bounds)
    for name, (argument, bound) in bounds.items():
        assert after[name].arguments[argument] == bound


def test_every_threshold_of_the_gates_is_tried() -> None:
    for section in (GateCorpus, GateTokens, GatePretrain, GateTask):
        assert {item.name for item in dataclasses.fields(section)} == set(BOUNDS[section])


LABELLED = frozenset({"classification", "pair", "tagging"})
MEASURED = LABELLED | {"regression"}
TWO_TEXTS = frozenset({"pair", "regression"})
KINDS = {
    "labels_are_known": LABELLED,
    "every_label_is_trained": LABELLED,
    "validation_has_every_label": LABELLED,
    "test_has_every_label": LABELLED,
    "splits_are_of_one_balance": LABELLED,
    "labels_are_several": MEASURED,
    "labels_are_balanced": MEASURED,
    "labels_stand_with_their_texts": MEASURED,
    "texts_of_a_pair_differ": TWO_TEXTS,
    "columns_are_not_swapped": TWO_TEXTS,
    "targets_are_of_one_scale": {"regression"},
    "tags_are_in_order": {"tagging"},
    "answers_stand_at_their_offsets": {"span"},
    "questions_have_answers": {"span"},
}
"""Expectations that hold for some kinds of task alone."""


def test_every_kind_of_task_has_the_expectations_that_hold_for_it() -> None:
    every = set(get_args(Kind))
    found = {name: {kind for kind in every if name in names_of(kind)} for kind in every for name in names_of(kind)}
    assert {name: kinds for name, kinds in found.items() if kinds != every} == KINDS


def names_of(kind: str) -> set[str]:
    return {check.name for check in task_suite(GateTask(), kind)}


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [
        (1_000_000, 0.025, 0.075),  # half as many again
        (1000, 0.05 - 6 * 0.006892, 0.05 + 6 * 0.006892),  # six standard deviations of 50 out of 1,000
        (10, 0, 0.05 + 6 * 0.06892),
    ],
)
def test_the_validation_share_may_be_off_by_what_chance_does_to_so_many_documents(
    count: int, low: float, high: float
) -> None:
    suite = {check.name: check for check in corpus_suite(GateCorpus(), Documents(validation_fraction=0.05), count)}
    bounds = suite["validation_share_is_as_asked"].arguments
    assert (bounds["min_value"], bounds["max_value"]) == pytest.approx((low, high), abs=1e-5)


def test_a_budget_in_tokens_is_measured_in_tokens_but_for_its_last_batch() -> None:
    suite = suite_of(Pretrain(budget=1e6, budget_unit="tokens"))
    assert suite["budget_was_used"].at == "pretraining.tokens"
    assert suite["budget_was_used"].arguments["min_value"] == 990_000
    assert "budget_was_used" not in suite_of(Pretrain(budget=5, budget_unit="minutes"))
