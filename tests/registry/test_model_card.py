"""Model cards say what a user of a model must know."""

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import write_json
from bertline.registry.contenders import contenders


def test_a_card_holds_data_recipe_scores_limits_licence_and_lineage(artifacts: Artifacts, params: Params) -> None:
    source = {"address": "python-docs:", "sha256": "ab", "licence": "as each package"}
    write_json(artifacts.raw / "manifest.json", {"sources": [source]})
    cards = {one.name: one.card for one in contenders(params, artifacts, {"git.commit": "abc"})}
    topic = cards["bertline-topic"]
    assert topic.startswith("---\nlanguage: en\nlibrary_name: transformers\npipeline_tag: text-classification\n---\n")
    assert "made up. Rows: 10 train, 5 validation, 4 test. Labels: `numpy`, `torch`." in topic
    assert "learning_rate 0.001" in topic  # the task's own
    assert "| metric | this model (seed 0) | its recipe | from random weights | majority |" in topic
    assert "| accuracy | 0.8000 | 0.8000 | 0.6000 | 0.5000 |" in topic
    assert "as each package" in topic
    assert "- git.commit: `abc`" in topic
    assert f"- content sha256: `{next(contenders(params, artifacts, {})).content}`" in topic
    encoder = cards["bertline-encoder"]
    assert "pipeline_tag: fill-mask" in encoder
    assert "| gain_over_unigram | 2.0000 |" in encoder
    assert "python-docs: (sha256 ab)" in encoder
    assert all("## Limits" in card for card in cards.values())


def test_a_card_is_made_where_only_the_models_were_fetched(artifacts: Artifacts, params: Params) -> None:
    assert not artifacts.raw.exists()
    assert all("see the manifest of the run" in one.card for one in contenders(params, artifacts, {}))
