"""The round trip with transformers, both ways and for every head; and what is said of files that do not fit."""

import dataclasses
import json
import logging
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from bertline.base.errors import BertlineError
from bertline.model.bert import (
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    initialize,
)
from bertline.model.hf import load_encoder, load_model, load_pretraining, read_config, save_model

HEADS = {
    "pre-training": (BertForPreTraining, (), transformers.AutoModelForPreTraining),
    "classification": (BertForSequenceClassification, (3,), transformers.AutoModelForSequenceClassification),
    "regression": (BertForSequenceClassification, (1,), transformers.AutoModelForSequenceClassification),
    "tagging": (BertForTokenClassification, (5,), transformers.AutoModelForTokenClassification),
    "span": (BertForQuestionAnswering, (), transformers.AutoModelForQuestionAnswering),
}
PROBLEMS = {"regression": "regression", "classification": "single_label_classification"}
EVERYWHERE = torch.arange(20).expand(3, 20)


@pytest.fixture(params=HEADS)
def head(request):
    return request.param


@pytest.fixture
def build(config, scramble):
    def make(head, **changes):
        kind, outputs, _ = HEADS[head]
        return scramble(kind(dataclasses.replace(config, **changes), *outputs))

    return make


@pytest.fixture
def their_config(config):
    return transformers.BertConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.max_positions,
    )


@pytest.fixture
def warnings_of_transformers():
    """What transformers' loggers say, from warnings up."""
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def our_outputs(model, batch):
    with torch.no_grad():
        made = model(*batch, EVERYWHERE) if isinstance(model, BertForPreTraining) else model(*batch)
    return made if isinstance(made, tuple) else (made,)


def their_outputs(model, batch):
    ids, segments, mask = batch
    with torch.no_grad():
        return model.eval()(input_ids=ids, token_type_ids=segments, attention_mask=mask.long()).to_tuple()


def assert_same_outputs(ours, theirs, batch):
    mask = batch[2]
    for mine, other in zip(our_outputs(ours, batch), their_outputs(theirs, batch), strict=True):
        assert mine.shape == other.shape
        # Padding has outputs too, which mean nothing.
        real = mask if mine.shape[:2] == mask.shape else slice(None)
        torch.testing.assert_close(mine[real], other[real], rtol=0, atol=1e-5)
        assert mine.std() > 1e-2, "outputs that are all alike would prove nothing"


def write_json_over(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_transformers_loads_what_we_write_without_a_word(
    head, positions, build, batch, tmp_path, warnings_of_transformers
):
    ours = build(head, positions=positions)
    save_model(ours, tmp_path, problem_type=PROBLEMS.get(head, ""))
    theirs, info = HEADS[head][2].from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    assert warnings_of_transformers == []
    assert type(theirs).__name__ == type(ours).__name__
    assert theirs.dtype is torch.float32
    assert theirs.config.problem_type == PROBLEMS.get(head)
    assert_same_outputs(ours, theirs, batch)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_we_load_what_we_wrote_and_write_the_same_bytes(head, positions, build, batch, tmp_path):
    ours = build(head, positions=positions)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    save_model(ours, tmp_path / "first")
    again = load_model(type(ours), tmp_path / "first").eval()
    save_model(again, tmp_path / "second")
    assert again.config == ours.config
    state = again.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in ours.state_dict().items())
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    assert [n for n, p in again.named_parameters()] == [n for n, p in ours.named_parameters()]
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_we_load_what_transformers_writes(head, their_config, scramble, batch, tmp_path):
    kind, outputs, auto = HEADS[head]
    their_config.num_labels = outputs[0] if outputs else 2
    theirs = scramble(getattr(transformers, kind.hugging_face_class)(their_config))
    theirs.save_pretrained(tmp_path)
    ours = load_model(kind, tmp_path).eval()
    assert_same_outputs(ours, theirs, batch)
    back = tmp_path / "back"
    back.mkdir()
    save_model(ours, back)
    assert_same_outputs(ours, auto.from_pretrained(back), batch)


