"""Where pre-training starts from: random weights, or the model of a Hugging Face directory with its own vocabulary."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from bertline.base.config import Pretrain, SecondPhase
from bertline.base.errors import BertlineError
from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.model.hf import save_model as save_ours
from bertline.pretraining.initial import initial_hash, initial_model
from their_bert import as_bert_base, save_model, save_tokenizer

VOCABULARY = as_bert_base([*(f"w{number}" for number in range(40)), "##s"])
CONFIG = Pretrain(init_from="data/initial/bert", sequence_length=64, seed=3)
MASK = VOCABULARY.index("[MASK]")


def save(root: Path, kind: str = "BertForPreTraining", **shape: int) -> transformers.PreTrainedModel:
    """A directory at the place that CONFIG names."""
    directory = root / CONFIG.init_from
    save_tokenizer(directory, VOCABULARY)
    return save_model(kind, directory, len(VOCABULARY), **shape)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.randint(999, len(VOCABULARY), (3, 20), generator=torch.Generator().manual_seed(1))
    ids[:, 4] = MASK
    mask = torch.arange(20) < torch.tensor([[20], [13], [7]])
    return ids * mask, (torch.arange(20) >= 9).long() * mask, mask


def fresh(config: Pretrain) -> BertForPreTraining:
    """A model of the directory's shape, as `initialize` leaves it."""
    shape = BertConfig(len(VOCABULARY), 32, 2, 4, 64, max_positions=64, dropout=config.dropout)
    model = BertForPreTraining(shape)
    initialize(model, config.seed)
    return model


