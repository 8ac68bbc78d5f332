"""What is registered of a task: the kept model with its own scores, and how much its seeds differ."""

from dataclasses import replace
from typing import Any

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import read_json, read_jsonl, write_json, write_jsonl
from bertline.registry.contenders import contenders
from bertline.registry.promotion import Scores
from registry.pipeline_state import write_scores


def test_a_model_stands_for_its_own_scores_and_the_noise_of_its_seeds(artifacts: Artifacts, params: Params) -> None:
    write_scores(artifacts, "topic", primary=0.8, others=(0.7, 0.9))
    topic = next(contenders(params, artifacts, {}))
    assert topic.scores.primary == 0.8
    assert topic.scores.noise == pytest.approx(0.1)
    assert topic.majority["accuracy"] == 0.5
    assert "middle one" in topic.card and "medians over 3 seeds" in topic.card
    figures = read_json(artifacts.metrics("evaluate", "topic"))
    figures |= {"kept": {"pretrained": 2, "from_random": 0}, "pretrained": dict.fromkeys(figures["pretrained"], 0.85)}
    write_json(artifacts.metrics("evaluate", "topic"), figures)
    topic = next(contenders(params, artifacts, {}))
    assert topic.scores.values == figures["seeds"]["pretrained"]["2"], "not the median's, which no model may have"


def test_one_seed_has_no_noise(artifacts: Artifacts, params: Params) -> None:
    write_scores(artifacts, "topic", primary=0.8)
    topic = next(contenders(params, artifacts, {}))
    assert topic.scores.noise == 0


@pytest.mark.parametrize(
    ("old", "new", "compare"),
    [
        ('"id": "topic-', '"id": "other-', False),  # though the right answers are the same
        ('"label": "a"', '"label": "b"', False),
        ('"pretrained": "a"', '"pretrained": "b"', True),
    ],
)
def test_scores_compare_where_rows_and_right_answers_are_the_same(
    old: str, new: str, compare: bool, artifacts: Artifacts, params: Params
) -> None:
    rows = artifacts.report("evaluate", "topic") / "predictions.jsonl"
    before = next(contenders(params, artifacts, {})).scores.data
    rows.write_text(rows.read_text().replace(old, new))
    assert new in rows.read_text()
    assert (next(contenders(params, artifacts, {})).scores.data == before) is compare


@pytest.mark.parametrize(("task", "column"), [("topic", "text"), ("pairs", "text_pair"), ("qa", "context")])
def test_other_texts_under_the_same_ids_and_answers_are_another_test(
    task: str, column: str, artifacts: Artifacts, params: Params
) -> None:
    def scores() -> Scores:
        return next(one for one in contenders(params, artifacts, {}) if one.name == f"bertline-{task}").scores

    rows = artifacts.task(task) / "test.jsonl"
    before = scores()
    assert before.compares_with(scores())
    assert before.compares_with(replace(before, inputs="")), "what older versions have registered"
    asked = [{**row, column: "another"} for row in read_jsonl(rows)]
    write_jsonl(rows, asked)
    assert scores().data == before.data and not scores().compares_with(before)


def test_the_encoder_stands_for_what_it_gains_over_unigrams_of_the_same_tokens(
    artifacts: Artifacts, params: Params
) -> None:
    *_, encoder = contenders(params, artifacts, {})
    assert encoder.scores.primary == 2.0  # of 6 nats 4 are left
    write_json(artifacts.metrics("encode"), {"unigram_entropy": 6.0, "vocab_used": 0.8})
    *_, other = contenders(params, artifacts, {})
    assert other.scores.primary == 2.0 and other.scores.data != encoder.scores.data


@pytest.mark.parametrize(
    ("changed", "compares"),
    [
        ({"mask_rate": 0.05}, False),  # fewer gaps, and so more context each: a lower loss of the same weights
        ({"whole_word": True}, False),
        ({"short_rate": 0.5}, False),
        ({"sequence_length": 128}, False),
        ({"objective": "mlm"}, False),
        ({"batch_size": 32}, False),  # with evaluation_batches, how much text
        ({"evaluation_batches": 4}, False),
        ({"learning_rate": 0.01, "model": "mini", "budget": 9, "seed": 1}, True),
    ],
)
def test_encoders_compare_where_their_validation_asked_the_same(
    changed: dict[str, Any], compares: bool, artifacts: Artifacts, params: Params
) -> None:
    other = replace(params, pretrain=replace(params.pretrain, **changed))
    one, two = ([*contenders(each, artifacts, {})][-1].scores.data for each in (params, other))
    assert (one == two) is compares


def test_an_encoder_that_was_asked_for_no_next_sentence_has_no_score_of_it(
    artifacts: Artifacts, params: Params
) -> None:
    figures = read_json(artifacts.metrics("pretrain"))
    figures["validation"] |= {"nsp_loss": None, "nsp_accuracy": None}
    write_json(artifacts.metrics("pretrain"), figures)
    *_, encoder = contenders(params, artifacts, {})
    assert encoder.scores.values == {"gain_over_unigram": 2.0, "mlm_accuracy": 0.3}


def test_a_model_tells_under_which_hash_dvc_keeps_it(artifacts: Artifacts, params: Params) -> None:
    outs = "    - path: data/models/finetuned/topic\n      md5: 0123.dir\n"
    (artifacts.root / "dvc.lock").write_text(f"stages:\n  finetune@topic:\n    outs:\n{outs}")
    topic, *others = contenders(params, artifacts, {})
    assert topic.tags["dvc.out.md5"] == "0123.dir"
    assert not any("dvc.out.md5" in other.tags for other in others)
