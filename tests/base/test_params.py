"""params.yaml: read strictly, written with its meanings, refused with file, key and fix."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from bertline.base.config import Params, Pretrain, SecondPhase
from bertline.base.download_config import Source
from bertline.base.errors import BertlineError
from bertline.base.params import load_params, parse_params, render_params
from bertline.corpus.addresses import expand, is_fixed, local_name, scheme, url
from checkout import PRESETS, ROOT, preset

TASK = {"kind": "span", "data": {"builder": "docs_qa"}}


def refusal(params: dict) -> str:
    with pytest.raises(BertlineError) as caught:
        parse_params(params, "params.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("language", "code"),
    [("de", "de"), ("deu", "de"), ("ger", "de"), ("DEU-AT", "de"), ("zh_TW", "zh"), ("zho", "zh"), ("yue", "yue")],
)
def test_a_language_may_have_any_of_its_codes(language: str, code: str) -> None:
    assert parse_params({"documents": {"language": language}}, "params.yaml").documents.language_code == code


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"pretrian": {}}, ["params.yaml, key pretrian", "unknown option", "'pretrain'"]),
        ({"pretrain": {"learnin_rate": 1}}, ["key pretrain.learnin_rate", "'learning_rate'"]),
        ({"pretrain": {"batch_size": "many"}}, ["key pretrain.batch_size", "integer", "'many'"]),
        ({"pretrain": {"batch_size": 64.5}}, ["key pretrain.batch_size", "64.5"]),
        ({"pretrain": {"batch_size": 64, "accumulation": 5}}, ["key pretrain.accumulation", "must divide"]),
        ({"pretrain": {"model": "huge"}}, ["key pretrain.model", "'base'", "'huge'"]),
        ({"pretrain": None}, ["key pretrain", "None"]),
        ({"pretrain": {"seed": -1}}, ["key pretrain.seed", "at least 0"]),
        ({"pretrain": {"budget": float("inf")}}, ["key pretrain.budget", "finite"]),
        ({"pretrain": {"upsample": {"books.txt": 0}}}, ["key pretrain.upsample", "at least 1"]),
        ({"documents": {"validation_fraction": 0}}, ["key documents.validation_fraction", "above 0"]),
        ({"documents": {"language": "english"}}, ["key documents.language", "ISO 639"]),
        ({"gate_corpus": {"max_duplicate_share": -0.1}}, ["key gate_corpus.max_duplicate_share", "between 0 and 1"]),
        ({"tasks": {"a": {"data": {"builder": "cola", "max_train_rows": -1}}}}, ["max_train_rows", "at least 0"]),
        ({"tasks": {"a": {**TASK, "finetune": {"epocs": 1}}}}, ["key tasks.a.finetune.epocs", "'epochs'"]),
        ({"tasks": {"a": {**TASK, "finetune": {"stride": 500}}}}, ["key tasks.a.finetune.stride", "max_length"]),
        ({"tasks": {"a": TASK}, "finetune": {"stride": 64, "max_length": 64}}, ["key tasks.a.finetune.stride"]),
        ({"tasks": {"a": TASK}, "transfer": {"a": "b"}}, ["key transfer.a", "no task named 'b'", "the tasks: a"]),
        ({"tasks": {"a": TASK}, "transfer": {"b": "a"}}, ["key transfer.b", "no task named 'b'", "the tasks: a"]),
        ({"transfer": {"b": "a"}}, ["key transfer.b", "no task named 'b'", "none is defined"]),
        ({"tasks": {"a": TASK}, "transfer": {"a": "a"}}, ["key transfer.a", "itself", "another task"]),
        ({"tasks": {"a": TASK}, "transfer": {"a": 1}}, ["key transfer.a", "string"]),
        ({"tasks": {"a/b": TASK}}, ["key tasks.a/b", "'a/b' cannot name a task", "begin with a letter or digit"]),
        ({"tasks": {"größe": TASK}}, ["key tasks.größe", "cannot name a task", "a-z, A-Z"]),
        ({"tasks": {"-x": TASK}}, ["key tasks.-x", "cannot name a task"]),
        ({"tasks": {"_x": TASK}}, ["key tasks._x", "cannot name a task"]),
        ({"tasks": {"": TASK}}, ["key tasks.", "cannot name a task"]),
        ({"tasks": {"x" * 65: TASK}}, ["cannot name a task", "64"]),
        ({"tasks": {"encoder": TASK}}, ["key tasks.encoder", "'encoder' cannot name a task", "pre-trained model"]),
        ({"tasks": {"a": {"kind": "pair", "data": {"builder": "files"}}}}, ["key tasks.a.data.train", "path"]),
        (
            {"tasks": {"a": {"data": {"builder": "doc_topic"}}}},
            ["tasks.a.data.builder", "mean docs_topic?", "files"],
        ),
        ({"tasks": {"a": {"data": {"builder": "xyz"}}}}, ["no builder named 'xyz'. Builders are: files, "]),
        ({"tasks": {"a": {**TASK, "kind": "pair"}}}, ["key tasks.a.kind", "rows of kind span, not pair", "kind: span"]),
        ({"register": {"prefix": ""}}, ["key register.prefix", "begin with a letter or digit"]),
        ({"register": {"prefix": "bert.v2"}}, ["key register.prefix", "a-z, A-Z, 0-9, -, _ and spaces"]),
        ({"register": {"prefix": "x" * 101}}, ["key register.prefix", "100"]),
        ({"download": {"sources": [{"adress": "x"}]}}, ["key download.sources.0.adress", "'address'"]),
        ({"download": {"sources": [{"address": "a", "bytes": -1}]}}, ["key download.sources.0.bytes", "at least 0"]),
    ],
)
def test_a_wrong_option_is_named_with_its_key_and_a_fix(params: dict, told: list[str]) -> None:
    message = refusal(params)
    assert "\n" not in message
    for part in told:
        assert part in message


def test_the_meaning_of_a_refused_option_stands_where_the_message_says_though_params_yaml_leaves_it_out() -> None:
    for params in ({"finetune": {"patience": "two"}}, {"finetune": {"qqqqqqqq": 1}}):
        [named] = re.findall(r"src/\S+\.py", refusal(params))
        assert "patience: int = option(" in (ROOT / named).read_text(encoding="utf-8")
    assert "patience" not in render_params(Params(), "")


@pytest.mark.parametrize("sign", [*"./:%?#'\"`|\\\n\t", "\u00e4", "\u0663"])
def test_a_prefix_that_the_registry_would_refuse_after_all_training_is_refused_before_it(sign: str) -> None:
    for prefix in (f"bert{sign}v2", f"bert{sign}"):
        assert "key register.prefix: must be of a-z" in refusal({"register": {"prefix": prefix}})


@pytest.mark.parametrize("name", ["2024-01-01", "1.10", "~", "[a, b]", "true"])
@pytest.mark.parametrize("place", ["pretrain: {upsample: {NAME: 2}}", "tasks: {NAME: {}}", "NAME: 1"])
def test_a_name_that_yaml_reads_as_something_else_is_to_be_quoted(place: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(place.replace("NAME", name))
    with pytest.raises(BertlineError, match=r"params\.yaml, key .*is not read as text.*quotes"):
        load_params(path)


@pytest.mark.parametrize("name", ["2024", "010", "0x10"])
@pytest.mark.parametrize("place", ["tasks: {NAME: {}}", "transfer: {NAME: b}"])
def test_a_task_named_by_a_number_is_to_be_quoted(place: str, name: str, tmp_path: Path) -> None:
    """DVC would make no stages for it, and report would miss them after all training."""
    test_a_name_that_yaml_reads_as_something_else_is_to_be_quoted(place, name, tmp_path)


def test_a_name_of_digits_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text('pretrain: {upsample: {2024: 2, "2024-01-01": 3}}\n')
    assert load_params(path).pretrain.upsample == {"2024": 2, "2024-01-01": 3}


def test_numbers_are_read_as_yaml_1_2_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("pretrain: {learning_rate: 1e-3, clip: 2}\n")
    pretrain = load_params(path).pretrain
    assert (pretrain.learning_rate, pretrain.clip) == (0.001, 2)


@pytest.mark.parametrize(("text", "told"), [("a: [", "not valid YAML"), ("- a", "mapping"), ("\xff", "not valid YAML")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BertlineError, match=told):
        load_params(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BertlineError, match="preset use quickstart"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (
            {"download": {"sources": [{"address": "file:a"}, {"address": "https://me:geheim@host/a.txt"}]}},
            "download.sources.1.address",
        ),
        ({"download": {"sources": [{"address": "https://host/a.txt?token=geheim"}]}}, "download.sources.0.address"),
        ({"tasks": {"mine": {"data": {"train": "https://geheim@host/a.csv"}}}}, "tasks.mine.data.train"),
    ],
)
def test_a_password_is_refused_with_its_key_and_not_repeated(value: dict[str, Any], key: str) -> None:
    with pytest.raises(BertlineError, match=rf"params.yaml, key {key}: .*password or token.*netrc") as caught:
        parse_params(value, "params.yaml")
    assert "geheim" not in str(caught.value)


BILLIONS = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 14))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pretrain: {seed: 2026-02-30}", "not valid YAML .day is out of range for month"),
        (f"pretrain: {{seed: {'1' * 5000}}}", "not valid YAML .Exceeds the limit"),
        (f"pretrain: {'[' * 1500}", "not valid YAML .maximum recursion depth"),
        ("pretrain: {model: &a [*a]}", "key pretrain.model.0: too many entries.*alias"),
        ("pretrain: &a {model: *a}", "key pretrain.model.model: too many entries.*alias"),
        (BILLIONS, "too many entries.*alias"),
    ],
    ids=["no day", "endless number", "deep", "a list in itself", "a section in itself", "billions"],
)
def test_what_yaml_cannot_hold_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BertlineError, match=rf"params\.yaml.*{told}"):
        load_params(tmp_path / "params.yaml")


def test_an_alias_of_yaml_may_stand_for_a_section(tmp_path: Path) -> None:
    text = "tasks:\n  a: &a {data: {train: data/sources/a.csv}}\n  b: {<<: *a, finetune: &f {epochs: 2}}\n  c: *a\n"
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert load_params(tmp_path / "params.yaml").tasks["c"].data.train == "data/sources/a.csv"


@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b", "\0", "\x85", "\u2028"])
def test_a_heading_is_a_comment_whatever_is_in_it(sign: str, tmp_path: Path) -> None:
    """YAML would read what follows as an option, or refuse the file."""
    (tmp_path / "params.yaml").write_text(render_params(Params(), f"Run x: a{sign}encode: {{}}"), encoding="utf-8")
    assert load_params(tmp_path / "params.yaml") == Params()


def test_a_budget_is_written_as_people_write_it() -> None:
    written = render_params(parse_params({"pretrain": {"budget": 6000.0, "clip": 1.0}}, "params.yaml"), "A heading.")
    assert "  budget: 6000 #" in written and "  clip: 1.0 #" in written


@pytest.mark.parametrize("name", PRESETS)
def test_the_sources_of_every_preset_are_whole_addresses(name: str) -> None:
    for source in preset(name).download.sources:
        addresses = expand(source.address)
        assert len({local_name(address) for address in addresses}) == len(addresses)
        fetched = [address for address in addresses if scheme(address) == "hf"]
        assert all(is_fixed(address) and url(address).endswith(".parquet") for address in fetched)
        assert source.licence or scheme(source.address) == "mirror"


def meaning_of(section: str) -> str:
    (found,) = [item.metadata["meaning"] for item in dataclasses.fields(Params) if item.name == section]
    return str(found)


def test_the_written_file_explains_every_option_that_is_common_or_set() -> None:
    recipe = Pretrain(ramp_from=8, second_phase=SecondPhase(share=0.1))
    text = render_params(dataclasses.replace(Params(), pretrain=recipe), "A heading.")
    shown = {"ramp_from", *(option.name for option in dataclasses.fields(Pretrain) if not option.metadata["rare"])}
    for option in dataclasses.fields(Pretrain):
        if option.name in shown:
            assert f"  {option.name}: " in text
            assert f"# {option.metadata['meaning']}" in text
    assert "  init_from: " not in text
    for section in ("tasks", "transfer"):  # of which no class tells
        assert re.search(rf"^# {re.escape(meaning_of(section))}\n{section}:", text, re.MULTILINE)
    for option in dataclasses.fields(SecondPhase):
        assert f"    {option.name}: " in text and f"# {option.metadata['meaning']}" in text


def test_the_options_of_several_entries_are_explained_once() -> None:
    two = parse_params({"download": {"sources": [{"address": "file:a"}, {"address": "file:b"}]}}, "params.yaml")
    (meaning,) = [item.metadata["meaning"] for item in dataclasses.fields(Source) if item.name == "address"]
    assert render_params(two, "").count(f"# {meaning}") == 1


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({}, "train"),
        ({"builder": "cola", "train": "data/sources/a.csv"}, "train"),
        ({"builder": "cola", "test": "data/sources/a.csv"}, "test"),
        ({"builder": "cola", "columns": {"text": "review"}}, "columns"),
    ],
)
def test_files_are_named_for_the_builder_of_files_and_for_no_other(data: dict[str, Any], key: str) -> None:
    with pytest.raises(BertlineError, match=rf"key tasks\.mine\.data\.{key}: .*builder"):
        parse_params({"tasks": {"mine": {"data": data}}}, "params.yaml")


@pytest.mark.parametrize(
    ("recipe", "key"),
    [
        ({"ramp_from": 24}, "pretrain.ramp_from"),
        ({"ramp_from": 64}, "pretrain.ramp_from"),
        ({"ramp_from": 8, "batch_size": 48}, "pretrain.ramp_from"),  # six times as many
        ({"ramp_from": -2}, "pretrain.ramp_from"),
        ({"ramp_from": 8, "ramp_share": 0.0}, "pretrain.ramp_share"),
        ({"ramp_from": 8, "budget_unit": "minutes"}, "pretrain.ramp_from"),
        ({"second_phase": {"share": 0.1}, "budget_unit": "minutes"}, "pretrain.second_phase"),
        ({"second_phase": {"share": 0.95}, "ramp_from": 8}, "pretrain.ramp_share"),
        ({"second_phase": {"sequence_length": 1024}}, "pretrain.second_phase.sequence_length"),
    ],
)
def test_impossible_ramps_and_phases_are_refused_by_name(recipe: dict[str, Any], key: str) -> None:
    with pytest.raises(BertlineError, match=f"key {key}:"):
        parse_params({"pretrain": {"batch_size": 64, **recipe}}, "params.yaml")


def test_the_committed_params_are_the_quickstart() -> None:
    assert load_params(ROOT / "params.yaml") == preset("quickstart")


def test_overrides_of_a_task_reach_its_recipe_alone() -> None:
    tasks = {"a": {**TASK, "finetune": {"learning_rate": 1.0}}, "b": TASK}
    params = parse_params({"tasks": tasks}, "params.yaml")
    assert params.finetune_for("a").learning_rate == 1.0
    assert params.finetune_for("b") == params.finetune
