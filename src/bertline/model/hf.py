"""Exact round trip with Hugging Face transformers: the same weights, the same outputs, its files on disk.

    save_model(model, directory, labels=["negative", "positive"], problem_type="single_label_classification")
    AutoModelForSequenceClassification.from_pretrained(directory)     # stock transformers, no warning
    load_model(BertForSequenceClassification, directory)              # ours, whoever wrote it
    load_encoder(model, directory)                                    # the encoder of any BERT, under another head
    load_pretraining(model, directory)                                # and as much of the pre-training heads as it has

A directory holds config.json and model.safetensors, or safetensors shards with an index. transformers itself is not
needed to read or write it, and pickled weights are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor

from bertline.base.errors import BertlineError
from bertline.base.files import read_json, write_json
from bertline.model.bert import (
    INITIAL_DEVIATION,
    LAYER_NORM_EPSILON,
    BertConfig,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertWithHead,
)
from bertline.model.hf_files import CONFIG_FILE, WEIGHTS_FILE, read_weights
from bertline.model.hf_names import from_hugging_face, hugging_face_names, to_hugging_face

M = TypeVar("M", bound=BertWithHead)

POSITIONS_KEY = "bertline_positions"  # transformers keeps keys it does not know
_CHOOSE = "Choose the directory of a BERT model in Hugging Face format"
_POOLER = "bert.pooler."  # what the names of its weights start with; BertForMaskedLM has none
_PRETRAINING_HEADS = ("mlm_", "nsp.")

# Ours: theirs, and what transformers assumes when config.json does not say (transformers.BertConfig).
_SHAPE: dict[str, tuple[str, int]] = {
    "vocab_size": ("vocab_size", 30522),
    "hidden_size": ("hidden_size", 768),
    "layers": ("num_hidden_layers", 12),
    "heads": ("num_attention_heads", 12),
    "intermediate_size": ("intermediate_size", 3072),
    "max_positions": ("max_position_embeddings", 512),
    "segments": ("type_vocab_size", 2),
}
_LARGEST, _MOST_LAYERS = 10_000_000, 1000  # far beyond any BERT; what is larger still would take minutes to refuse
# The one kind of BERT that this is; anything else would load and compute something different.
_REQUIRED: dict[str, Any] = {
    "hidden_act": "gelu",
    "layer_norm_eps": LAYER_NORM_EPSILON,
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


def save_model(model: BertWithHead, directory: Path, *, labels: Sequence[str] = (), problem_type: str = "") -> None:
    """Write config.json and model.safetensors into an existing directory; the same weights give the same bytes.

    Args:
        model: any of our models; its weights are written in fp32.
        directory: where to; the caller makes it appear as a whole (`base.files.atomic_directory`).
        labels: the name of each output, in their order; none for pre-training, span and regression models.
        problem_type: "regression" or "single_label_classification" for a model with a loss of its own in transformers.

    Raises:
        ValueError: there are labels, but not one for each output.
    """
    write_json(directory / CONFIG_FILE, _hugging_face_config(model, labels, problem_type))
    save_file(to_hugging_face(model.state_dict()), directory / WEIGHTS_FILE, metadata={"format": "pt"})


def _hugging_face_config(model: BertWithHead, labels: Sequence[str], problem_type: str) -> dict[str, Any]:
    ours = asdict(model.config)
    made: dict[str, Any] = {theirs: ours[name] for name, (theirs, _) in _SHAPE.items()}
    made |= {key: value for key, value in _REQUIRED.items() if key != "position_embedding_type"}
    made |= {
        "architectures": [model.hugging_face_class],
        "model_type": "bert",
        "attention_probs_dropout_prob": model.config.dropout,
        "hidden_dropout_prob": model.config.dropout,
        "classifier_dropout": None,
        "initializer_range": INITIAL_DEVIATION,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
        "dtype": "float32",
        POSITIONS_KEY: model.config.positions,
    }
    if isinstance(model, BertForSequenceClassification | BertForTokenClassification):
        outputs = model.classifier.out_features
        names = list(labels) or [f"LABEL_{number}" for number in range(outputs)]
        if len(names) != outputs:
            raise ValueError(f"{len(names)} labels for {outputs} outputs")
        made["id2label"] = {str(number): name for number, name in enumerate(names)}
        made["label2id"] = {name: number for number, name in enumerate(names)}
    if problem_type:
        made["problem_type"] = problem_type
    return made


def read_config(directory: Path) -> BertConfig:
    """Read the shape of a BERT from its config.json; `dropout` is the one it was trained with, on hidden states.

    Raises:
        BertlineError: no config.json, not a BERT, or a variant of BERT that would compute something else.
    """
    return _bert_config(directory / CONFIG_FILE, _read_hugging_face_config(directory))


def _read_hugging_face_config(directory: Path) -> dict[str, Any]:
    file = directory / CONFIG_FILE
    if not directory.is_dir():
        raise BertlineError("no such model directory", where=str(directory), fix=_CHOOSE)
    found = read_json(file)
    if not isinstance(found, dict) or found.get("model_type") != "bert":
        kind = found.get("model_type") if isinstance(found, dict) else None
        raise BertlineError(f"not a BERT model (model_type: {kind})", where=str(file), fix=_CHOOSE)
    numbers, classes = found.get("id2label") or {}, found.get("architectures") or []
    if not isinstance(numbers, dict) or not all(number.isdecimal() for number in numbers):
        raise BertlineError("id2label gives no label to each number", where=str(file), fix=_CHOOSE)
    if not isinstance(classes, list):
        raise BertlineError(f"architectures is {classes!r:.60}, not a list", where=str(file), fix=_CHOOSE)
    return found


def _bert_config(file: Path, found: Mapping[str, Any]) -> BertConfig:
    for key, required in _REQUIRED.items():
        value = found.get(key, required)
        if value != required:
            what = f"{key} is {value!r}, and only {required!r} is supported"
            raise BertlineError(what, where=str(file), fix=_CHOOSE)
    shape = {ours: found.get(theirs, default) for ours, (theirs, default) in _SHAPE.items()}
    dropout = found.get("hidden_dropout_prob", 0.1)
    try:
        for ours, count in shape.items():
            if type(count) is not int:
                raise ValueError(f"{_SHAPE[ours][0]} must be a whole number, not {count!r}")
            most = _MOST_LAYERS if ours == "layers" else _LARGEST
            if count > most:
                raise ValueError(f"{_SHAPE[ours][0]} must be at most {most:,}, not {count}")
        if not isinstance(dropout, int | float):
            raise ValueError(f"hidden_dropout_prob must be a number, not {dropout!r}")
        return BertConfig(**shape, dropout=dropout, positions=found.get(POSITIONS_KEY, "learned"))
    except ValueError as error:
        raise BertlineError(f"not a possible BERT ({error})", where=str(file), fix=_CHOOSE) from None


def load_model(kind: type[M], directory: Path) -> M:
    """Read a whole model, encoder and head, as our library or transformers wrote it; fp16 and bf16 become fp32.

    It is for prediction: its dropout is 0.

    Args:
        kind: one of our classes, the one that was written.
        directory: of config.json and safetensors weights.

    Raises:
        BertlineError: the directory holds no BERT or another kind of model, or a weight is missing, of another shape,
            or one too many.
    """
    found = _read_hugging_face_config(directory)
    config = replace(_bert_config(directory / CONFIG_FILE, found), dropout=0.0)
    written = found.get("architectures") or [kind.hugging_face_class]
    if kind.hugging_face_class not in written:
        what = f"holds a {', '.join(map(str, written))}, not a {kind.hugging_face_class}"
        raise BertlineError(what, where=str(directory), fix="Choose the directory of such a model")
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        model = _build(kind, config, _outputs(found))
    weights = read_weights(directory)
    _drop_tied_decoder(weights, directory)
    expected = {theirs for ours in model.state_dict() for theirs in hugging_face_names(ours)}
    if unexpected := sorted(weights.keys() - expected):
        what = f"weight {unexpected[0]} has no place in a {kind.hugging_face_class} ({len(unexpected)} such)"
        raise BertlineError(what, where=str(directory), fix="Choose the directory of a model of this kind")
    _load_weights(model, "", weights, directory)
    return model


def _outputs(found: Mapping[str, Any]) -> int:
    """How many outputs a head has: as many as labels, and two where none are named (so does transformers)."""
    return len(found.get("id2label") or {}) or 2


def _build(kind: type[M], config: BertConfig, outputs: int) -> M:
    built: Any
    if issubclass(kind, BertForSequenceClassification | BertForTokenClassification):
        built = kind(config, outputs)
    elif issubclass(kind, BertForPreTraining | BertForQuestionAnswering):
        built = kind(config)
    else:
        raise TypeError(f"{kind.__name__} is no model that is stored")
    made: M = built
    return made


def read_labels(directory: Path) -> list[str]:
    """The names of a head's outputs, in their order; none where it has no names.

    Raises:
        BertlineError: as read_config.
    """
    named = _read_hugging_face_config(directory).get("id2label") or {}
    return [str(named[number]) for number in sorted(named, key=int)]


def load_encoder(model: BertWithHead, directory: Path) -> None:
    """Read the encoder of any Hugging Face BERT into `model.bert`: embeddings, layers and pooler; its head is not read.

    A file without a pooler (as of BertForMaskedLM) leaves that of the model as it is.

    Raises:
        BertlineError: the directory holds no BERT, its encoder has another shape, or a weight is missing.
    """
    _check_same_shape(model, directory)
    weights = read_weights(directory)
    _load_weights(model, "bert.", weights, directory, keep=_absent((_POOLER,), model, weights))


def load_pretraining(model: BertForPreTraining, directory: Path) -> None:
    """Read what a Hugging Face BERT has of a BertForPreTraining: the encoder; pooler, MLM and NSP head if it has them.

    What it lacks stays as it is in `model`: the NSP head and the pooler for a BertForMaskedLM, both heads for a
    BertModel. A directory that says it holds a BertForPreTraining must hold it whole.

    Raises:
        BertlineError: as load_encoder; or a head is there in part, or the MLM decoder is not tied to the embeddings.
    """
    _check_same_shape(model, directory)
    weights = read_weights(directory)
    _drop_tied_decoder(weights, directory)
    whole = model.hugging_face_class in (_read_hugging_face_config(directory).get("architectures") or [])
    keep = () if whole else _absent((_POOLER, *_PRETRAINING_HEADS), model, weights)
    _load_weights(model, "", weights, directory, keep=keep)


def _check_same_shape(model: BertWithHead, directory: Path) -> None:
    config = read_config(directory)
    ours, theirs = asdict(replace(model.config, dropout=config.dropout)), asdict(config)
    different = [f"{key} is {theirs[key]}, the model has {ours[key]}" for key in ours if ours[key] != theirs[key]]
    if different:
        fix = "Choose an encoder of the same shape and vocabulary, or change the model's configuration"
        raise BertlineError("; ".join(different), where=str(directory / CONFIG_FILE), fix=fix)


def _absent(parts: Sequence[str], model: BertWithHead, weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Those parts of a model, named by what their weights' names start with, of which no weight is there."""
    ours = {part: [name for name in model.state_dict() if name.startswith(part)] for part in parts}
    theirs = {part: {each for name in names for each in hugging_face_names(name)} for part, names in ours.items()}
    return tuple(part for part in parts if theirs[part].isdisjoint(weights))


