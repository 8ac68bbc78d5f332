"""The page of decisions: which models it lists."""

from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.registry.aliases import CHALLENGER, CHAMPION, PREVIOUS
from bertline.registry.decisions import describe
from bertline.registry.lineage import FLOW_RUN
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


def test_the_last_verdicts_of_a_run_are_shown_beside_what_serves(artifacts: Artifacts, params: Params) -> None:
    """A retry of stage register is another run of MLflow's, of the same flow run."""
    made = [(2000, "mine", "the second"), (1000, "mine", "the first"), (3000, "another", "of another")]
    with open_store(artifacts, "bertline") as store:
        store.client.create_registered_model("bertline-topic")
        for alias in (CHAMPION, CHALLENGER, PREVIOUS):
            version = store.client.create_model_version("bertline-topic", "file:///nowhere").version
            store.client.set_registered_model_alias("bertline-topic", alias, version)
        for start, flow_run, reason in made:
            run = store.client.create_run(store.experiment_id, start, {FLOW_RUN: flow_run}).info.run_id
            verdict = {"promote": False, "reasons": [reason]}
            store.client.log_dict(run, verdict, "verdicts/bertline-topic/verdict.json")
    page = describe(artifacts, params.register, "mine").splitlines()
    assert page[0] == "| model | champion | challenger | previous champion | this run |"
    assert page[2] == "| bertline-topic | 1 | 2 | 3 | not promoted: the second |"
