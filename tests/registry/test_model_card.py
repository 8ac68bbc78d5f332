"""Model cards say what a user of a model must know."""

from dataclasses import replace

import yaml

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params, TaskData
from bertline.base.files import read_json, write_json
from bertline.registry.contenders import contenders
from registry.pipeline_state import write_scores


def test_a_card_holds_data_recipe_scores_limits_licence_and_lineage(artifacts: Artifacts, params: Params) -> None:
    source = {"address": "python-docs:", "sha256": "ab", "licence": "as each package"}
    write_json(artifacts.raw / "manifest.json", {"sources": [source]})
    cards = {one.name: one.card for one in contenders(params, artifacts, {"git.commit": "abc"})}
    topic = cards["bertline-topic"]
    assert topic.startswith('---\nlanguage: "en"\nlibrary_name: transformers\npipeline_tag: text-classification\n---\n')
    assert "made up. Rows: 10 train, 5 validation, 4 test. Labels: `numpy`, `torch`." in topic
    assert "learning_rate 0.001" in topic  # the task's own
    assert "| metric | this model (seed 0) | 95 % interval | its recipe | from random weights | majority |" in topic
    assert "| accuracy | 0.8000 | 0.7500 to 0.8500 | 0.8000 | 0.6000 | 0.5000 |" in topic
    assert "as each package" in topic
    assert "- git.commit: `abc`" in topic
    assert f"- content sha256: `{next(contenders(params, artifacts, {})).content}`" in topic
    encoder = cards["bertline-encoder"]
    assert "pipeline_tag: fill-mask" in encoder
    assert "| mlm_loss | 4.0000 | 3.8750 to 4.1250 |" in encoder
    assert "| gain_over_unigram | 2.0000 |" in encoder
    assert "python-docs: (sha256 ab)" in encoder
    for heading in ("Data", "Licence", "Recipe", "Scores", "Limits", "Carbon", "Lineage"):
        assert all(f"\n## {heading}" in card for card in cards.values()), heading


def test_labels_that_are_signs_of_markdown_stand_in_a_card_as_they_are(artifacts: Artifacts, params: Params) -> None:
    """Quotes of the Penn Treebank: as one fence of code they would take the rest of the card with them."""
    path = artifacts.finetuned("topic") / "task.json"
    write_json(path, read_json(path) | {"labels": ["''", "``", "<b>", "a`b"]})
    topic = next(contenders(params, artifacts, {})).card
    assert "Labels: `''`, ``` `` ```, `<b>`, ``a`b``." in topic


def test_the_limits_say_what_was_measured_against_the_model(artifacts: Artifacts, params: Params) -> None:
    figures = read_json(artifacts.metrics("evaluate", "topic"))
    write_json(artifacts.metrics("evaluate", "topic"), figures | {"tfidf": {"accuracy": 0.9}})
    topic, pairs, rating, *_ = contenders(params, artifacts, {})
    limits = topic.card.partition("## Limits")[2].partition("## Licence")[0]
    assert "- Better on the test rows: TF-IDF." in limits
    assert "off by 0.125 on average (expected calibration error)" in limits
    assert "- accuracy by length (characters): 1 to 9: 0.800." in limits
    assert "Better on the test rows" not in pairs.card
    # Than this model, whatever its recipe reaches.
    write_scores(artifacts, "pairs", primary=0.55, others=(0.7, 0.9))
    figures = read_json(artifacts.metrics("evaluate", "pairs"))
    write_json(artifacts.metrics("evaluate", "pairs"), figures | {"pretrained": figures["seeds"]["pretrained"]["1"]})
    _, pairs, *_ = contenders(params, artifacts, {})
    assert "- Better on the test rows: from random weights." in pairs.card
    assert "calibration" not in rating.card


def test_a_card_names_the_precision_that_was_computed_in_and_not_the_one_asked_for(
    artifacts: Artifacts, params: Params
) -> None:
    assert params.pretrain.precision == params.finetune.precision == "bf16"
    for used in ("fp32", "bf16"):
        write_json(artifacts.metrics("pretrain"), read_json(artifacts.metrics("pretrain")) | {"precision": used})
        cards = {one.name: one.card for one in contenders(params, artifacts, {})}
        assert f"precision {used}," in cards["bertline-encoder"]
        assert "precision bf16 where the processor has it," in cards["bertline-topic"]