def _drop_tied_decoder(weights: dict[str, Tensor], directory: Path) -> None:
    """Forget a copy of the token embeddings as MLM decoder (transformers before 5 wrote it); refuse any other."""
    decoder = weights.pop("cls.predictions.decoder.weight", None)
    embeddings = weights.get("bert.embeddings.word_embeddings.weight")
    if decoder is not None and (embeddings is None or not torch.equal(decoder, embeddings)):
        what = "the MLM decoder has weights of its own, and only one tied to the token embeddings is supported"
        raise BertlineError(what, where=str(directory), fix=_CHOOSE)


def _load_weights(
    model: BertWithHead, prefix: str, weights: Mapping[str, Tensor], directory: Path, keep: tuple[str, ...] = ()
) -> None:
    """Fill the weights of `model` whose names start with `prefix` and with none of `keep`, in place."""
    state = model.state_dict()
    names = [name for name in state if name.startswith(prefix) and not (keep and name.startswith(keep))]
    for name in names:
        parts = hugging_face_names(name)
        length, *rest = state[name].shape
        for part in parts:
            _check_weight(part, weights.get(part), (length // len(parts), *rest), directory)
    made = from_hugging_face(names, weights)
    model.load_state_dict(made, strict=False, assign=any(weight.is_meta for weight in state.values()))


def _check_weight(name: str, weight: Tensor | None, shape: tuple[int, ...], directory: Path) -> None:
    if weight is None:
        raise BertlineError(f"weight {name} is missing", where=str(directory), fix=_CHOOSE)
    if not weight.is_floating_point() or weight.itemsize < 2:  # 8 bits have a scale beside them, which is not read
        what = f"weight {name} is of {weight.dtype}, and only floating point of 16 bits and more is supported"
        raise BertlineError(what, where=str(directory), fix="Choose the model before its quantisation")
    if weight.shape != shape:
        what = f"weight {name} has shape {tuple(weight.shape)}, and {CONFIG_FILE} asks for {shape}"
        raise BertlineError(what, where=str(directory), fix="Fetch or write the model anew")