@pytest.mark.parametrize(
    ("kind", "mlm", "nsp", "pooler"),
    [
        ("BertForPreTraining", True, True, True),
        ("BertForMaskedLM", True, False, False),
        ("BertForNextSentencePrediction", False, True, True),
        ("BertModel", False, False, True),
        ("BertForTokenClassification", False, False, False),
    ],
)
def test_what_a_model_has_is_taken_and_the_rest_is_fresh(
    kind: str,
    mlm: bool,
    nsp: bool,
    pooler: bool,
    tmp_path: Path,
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    theirs = save(tmp_path, kind)
    ours = initial_model(CONFIG, VOCABULARY, tmp_path).eval()
    ids, segments, mask = batch
    everywhere = torch.arange(20).expand(3, 20)
    inputs = {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask.long()}
    with torch.no_grad():
        mlm_logits, nsp_logits = ours(*batch, everywhere)
        encoded = getattr(theirs, "bert", theirs)(**inputs)
        outputs = theirs(**inputs)
        torch.testing.assert_close(ours.bert(*batch)[mask], encoded.last_hidden_state[mask], rtol=0, atol=1e-5)
    if mlm:
        expected = outputs["prediction_logits" if nsp else "logits"]
        torch.testing.assert_close(mlm_logits[mask], expected[mask], rtol=0, atol=1e-5)
    if nsp:
        expected = outputs["seq_relationship_logits" if mlm else "logits"]
        torch.testing.assert_close(nsp_logits, expected, rtol=0, atol=1e-5)
    untouched = fresh(CONFIG).state_dict()
    for part, taken in (("mlm_", mlm), ("nsp.", nsp), ("bert.pooler.", pooler)):
        for name, weight in ours.state_dict().items():
            if name.startswith(part):
                assert torch.equal(weight, untouched[name]) != taken, name


def test_without_a_directory_the_model_is_random_and_of_the_named_size() -> None:
    config = Pretrain(model="tiny", positions="sinusoidal", dropout=0.1, seed=3)
    made = initial_model(config, VOCABULARY, Path("nowhere"))
    expected = BertForPreTraining(
        BertConfig.named("tiny", vocab_size=len(VOCABULARY), dropout=0.1, positions="sinusoidal")
    )
    initialize(expected, 3)
    assert made.config == expected.config
    assert all(torch.equal(weight, expected.state_dict()[name]) for name, weight in made.state_dict().items())
    assert initial_hash(config, Path("nowhere")) == ""


def test_shape_and_positions_are_the_directorys_and_dropout_and_seed_the_configs(tmp_path: Path) -> None:
    save(tmp_path, "BertModel")
    config = replace(CONFIG, model="base", positions="sinusoidal", dropout=0.2)
    model = initial_model(config, VOCABULARY, tmp_path)
    assert model.config == BertConfig(len(VOCABULARY), 32, 2, 4, 64, max_positions=64, dropout=0.2)
    ids = torch.full((1, 8), 1000)
    first, second = (model.train().bert(ids, torch.zeros_like(ids), None) for _ in range(2))
    assert not torch.equal(first, second), "dropout is at work"
    other = initial_model(replace(config, seed=4), VOCABULARY, tmp_path)
    assert torch.equal(model.bert.pooler.weight, other.bert.pooler.weight)
    assert not torch.equal(model.nsp.weight, other.nsp.weight)


def test_what_we_trained_ourselves_can_be_gone_on_from(tmp_path: Path) -> None:
    directory = tmp_path / CONFIG.init_from
    save_tokenizer(directory, VOCABULARY)
    ours = fresh(replace(CONFIG, seed=8))
    save_ours(ours, directory)
    again = initial_model(CONFIG, VOCABULARY, tmp_path)
    assert all(torch.equal(weight, ours.state_dict()[name]) for name, weight in again.state_dict().items())


def change_config(**changes: object) -> Callable[[Path], object]:
    def apply(directory: Path) -> None:
        path = directory / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return apply


def remove(*names: str) -> Callable[[Path], object]:
    return lambda directory: [(directory / name).unlink() for name in names]


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no tokenizer": (remove("vocab.txt", "tokenizer.json"), r"no tokenizer.*Copy vocab\.txt"),
    "no weights": (remove("model.safetensors"), r"no model\.safetensors"),
    "another model": (change_config(model_type="roberta"), "not a BERT model"),
    "a model in part": (
        lambda path: (
            (save_model("BertModel", path, len(VOCABULARY)), change_config(architectures=None)(path))
            and change_config(architectures=["BertForPreTraining"])(path)
        ),
        r"weight cls\.predictions\.\S+ is missing",
    ),
    "more embeddings than entries": (
        lambda path: save_model("BertForPreTraining", path, len(VOCABULARY) + 8),
        "1,048 token embeddings for 1,040 entries",
    ),
    "too few positions": (
        lambda path: save_model("BertForPreTraining", path, len(VOCABULARY), max_position_embeddings=32),
        r"it has 32 positions, and pretrain\.sequence_length is 64.*to 32",
    ),
    "one segment": (
        lambda path: save_model("BertForPreTraining", path, len(VOCABULARY), type_vocab_size=1),
        r"one segment embedding.*Set pretrain\.objective to mlm",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_directory_that_cannot_be_gone_on_from_is_refused(fault: str, tmp_path: Path) -> None:
    save(tmp_path)
    initial_model(CONFIG, VOCABULARY, tmp_path)
    spoil, complaint = FAULTS[fault]
    spoil(tmp_path / CONFIG.init_from)
    with pytest.raises(BertlineError, match=complaint) as caught:
        initial_model(CONFIG, VOCABULARY, tmp_path)
    assert str(tmp_path / CONFIG.init_from) in caught.value.where


def test_no_such_directory_is_said(tmp_path: Path) -> None:
    for call in (lambda: initial_model(CONFIG, VOCABULARY, tmp_path), lambda: initial_hash(CONFIG, tmp_path)):
        with pytest.raises(BertlineError, match="no such model directory"):
            call()


def test_a_second_phase_beyond_the_models_positions_is_refused_only_if_there_is_one(tmp_path: Path) -> None:
    save(tmp_path)
    longer = SecondPhase(share=0.0, sequence_length=128)
    initial_model(replace(CONFIG, second_phase=longer), VOCABULARY, tmp_path)
    with pytest.raises(BertlineError, match=r"64 positions, and pretrain\.second_phase\.sequence_length is 128"):
        initial_model(replace(CONFIG, second_phase=replace(longer, share=0.1)), VOCABULARY, tmp_path)


def test_one_segment_is_enough_without_pairs(tmp_path: Path) -> None:
    save(tmp_path, type_vocab_size=1)
    assert initial_model(replace(CONFIG, objective="mlm"), VOCABULARY, tmp_path).config.segments == 1


@pytest.mark.parametrize(
    ("vocabulary", "complaint"),
    [
        ([*VOCABULARY[:1005], "other", *VOCABULARY[1006:]], "its entry 1005 is 'w6', that of the .* in use is 'other'"),
        (VOCABULARY[:-1], "its entry 1039 is '##s', that of the vocabulary in use is none"),
        ([*VOCABULARY, "more"], "its entry 1040 is none, that of the vocabulary in use is 'more'"),
    ],
)
def test_another_vocabulary_is_refused_by_the_first_entry_that_differs(
    vocabulary: list[str], complaint: str, tmp_path: Path
) -> None:
    save(tmp_path)
    with pytest.raises(BertlineError, match=rf"{complaint}\. Set vocab\.reuse to data/initial/bert"):
        initial_model(CONFIG, vocabulary, tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"])
def test_the_hash_is_of_the_content_wherever_it_lies(name: str, tmp_path: Path) -> None:
    save(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    first = initial_hash(CONFIG, tmp_path / "one")
    assert first == initial_hash(CONFIG, tmp_path / "two") and len(first) == 64
    (tmp_path / "two" / CONFIG.init_from / "notes.md").write_text("no part of the model")
    assert initial_hash(CONFIG, tmp_path / "two") == first
    with (tmp_path / "two" / CONFIG.init_from / name).open("r+b") as file:
        content = file.read()
        file.seek(0)
        file.write(content.rstrip() + b" " if name != "model.safetensors" else content[:-1] + b"\x01")
    assert initial_hash(CONFIG, tmp_path / "two") != first


def test_the_hash_covers_every_shard(tmp_path: Path) -> None:
    theirs = save(tmp_path)
    directory = tmp_path / CONFIG.init_from
    (directory / "model.safetensors").unlink()
    theirs.save_pretrained(directory, max_shard_size="100KB")
    shards = sorted(directory.glob("model-*.safetensors"))
    assert len(shards) > 1
    initial_model(CONFIG, VOCABULARY, tmp_path)
    seen = {initial_hash(CONFIG, tmp_path)}
    for file in (*shards, directory / "model.safetensors.index.json"):
        file.write_bytes(file.read_bytes() + b" ")
        seen.add(initial_hash(CONFIG, tmp_path))
    assert len(seen) == len(shards) + 2
