"""Presets are listed, shown and written; a params.yaml that was edited by hand is not lost."""

from pathlib import Path

import pytest

from bertline.base.params import load_params, parse_params
from bertline.cli.presets import differences, load_preset
from checkout import PRESETS
from cli.typed import Type


def words(text: str) -> str:
    """A text without the line breaks of a table."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_says_what_it_is_for_and_is_written_as_shown(
    name: str, type_in: Type, checkout: Path
) -> None:
    assert len(load_preset(checkout, name).description) > 20
    assert type_in("preset", "use", name, "--force").exit_code == 0
    written = (checkout / "params.yaml").read_text()
    assert type_in("preset", "show", name).stdout == written
    assert written.startswith(f"# Written by `bertline preset use {name}`; edit freely.")
    assert load_params(checkout / "params.yaml") == load_preset(checkout, name).params


def test_show_prints_the_quickstart_with_the_meaning_of_its_options(type_in: Type) -> None:
    assert "learning_rate: 0.003 # peak" in type_in("preset", "show").stdout
    assert "# tokens a sequence, special tokens included" in type_in("preset", "show").stdout


def test_list_tells_what_presets_are_for_and_marks_the_active_one(type_in: Type) -> None:
    type_in("preset", "use", "smoke", "--force")
    lines = type_in("preset", "list").stdout.splitlines()
    marked = [line.split()[1] for line in lines if line.strip().startswith("*")]
    assert marked == ["smoke"]
    assert "No network; minutes on two CPU cores." in words(type_in("preset", "list").stdout)


def test_a_preset_can_be_changed_for_another_and_back(type_in: Type, checkout: Path) -> None:
    for name in ("quickstart", "smoke", "quickstart", "quickstart"):
        result = type_in(
            "preset", "use", name, *(["--force"] if "for tests" in (checkout / "params.yaml").read_text() else [])
        )
        assert result.exit_code == 0, result.stderr
        assert "Next: dvc repro" in result.stdout
    assert "is unchanged" in result.stdout


def test_a_missing_params_yaml_is_written(type_in: Type, checkout: Path) -> None:
    (checkout / "params.yaml").unlink()
    assert type_in("preset", "use", "quickstart").exit_code == 0
    assert load_params(checkout / "params.yaml") == load_preset(checkout, "quickstart").params


def test_hand_edits_are_named_and_kept_unless_forced(type_in: Type, checkout: Path) -> None:
    type_in("preset", "use", "quickstart", "--force")
    path = checkout / "params.yaml"
    edited = path.read_text().replace("budget: ", "budget: 1").replace("min_sentences: 2", "min_sentences: 3")
    path.write_text(edited)
    refused = type_in("preset", "use", "smoke")
    assert refused.exit_code == 1
    assert (
        "edited by hand, or of an older preset; it differs from quickstart in documents.min_sentences: 3 (not 2)"
        in refused.stderr
    )
    assert "pretrain.budget: 1" in refused.stderr
    assert "--force" in refused.stderr
    assert path.read_text() == edited
    assert type_in("preset", "use", "smoke", "--force").exit_code == 0
    assert load_params(path) == load_preset(checkout, "smoke").params


def test_comments_of_ones_own_are_edits_too(type_in: Type, checkout: Path) -> None:
    type_in("preset", "use", "quickstart", "--force")
    path = checkout / "params.yaml"
    path.write_text(path.read_text() + "# tried 2e-3: worse\n")
    refused = type_in("preset", "use", "smoke")
    assert "it differs from quickstart in comments or layout only" in refused.stderr
    assert "worse" in path.read_text()


def test_a_params_yaml_that_is_not_valid_is_kept_too(type_in: Type, checkout: Path) -> None:
    (checkout / "params.yaml").write_text("vocab: {sise: 3}\n")
    refused = type_in("preset", "use", "quickstart")
    assert refused.exit_code == 1
    assert "not valid: params.yaml, key vocab.sise: unknown option" in refused.stderr
    assert (checkout / "params.yaml").read_text() == "vocab: {sise: 3}\n"


def test_an_unknown_preset_lists_those_there_are(type_in: Type) -> None:
    for command in ("show", "use"):
        refused = type_in("preset", command, "quikstart")
        assert refused.exit_code == 1
        assert f"no preset named 'quikstart'. Choose one of: {', '.join(PRESETS)}." in refused.stderr
    assert type_in("preset", "show", "../../params").exit_code == 1


def test_one_preset_that_is_not_valid_does_not_hide_the_others(type_in: Type, checkout: Path) -> None:
    (checkout / "pipelines" / "presets" / "broken.yaml").write_text("# Mine.\nvocab: {size: 3}\n")
    listed = type_in("preset", "list")
    assert "quickstart" in listed.stdout
    assert listed.exit_code == 1
    assert "broken.yaml, key vocab.size: must be at least 256" in listed.stderr
    assert type_in("preset", "use", "smoke", "--force").exit_code == 0


def test_differences_name_options_on_either_side() -> None:
    one = parse_params({"tasks": {"a": {"data": {"train": "x"}}}}, "one")
    two = parse_params({"vocab": {"size": 512}}, "two")
    found = differences(one, two)
    assert "vocab.size: 8192 (not 512)" in found
    assert "tasks.a.kind: classification (not nothing)" in found
    assert differences(one, one) == []
