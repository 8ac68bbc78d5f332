"""The names of our weights and of Hugging Face's, and how the ones become the others.

The models differ in one layout: transformers keeps query, key and value in three matrices, we keep them in one.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

_NAMES = {
    "bert.token_embeddings.weight": "bert.embeddings.word_embeddings.weight",
    "bert.segment_embeddings.weight": "bert.embeddings.token_type_embeddings.weight",
    "bert.position_embeddings": "bert.embeddings.position_embeddings.weight",
    "mlm_bias": "cls.predictions.bias",
}
_MODULES = {
    "bert.embedding_norm": "bert.embeddings.LayerNorm",
    "bert.pooler": "bert.pooler.dense",
    "mlm_transform": "cls.predictions.transform.dense",
    "mlm_norm": "cls.predictions.transform.LayerNorm",
    "nsp": "cls.seq_relationship",
    "classifier": "classifier",
    "span": "qa_outputs",
}
_LAYER_MODULES = {
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
_QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
_IN_LAYER = re.compile(r"bert\.layers\.(\d+)\.(.+)")
_BARE = ("embeddings.", "encoder.", "pooler.")  # what a BertModel saved on its own starts its names with


def hugging_face_names(name: str) -> tuple[str, ...]:
    """The Hugging Face weights that one of ours holds, stacked along its first dimension: one, or three for QKV."""
    if name in _NAMES:
        return (_NAMES[name],)
    module, _, kind = name.rpartition(".")
    layer = _IN_LAYER.fullmatch(module)
    if layer is None:
        return (f"{_MODULES[module]}.{kind}",)
    number, module = layer.groups()
    theirs = _QKV if module == "attention.qkv" else (_LAYER_MODULES[module],)
    return tuple(f"bert.encoder.layer.{number}.{each}.{kind}" for each in theirs)


def to_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name and split our weights as transformers does; fp32 on the CPU, each in memory of its own."""
    made: dict[str, Tensor] = {}
    for name, weight in weights.items():
        names = hugging_face_names(name)
        parts = weight.detach().to("cpu", torch.float32).chunk(len(names))
        made.update((theirs, part.clone()) for theirs, part in zip(names, parts, strict=True))
    return made


def from_hugging_face(names: Iterable[str], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make the weights of these names of ours from Hugging Face's, in fp32 and in memory of their own."""
    return {name: torch.cat([weights[part].float() for part in hugging_face_names(name)]) for name in names}


def normalize(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights of any Hugging Face BERT file the names that transformers 5 writes.

    An encoder on its own gets its prefix; checkpoints from TensorFlow call a layer norm's weights gamma and beta; files
    of transformers before 4.31 hold the position numbers too, and the MLM bias under two names.
    """
    made: dict[str, Tensor] = {}
    for name in sorted(weights):
        new = f"bert.{name}" if name.startswith(_BARE) else name
        new = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", new)
        new = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", new)
        if new not in ("bert.embeddings.position_ids", "cls.predictions.decoder.bias"):
            made[new] = weights[name]
    return made
