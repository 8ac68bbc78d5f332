"""`bertline plan` says what `dvc repro` would do; what it would refuse, too."""

from pathlib import Path

import pytest

from cli.typed import Type


@pytest.mark.parametrize("options", [(), ("--check",), ("--mermaid",)])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("\nfinetunes: {epochs: 5}\n", "error: params.yaml, key finetunes: unknown option. Did you mean 'finetune'."),
        ("\n\tencode: {}\n", "error: params.yaml: not valid YAML (while scanning"),
    ],
)
def test_a_params_yaml_that_no_stage_would_take_has_no_plan(
    checkout: Path, type_in: Type, wrong: str, told: str, options: tuple[str, ...]
) -> None:
    with (checkout / "params.yaml").open("a") as file:
        file.write(wrong)
    refused = type_in("plan", *options)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith(told)
    assert len(refused.stderr.splitlines()) == 1


def test_a_params_yaml_that_is_not_there_is_not_asked_for_a_section(checkout: Path, type_in: Type) -> None:
    (checkout / "params.yaml").unlink()
    assert "params.yaml: file not found. Run in a checkout" in type_in("plan").stderr
