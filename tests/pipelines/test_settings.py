"""What a person may set for a run: bounded, checked, and never a way into a shell."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bertline.base.errors import BertlineError
from bertline.base.params import load_params
from bertline.cli.presets import load_preset
from checkout import PRESETS, ROOT
from pipelines.settings import CURRENT, ModelName, Overrides, PresetName, StageName, Version, configured

NASTY = ['"; touch x"', "$(touch x)", "`touch x`", "a; touch x", "a && touch x", "a\ntouch x", "../x", "-x"]


def test_the_form_offers_the_presets_there_are() -> None:
    schema = TypeAdapter(PresetName).json_schema()
    assert schema["enum"] == [CURRENT, *PRESETS]


def test_current_is_the_params_yaml_of_the_checkout() -> None:
    assert configured(ROOT, CURRENT, Overrides()) == load_params(ROOT / "params.yaml")
    assert configured(ROOT, "smoke", Overrides()) == load_preset(ROOT, "smoke").params


def test_overrides_change_what_they_name() -> None:
    more = [
        "documents.min_sentences=3",
        "tasks.docs_qa.finetune.epochs=9",
        "pretrain.model=mini",
        "pretrain.ramp_from=8",
    ]
    params = configured(ROOT, "quickstart", Overrides(pretrain_budget=7, pretrain_learning_rate=1e-3, more=more))
    assert (params.pretrain.budget, params.pretrain.learning_rate) == (7, 1e-3)
    assert (params.pretrain.model, params.pretrain.ramp_from) == ("mini", 8)
    assert params.documents.min_sentences == 3
    assert params.finetune_for("docs_qa").epochs == 9
    assert params.finetune_for("docs_pair").epochs == 3


def test_an_option_that_is_written_out_has_the_last_word() -> None:
    params = configured(ROOT, "smoke", Overrides(pretrain_seed=1, more=["pretrain.seed=2", "pretrain.seed=3"]))
    assert params.pretrain.seed == 3


def test_an_option_of_fine_tuning_holds_for_tasks_that_have_their_own() -> None:
    params = configured(ROOT, "quickstart", Overrides(finetune_learning_rate=0.002, finetune_seed=5))
    for task in params.tasks:
        assert params.finetune_for(task).learning_rate == 0.002
        assert params.finetune_for(task).seed == 5


@pytest.mark.parametrize(
    "key", ["finetune.tune.optuna_trials=5", "finetune.tune={learning_rates: [0.1], optuna_trials: 5}"]
)
def test_so_does_a_part_of_it_and_what_else_a_task_has_of_that_part_stays(key: str) -> None:
    own = ["tasks.docs_qa.finetune.tune={learning_rates: [0.1]}", "tasks.docs_pair.finetune.epochs=1"]
    params = configured(ROOT, "quickstart", Overrides(more=[*own, key]))
    for task in params.tasks:
        assert params.finetune_for(task).tune.optuna_trials == 5
    assert params.finetune_for("docs_qa").tune.learning_rates == [0.1]


def test_a_run_that_must_not_promote_says_so_in_its_parameters() -> None:
    assert configured(ROOT, "smoke", Overrides()).register.promote
    assert not configured(ROOT, "smoke", Overrides(), "never").register.promote


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("pretrain.learning_rat=1", "Did you mean 'learning_rate'"),
        ("pretrain.learning_rate=fast", "key pretrain.learning_rate"),
        ("pretrian.seed=1", "no section 'pretrian'. There are: download"),
        ("pretrain.seed.x=1", "no section 'pretrain.seed'"),
        ("pretrain.model=[", "is no YAML value"),
        ("pretrain.model=2026-02-30", "'2026-02-30' is no YAML value"),
        (f"pretrain.model={'[' * 500}", "is no YAML value"),
        ("pretrain.model=!!bool x", "is no YAML value"),
        ('pretrain.model="\\UFFFFFFFF"', "is no YAML value"),
        ("pretrain.model=&a [*a]", "key pretrain.model.0: too many entries"),
        ('tasks.docs_qa.kind="; touch x"', "is no YAML value|key tasks.docs_qa.kind"),
    ],
)
def test_a_wrong_override_is_one_line_that_names_it(wrong: str, message: str) -> None:
    with pytest.raises(BertlineError, match=message) as raised:
        configured(ROOT, "smoke", Overrides(more=[wrong]))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("wrong", ["tasks.docs_qa=5", "tasks.docs_qa={finetune: 5}"])
def test_a_task_that_is_none_is_named_also_beside_an_option_for_all_tasks(wrong: str) -> None:
    with pytest.raises(BertlineError, match="key tasks"):
        configured(ROOT, "smoke", Overrides(more=[wrong, "finetune.seed=1"]))


@pytest.mark.parametrize("end", ["\n", "\x85", "\u2028", "\u2029"])
def test_a_value_has_no_end_of_a_line_for_yaml_would_begin_another_one(end: str) -> None:
    with pytest.raises(ValidationError):
        Overrides(more=[f"register.experiment=one{end}another"])


@pytest.mark.parametrize("nasty", NASTY)
def test_what_could_be_a_command_is_refused_before_anything_runs(nasty: str) -> None:
    for kind in (StageName, ModelName, Version):
        if kind is StageName and nasty in ("../x", "-x"):
            continue  # no stage is named so: the plan refuses it
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(nasty)
    with pytest.raises(ValidationError):
        Overrides(more=[nasty])
    with pytest.raises((ValidationError, BertlineError)):
        configured(ROOT, "smoke", Overrides(more=[f"tasks.{nasty}.kind=pair"]))
    with pytest.raises(BertlineError):
        configured(ROOT, nasty, Overrides())


@pytest.mark.parametrize("prefix", ["Bert 2_b-", "x" * 100])
def test_every_model_that_a_run_may_register_can_be_named_in_the_form_that_promotes_it(prefix: str) -> None:
    params = configured(ROOT, "smoke", Overrides(more=[f"register.prefix={prefix}"]))
    name = f"{params.register.prefix}-{'y' * 64}"  # the longest name of a task
    assert TypeAdapter(ModelName).validate_python(name) == name


def test_a_version_is_a_number_as_the_registry_writes_it_or_empty() -> None:
    version = TypeAdapter(Version)
    for right in ("", "1", "10", "999999999"):
        assert version.validate_python(right) == right
    for wrong in ("0", "01", "1.0", "1234567890", " 1"):
        with pytest.raises(ValidationError):
            version.validate_python(wrong)


@pytest.mark.parametrize(
    "wrong", [{"pretrain_budget": 0}, {"pretrain_learning_rate": 2}, {"finetune_epochs": "many"}, {"x": 1}]
)
def test_values_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Overrides(**wrong)


def test_what_yaml_could_do_with_a_value_is_nothing() -> None:
    more = ["register.experiment=!!python/object/apply:os.system ['touch x']"]
    with pytest.raises(BertlineError):
        configured(ROOT, "smoke", Overrides(more=more))
    named = configured(ROOT, "smoke", Overrides(more=[f"register.experiment={json.dumps(NASTY[0])}"]))
    assert named.register.experiment == NASTY[0]
