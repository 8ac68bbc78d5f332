"""The encoder and its heads as anyone who calls them sees them."""

import dataclasses
from functools import partial

import pytest
import torch
from transformers.models.bert import BertConfig as TheirConfig
from transformers.models.bert import BertForPreTraining as TheirModel

from bertline.base.shapes import SIZES
from bertline.model.bert import (
    BertConfig,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    initialize,
    sinusoidal_table,
)


@pytest.fixture
def model(config, scramble):
    return scramble(BertForPreTraining(config))


def test_outputs_have_the_shapes_of_their_task(config, batch):
    positions = torch.zeros(3, 4, dtype=torch.long)
    mlm_logits, nsp_logits = BertForPreTraining(config)(*batch, positions)
    assert mlm_logits.shape == (3, 4, 500)
    assert nsp_logits.shape == (3, 2)
    assert BertForSequenceClassification(config, 1)(*batch).shape == (3, 1)
    assert BertForTokenClassification(config, 7)(*batch).shape == (3, 20, 7)
    start, end = BertForQuestionAnswering(config)(*batch)
    assert start.shape == end.shape == (3, 20)


def test_no_mask_means_that_every_token_is_real(model, batch):
    ids, segments, _ = batch
    everything = torch.ones_like(ids, dtype=torch.bool)
    torch.testing.assert_close(model.bert(ids, segments, None), model.bert(ids, segments, everything))


@pytest.mark.parametrize("precision", ["fp32", "bf16 training"])
def test_what_stands_in_padding_changes_no_real_token(model, batch, precision):
    ids, segments, mask = batch
    junk = torch.where(mask, ids, 499)
    with torch.set_grad_enabled(precision != "fp32"), torch.autocast("cpu", enabled=precision != "fp32"):
        hidden, other = model.bert(ids, segments, mask), model.bert(junk, segments, mask)
        shorter = model.bert(ids[1:2, :13], segments[1:2, :13], None)
    assert not torch.equal(hidden, other), "the junk was meant to differ"
    tolerance = 1e-5 if precision == "fp32" else 3e-2
    torch.testing.assert_close(hidden[mask], other[mask], rtol=0, atol=tolerance)
    torch.testing.assert_close(hidden[1:2, :13], shorter, rtol=0, atol=tolerance)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("places", ["first", "some"])
def test_some_tokens_alone_are_as_among_all_and_so_are_their_gradients(model, batch, masked, places):
    ids, segments, mask = batch
    mask = mask if masked else None
    chosen = torch.tensor([[0, 3, 1, 1], [0, 12, 0, 5], [0, 0, 0, 0]])[:, : 1 if places == "first" else None]
    alone = model.bert.first if places == "first" else partial(model.bert, places=chosen)
    expected = model.bert(ids, segments, mask).take_along_dim(chosen[:, :, None], dim=1)
    gradients = []
    for hidden in (expected, alone(ids, segments, mask)):
        torch.testing.assert_close(hidden, expected)
        (hidden * torch.arange(hidden.shape[-1])).sum().backward()
        gradients.append(
            {name: weight.grad for name, weight in model.bert.named_parameters() if weight.grad is not None}
        )
        model.zero_grad(set_to_none=True)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-2, msg=name)


@pytest.mark.parametrize("masked", [False, True])
def test_bf16_training_computes_what_fp32_computes(config, model, batch, masked):
    ids, segments, mask = batch
    mask = mask if masked else None
    exact = model.bert(ids, segments, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained = model.bert(ids, segments, mask)
        with torch.no_grad():
            predicted = model.bert(ids, segments, mask)
    for made in (trained, predicted):
        assert (made - exact).abs().mean() < 0.01 * exact.abs().mean()
    for hidden in (exact, trained):
        hidden.square().mean().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.bert.layers.parameters())


def test_attention_tells_heads_and_positions_apart(model, batch):
    ids, segments, _ = batch
    swapped = ids.clone()
    swapped[:, [3, 4]] = ids[:, [4, 3]]
    hidden, other = model.bert(ids, segments, None), model.bert(swapped, segments, None)
    assert (hidden[:, 0] - other[:, 0]).abs().max() > 1e-4, "order must matter"


def test_the_mlm_head_predicts_at_the_given_positions_alone(model, batch):
    everywhere = torch.arange(20).expand(3, 20)
    positions = torch.tensor([[3, 1, 1], [12, 0, 5], [0, 0, 0]])
    full, _ = model(*batch, everywhere)
    some, _ = model(*batch, positions)
    expected = torch.stack([full[row, positions[row]] for row in range(3)])
    torch.testing.assert_close(some, expected, rtol=0, atol=1e-5)