def test_a_model_trained_on_in_transformers_keeps_its_sinusoidal_positions(build, batch, tmp_path, scramble):
    save_model(build("tagging", positions="sinusoidal"), tmp_path)
    theirs = scramble(transformers.AutoModelForTokenClassification.from_pretrained(tmp_path), seed=8)
    theirs.save_pretrained(tmp_path / "trained")
    ours = load_model(BertForTokenClassification, tmp_path / "trained").eval()
    assert ours.config.positions == "sinusoidal"
    assert "bert.position_embeddings" not in dict(ours.named_parameters())
    assert_same_outputs(ours, theirs, batch)


@pytest.mark.parametrize(
    "written", ["BertForMaskedLM", "BertModel", "BertForPreTraining", "BertForTokenClassification"]
)
def test_the_encoder_of_any_bert_can_be_loaded(written, their_config, config, scramble, batch, tmp_path):
    theirs = scramble(getattr(transformers, written)(their_config))
    theirs.save_pretrained(tmp_path)
    ours = BertForSequenceClassification(config, 3).eval()
    initialize(ours, 4)
    head, pooler = ours.classifier.weight.clone(), ours.bert.pooler.weight.clone()
    load_encoder(ours, tmp_path)
    encoder = getattr(theirs, "bert", theirs)
    ids, segments, mask = batch
    with torch.no_grad():
        hidden = ours.bert(*batch)
        expected = encoder(input_ids=ids, token_type_ids=segments, attention_mask=mask.long())
        torch.testing.assert_close(hidden[mask], expected.last_hidden_state[mask], rtol=0, atol=1e-5)
        if expected.pooler_output is None:
            assert torch.equal(ours.bert.pooler.weight, pooler)
        else:
            torch.testing.assert_close(ours.bert.pool(hidden), expected.pooler_output, rtol=0, atol=1e-5)
    assert torch.equal(ours.classifier.weight, head)


def test_a_pre_training_head_in_part_is_refused_and_one_that_is_absent_is_left(build, their_config, scramble, tmp_path):
    scramble(transformers.BertForMaskedLM(their_config)).save_pretrained(tmp_path)
    model = build("pre-training")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    break_weights(lambda weights: weights.pop("cls.predictions.transform.dense.bias"))(tmp_path)
    with pytest.raises(BertlineError, match=r"weight cls\.predictions\.transform\.dense\.bias is missing"):
        load_pretraining(model, tmp_path)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    break_weights(lambda weights: [weights.pop(name) for name in [*weights] if name.startswith("cls.")])(tmp_path)
    load_pretraining(model, tmp_path)
    kept = {name for name, weight in model.state_dict().items() if torch.equal(weight, before[name])}
    assert kept == {name for name in before if name.startswith(("mlm_", "nsp.", "bert.pooler."))}


def test_an_untied_decoder_is_refused_for_pre_training(their_config, build, tmp_path):
    transformers.BertForMaskedLM(their_config).save_pretrained(tmp_path)
    break_weights(lambda w: w.update({"cls.predictions.decoder.weight": w[WORDS] + 1}))(tmp_path)
    with pytest.raises(BertlineError, match="decoder has weights of its own"):
        load_pretraining(build("pre-training"), tmp_path)


def test_labels_and_problem_reach_transformers(build, tmp_path):
    save_model(
        build("classification"), tmp_path, labels=["no", "yes", "wörld"], problem_type=PROBLEMS["classification"]
    )
    found = transformers.AutoConfig.from_pretrained(tmp_path)
    assert found.id2label == {0: "no", 1: "yes", 2: "wörld"}
    assert found.label2id == {"no": 0, "yes": 1, "wörld": 2}
    assert found.num_labels == 3
    assert found.pad_token_id == 0
    assert found.architectures == ["BertForSequenceClassification"]


def test_as_many_labels_as_outputs_or_none(build, tmp_path):
    with pytest.raises(ValueError, match="2 labels for 3 outputs"):
        save_model(build("classification"), tmp_path, labels=["no", "yes"])


def test_dropout_is_recorded_and_left_out_on_loading(build, tmp_path):
    save_model(build("tagging", dropout=0.25), tmp_path)
    assert read_config(tmp_path).dropout == 0.25
    assert load_model(BertForTokenClassification, tmp_path).config.dropout == 0.0