def test_a_card_says_whether_a_long_text_is_read_to_its_end(artifacts: Artifacts, params: Params) -> None:
    cards = {one.name: one.card for one in contenders(params, artifacts, {})}
    assert "- Of an input it reads the first tokens alone, 128 at most." in cards["bertline-topic"]
    assert "- Of an input it reads all, 128 tokens at a time." in cards["bertline-qa"]


def test_the_limits_of_the_encoder_name_the_longest_sequences_that_it_or_what_it_went_on_from_has_seen(
    artifacts: Artifacts, params: Params
) -> None:
    shorter = replace(params, pretrain=replace(params.pretrain, sequence_length=16))
    config = artifacts.pretrained / "tokenizer_config.json"
    for longest in (32, 24):
        write_json(config, read_json(config) | {"model_max_length": longest})
        cards = {one.name: one.card for one in contenders(shorter, artifacts, {})}
        assert f"- Sequences of {longest} tokens were seen, none longer." in cards["bertline-encoder"]


def test_a_licence_is_that_of_the_rows_and_that_of_the_corpus(artifacts: Artifacts, params: Params) -> None:
    published = replace(params.tasks["qa"], data=TaskData(builder="squad_44"))
    params = replace(params, tasks={**params.tasks, "qa": published})
    cards = {one.name: one.card for one in contenders(params, artifacts, {})}
    assert "Licence of the task's rows: CC BY-SA 4.0." in cards["bertline-qa"]
    assert "Licence of the task's rows: as their owner says" in cards["bertline-topic"]


def test_a_licence_that_nobody_stated_is_said_to_be_none(artifacts: Artifacts, params: Params) -> None:
    sources = [{"address": name, "sha256": "ab", "licence": licence} for name, licence in (("a", ""), ("b", "CC0"))]
    write_json(artifacts.raw / "manifest.json", {"sources": sources})
    assert "trained on: CC0; not stated." in next(contenders(params, artifacts, {})).card


def test_the_language_is_a_text_for_every_reader_of_yaml(artifacts: Artifacts, params: Params) -> None:
    """Norwegian is `no`, which the YAML 1.1 of the Hub takes for false."""
    params = replace(params, documents=replace(params.documents, language="no"))
    head = next(contenders(params, artifacts, {})).card.split("---\n")[1]
    assert yaml.safe_load(head)["language"] == "no"


def test_carbon_is_estimated_from_the_stages_time_and_names_what_it_assumes(
    artifacts: Artifacts, params: Params
) -> None:
    write_json(artifacts.runs / "stages" / "finetune@topic.json", {"seconds": 3600.0})
    cards = {one.name: one.card for one in contenders(params, artifacts, {})}
    assert (  # 2 cores * 15 W * 1 h * 480 g/kWh
        "About 14 g of CO2 equivalent, estimated from 1 h of stage finetune@topic when it last ran on this machine,"
        " all of its seeds and starts included but for what an interrupted run had finished before."
        " Assumed, not measured: 2 CPU cores of 15 W each, 480 g of CO2" in cards["bertline-topic"]
    )
    assert "estimated from 0.0035 h of stage pretrain" in cards["bertline-encoder"]  # 12.5 s
    assert "Not known: stage finetune@qa did not run on this machine." in cards["bertline-qa"]
    (*_, encoder) = contenders(
        replace(params, pretrain=replace(params.pretrain, device="cuda", processes=4)), artifacts, {}
    )
    assert "About 4.7 g" in encoder.card  # 4 * 700 W * 12.5 s
    assert "4 GPU of 700 W each" in encoder.card
    (*_, encoder) = contenders(replace(params, pretrain=replace(params.pretrain, processes=4)), artifacts, {})
    assert "About 0.2 g" in encoder.card  # 4 processes * 2 cores * 15 W * 12.5 s
    assert "8 CPU cores of 15 W each" in encoder.card


def test_a_card_is_made_where_only_the_models_were_fetched(artifacts: Artifacts, params: Params) -> None:
    assert not artifacts.raw.exists()
    assert all("see the manifest of the run" in one.card for one in contenders(params, artifacts, {}))
