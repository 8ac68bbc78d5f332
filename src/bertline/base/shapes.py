"""Shapes of an encoder: the published sizes by name, and any other as LAYERS/WIDTH.

    shape_of("tiny") == shape_of("2/128") == (2, 128)

Names and grid are those of Turc et al. 2019 (base and large: Devlin et al. 2019): heads of 64, feed-forward networks
four times as wide.
"""

import re

HEAD_SIZE = 64
SIZES = {  # name: (layers, width)
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
    "large": (24, 1024),
}


def shape_of(name: str) -> tuple[int, int]:
    """Layers and width (hidden size) of `name`.

    Raises:
        ValueError: no such size, or no such shape.
    """
    if name in SIZES:
        return SIZES[name]
    if not (numbers := re.fullmatch(r"([1-9]\d{0,2})/([1-9]\d{0,4})", name)):
        known = ", ".join(map(repr, SIZES))
        raise ValueError(f"must be {known}, or layers and width, as '2/256', not {name!r}")
    layers, width = (int(number) for number in numbers.groups())
    if width % HEAD_SIZE:
        raise ValueError(f"the width must be a multiple of {HEAD_SIZE}, the size of a head, not {width}")
    return layers, width
