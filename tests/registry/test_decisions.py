"""The page of decisions: which models it lists."""

from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.registry.decisions import describe
from bertline.registry.store import open_store


@pytest.mark.parametrize(("prefix", "other"), [("m_ne", "mine"), ("mine", "MINE")])
def test_models_of_another_prefix_are_not_listed_whatever_signs_a_prefix_has(
    prefix: str, other: str, artifacts: Artifacts, params: Params
) -> None:
    with open_store(artifacts, "bertline") as store:
        for each in (prefix, other):
            store.client.create_registered_model(f"{each}-topic")
    page = describe(artifacts, replace(params.register, prefix=prefix), "")
    assert f"| {prefix}-topic |" in page
    assert other not in page


def test_where_nothing_was_registered_no_store_is_made_to_say_so(params: Params, tmp_path: Path) -> None:
    told = describe(Artifacts(tmp_path), params.register, "")
    assert told.startswith("This run registered nothing") and f"none at {tmp_path / 'mlflow.db'}" in told
    assert list(tmp_path.iterdir()) == []
