"""How much of the encoder learns, and how fast: layer-wise learning rates and frozen layers.

    freeze(model, config.frozen_layers)
    scale = layer_scale(model, config.layer_decay)      # for training.optimizer.make_optimizer

A task with few rows can spoil what pre-training gave. The lower layers hold the more general features, so they are
moved less (layer-wise learning-rate decay; Howard & Ruder 2018, section 3.2, and Sun et al. 2019, section 5.3.4) or not
at all.
"""

import re
from collections.abc import Callable

from bertline.model.bert import BertWithHead

_LAYER = re.compile(r"bert\.layers\.(\d+)\.")
_EMBEDDINGS = re.compile(r"bert\.\w*embedding")


def depth(name: str, layers: int) -> int:
    """How far up a parameter is: 0 the embeddings, 1 to `layers` the layers, `layers` + 1 the pooler and the head."""
    found = _LAYER.match(name)
    if found:
        return int(found.group(1)) + 1
    return 0 if _EMBEDDINGS.match(name) else layers + 1


def layer_scale(model: BertWithHead, decay: float) -> Callable[[str], float]:
    """Name of a parameter -> its share of the learning rate: 1 for the head, `decay` times less a layer further down.

    Sinusoidal positions are no parameter and have none.
    """
    layers = model.config.layers
    return lambda name: decay ** (layers + 1 - depth(name, layers))


def freeze(model: BertWithHead, frozen: int) -> None:
    """Leave the embeddings and the lowest `frozen` layers as they are; 0 freezes nothing."""
    layers = model.config.layers
    if frozen:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(depth(name, layers) > frozen)