def test_no_weight_is_written_twice(build, tmp_path):
    save_model(build("pre-training"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert not any("decoder" in name for name in weights)
    assert sum(weight.numel() for weight in weights.values()) == sum(
        parameter.numel() for parameter in build("pre-training").parameters()
    )


def test_shards_with_an_index_are_read(their_config, scramble, batch, tmp_path):
    theirs = scramble(transformers.BertForPreTraining(their_config))
    theirs.save_pretrained(tmp_path, max_shard_size="100KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert_same_outputs(load_model(BertForPreTraining, tmp_path).eval(), theirs, batch)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_fp32(dtype, their_config, scramble, batch, tmp_path):
    theirs = scramble(transformers.BertForPreTraining(their_config)).to(dtype)
    theirs.save_pretrained(tmp_path)
    ours = load_model(BertForPreTraining, tmp_path).eval()
    assert {weight.dtype for weight in ours.state_dict().values()} == {torch.float32}
    assert_same_outputs(ours, theirs.float(), batch)


def test_old_checkpoints_are_read(build, batch, tmp_path):
    """Hub files such as bert-base-uncased: gamma and beta, a stored decoder, position numbers."""
    ours = build("pre-training")
    save_model(ours, tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): weight
        for name, weight in weights.items()
    }
    old["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone()
    old["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"].clone()
    old["bert.embeddings.position_ids"] = torch.arange(48)[None]
    save_file(old, file)
    again = load_model(BertForPreTraining, tmp_path).eval()
    for mine, other in zip(our_outputs(again, batch), our_outputs(ours, batch), strict=True):
        assert torch.equal(mine, other)


def test_loaded_weights_do_not_hang_on_the_file(build, tmp_path):
    ours = build("tagging")
    save_model(ours, tmp_path)
    again = load_model(BertForTokenClassification, tmp_path)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.write(b"\0" * (tmp_path / "model.safetensors").stat().st_size)
    assert torch.equal(again.classifier.weight, ours.classifier.weight)


def break_weights(change):
    def apply(directory):
        weights = load_file(directory / "model.safetensors")
        change(weights)
        save_file(weights, directory / "model.safetensors")

    return apply


def break_config(**changes):
    return lambda directory: write_json_over(directory / "config.json", **changes)


def only_pickle(directory):
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


def index_outside(directory):
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../model.safetensors"}}')


def index_above(directory):
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").write_text('{"weight_map": {"a": ".."}}')


def index_without_shard(directory):
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')


def truncate(directory):
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


QKV = "bert.encoder.layer.1.attention.self.key.weight"
WORDS = "bert.embeddings.word_embeddings.weight"
FAULTS = {
    "no directory": (shutil.rmtree, "no such model directory"),
    "no config": (lambda directory: (directory / "config.json").unlink(), r"config\.json: file not found"),
    "config not JSON": (lambda directory: (directory / "config.json").write_text("{"), "not valid JSON"),
    "config no object": (lambda directory: (directory / "config.json").write_text("[]"), "not a BERT model"),
    "another model": (break_config(model_type="roberta"), r"not a BERT model \(model_type: roberta\)"),
    "activation": (break_config(hidden_act="gelu_new"), "hidden_act is 'gelu_new', and only 'gelu'"),
    "relative positions": (break_config(position_embedding_type="relative_key"), "position_embedding_type"),
    "decoder": (break_config(is_decoder=True), "is_decoder is True"),
    "epsilon": (break_config(layer_norm_eps=1e-5), "layer_norm_eps is 1e-05"),
    "heads": (break_config(num_attention_heads=7), "must be a multiple of heads"),
    "text for a number": (break_config(hidden_size="64"), "hidden_size must be a whole number, not '64'"),
    "half a layer": (break_config(num_hidden_layers=1.5), "num_hidden_layers must be a whole number"),
    "dropout": (break_config(hidden_dropout_prob=None), "hidden_dropout_prob must be a number, not None"),
    "positions": (break_config(bertline_positions="rotary"), "positions must be one of"),
    "another head": (
        break_config(architectures=["BertForQuestionAnswering"]),
        "holds a BertForQuestionAnswering, not a",
    ),
    "shape": (
        break_config(vocab_size=501),
        r"weight .* has shape \(500.*\), and .* asks for \(501",
    ),
    "key shape": (break_weights(lambda w: w.update({QKV: w[QKV][:, :32].clone()})), r"self\.key\.weight has shape"),
    "missing": (break_weights(lambda weights: weights.pop(QKV)), rf"weight {QKV} is missing"),
    "unexpected": (break_weights(lambda w: w.update({"qa.weight": w[QKV].clone()})), "weight qa.weight has no place"),
    "quantised": (break_weights(lambda w: w.update({QKV: w[QKV].to(torch.int8)})), "only floating point"),
    "scaled": (
        break_weights(lambda w: w.update({QKV: (w[QKV] * 99).to(torch.float8_e4m3fn)})),
        r"of torch\.float8_e4m3fn, and only floating point of 16 bits and more",
    ),
    "untied": (
        break_weights(lambda w: w.update({"cls.predictions.decoder.weight": w[WORDS] + 1})),
        "decoder has weights of its own",
    ),
    "pickle": (only_pickle, r"pytorch_model\.bin, a pickle, which is not read.*Save the model anew"),
    "no weights": (lambda directory: (directory / "model.safetensors").unlink(), r"no model\.safetensors"),
    "truncated": (truncate, "not a readable safetensors file"),
    "index outside": (index_outside, "weight_map must name a file beside it"),
    "index above": (index_above, "weight_map must name a file beside it"),
    "true for a number": (break_config(vocab_size=True), "vocab_size must be a whole number, not True"),
    "wide": (break_config(hidden_size=10**9, num_attention_heads=10**9), "hidden_size must be at most 10,000,000"),
    "deep": (break_config(num_hidden_layers=10**7), "num_hidden_layers must be at most 1,000"),
    "labels": (break_config(id2label={"x": "a"}), "id2label gives no label to each number"),
    "labels in a list": (break_config(id2label=["a"]), "id2label gives no label to each number"),
    "classes": (break_config(architectures=5), "architectures is 5, not a list"),
    "index without shard": (index_without_shard, r"model-1\.safetensors: not a readable"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_directory_that_does_not_fit_is_refused_in_one_line(fault, build, tmp_path):
    directory = tmp_path / "model"
    directory.mkdir()
    save_model(build("pre-training"), directory)
    spoil, complaint = FAULTS[fault]
    spoil(directory)
    with pytest.raises(BertlineError, match=complaint) as caught:
        load_model(BertForPreTraining, directory)
    assert "\n" not in str(caught.value)
    assert str(directory) in caught.value.where


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"vocab_size": 501}, "vocab_size is 500, the model has 501"),
        ({"layers": 1}, "layers is 2, the model has 1"),
        ({"heads": 2}, "heads is 4, the model has 2"),
        ({"positions": "sinusoidal"}, "positions is learned, the model has sinusoidal"),
    ],
)
def test_an_encoder_of_another_shape_is_refused(change, complaint, build, tmp_path):
    save_model(build("pre-training"), tmp_path)
    model = build("tagging", **change)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(BertlineError, match=complaint):
        load_encoder(model, tmp_path)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_an_encoder_with_another_dropout_is_welcome(build, tmp_path):
    save_model(build("pre-training", dropout=0.0), tmp_path)
    model = build("tagging", dropout=0.1)
    load_encoder(model, tmp_path)
    assert model.config.dropout == 0.1


def test_an_encoder_with_a_missing_weight_is_refused_untouched(build, tmp_path):
    save_model(build("pre-training"), tmp_path)
    break_weights(lambda weights: weights.pop(QKV))(tmp_path)
    model = build("tagging")
    before = model.bert.token_embeddings.weight.clone()
    with pytest.raises(BertlineError, match=f"weight {QKV} is missing"):
        load_encoder(model, tmp_path)
    assert torch.equal(model.bert.token_embeddings.weight, before)