def test_the_mlm_decoder_is_the_token_embeddings(model, batch):
    ids, segments, mask = batch
    batch = (ids.clamp(max=490), segments, mask)  # so that the changed embedding is no input
    positions = torch.tensor([[2]]).expand(3, 1)
    before, _ = model(*batch, positions)
    with torch.no_grad():
        model.bert.token_embeddings.weight[499] += 1.0
        model.mlm_bias[498] += 2.0
    after, _ = model(*batch, positions)
    changed = (after - before).abs().amax((0, 1)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [498, 499]
    assert not any("decoder" in name for name in model.state_dict())


def test_dropout_is_for_training_alone(config, batch):
    model = BertForTokenClassification(dataclasses.replace(config, dropout=0.5), 3)
    assert not torch.equal(model(*batch), model(*batch))
    model.eval()
    assert torch.equal(model(*batch), model(*batch))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(*batch), model(*batch))
        attention = model.bert.layers[0].attention.train()
        hidden = torch.randn(2, 5, 64)
        assert not torch.equal(attention(hidden, None), attention(hidden, None))


def test_sinusoidal_positions_are_fixed_and_as_published(config, batch):
    model = BertModel(dataclasses.replace(config, positions="sinusoidal"))
    assert "position_embeddings" not in dict(model.named_parameters())
    table = model.position_embeddings
    unit = table / table[0, 1]  # cos 0 = 1
    torch.testing.assert_close(unit[7, 0], torch.tensor(7.0).sin())
    torch.testing.assert_close(unit[7, 5], torch.tensor(7.0 / 10_000 ** (4 / 64)).cos())
    assert table.square().mean().sqrt().item() == pytest.approx(0.02, rel=1e-3)
    model(*batch).sum().backward()
    assert not table.requires_grad


@pytest.mark.parametrize("name", SIZES)
def test_sizes_by_name_have_the_published_numbers_of_parameters(name):
    layers, hidden = SIZES[name]
    shape = {"hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": 4 * hidden}
    with torch.device("meta"):
        ours = BertForPreTraining(BertConfig.named(name, vocab_size=30522))
        theirs = TheirModel(TheirConfig(vocab_size=30522, num_attention_heads=hidden // 64, **shape))
    assert sum(parameter.numel() for parameter in ours.parameters()) == theirs.num_parameters()


def test_base_has_the_110_million_of_the_paper():
    with torch.device("meta"):
        model = BertModel(BertConfig.named("base", vocab_size=30522))
    assert sum(parameter.numel() for parameter in model.parameters()) == 109_482_240


def test_initial_weights_are_a_function_of_the_seed_alone(config):
    models = [BertForPreTraining(config) for _ in range(3)]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    for model, seed in zip(models, (1, 1, 2), strict=True):
        initialize(model, seed)
    assert torch.equal(torch.get_rng_state(), state)
    first, second, third = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name, parameter in models[0].named_parameters():
        if parameter.ndim > 1:
            assert not torch.equal(first[name], third[name])
            assert parameter.std().item() == pytest.approx(0.02, rel=0.2)
        else:
            assert parameter.unique().tolist() == [1.0 if name.endswith("norm.weight") else 0.0]


def test_models_with_other_heads_start_with_the_same_encoder(config):
    first, second = BertForPreTraining(config), BertForTokenClassification(config, 5)
    initialize(first, 9)
    initialize(second, 9)
    encoder = first.bert.state_dict()
    assert all(torch.equal(encoder[name], weight) for name, weight in second.bert.state_dict().items())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"heads": 3}, "multiple of heads"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"dropout": 1.0}, "dropout"),
        ({"positions": "rotary"}, "positions must be one of"),
        ({"positions": "sinusoidal", "hidden_size": 65, "heads": 5}, "even hidden_size"),
    ],
)
def test_shapes_that_cannot_be_are_refused(config, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(config, **change)


def test_an_encoder_without_a_pooler_says_so(config, batch):
    model = BertForTokenClassification(config, 2)
    with pytest.raises(RuntimeError, match="no pooler"):
        model.bert.pool(model.bert(*batch))


def test_every_position_has_an_embedding_of_its_own():
    assert sinusoidal_table(512, 64).unique(dim=0).shape[0] == 512
