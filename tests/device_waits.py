"""Where the host waits for a GPU, as far as a CPU can tell: torch's device "meta" stands in the GPU's place."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("meta")


class Waits(TorchDispatchMode):
    """Counts the copies between devices that the host waits for, with all work there; a context manager."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, function: Any, _types: Any, given: Any = (), options: Any = None) -> Any:
        options = options or {}
        if function is torch.ops.aten._to_copy.default and options.get("device", given[0].device) != given[0].device:
            self.seen += not options.get("non_blocking")
        return function(*given, **options)
