"""Dropout (Srivastava et al. 2014) whose random bits cost little on a CPU.

PyTorch's own draws a number for every element, in one thread: a third of a small BERT's training step. Here a fast
generator gives 64 bits at a time, for four elements. Its seed is drawn from PyTorch's generator: `torch.manual_seed`
decides everything, as it does with nn.Dropout, though on which elements differs. On other devices, and where code is
compiled, PyTorch's is used.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 1 << 16  # an element is decided by 16 bits: the share is kept to within 1/65536
_ONE = 0x3F80  # the bits of 1.0 in bfloat16


def dropout(share: float) -> nn.Module:
    """A layer that drops this share; for 0, one that costs nothing (nn.Dropout(0) draws its mask all the same)."""
    return Dropout(share) if share else nn.Identity()


class Dropout(nn.Module):
    """While training: zero a share of the elements at random, and scale the others so that the mean stays."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, hidden: Tensor) -> Tensor:
        """Any shape to the same shape."""
        if not self.training or hidden.device.type != "cpu" or torch.compiler.is_compiling():
            return functional.dropout(hidden, self.share, self.training)
        return hidden * kept(hidden.shape, self.share).to(hidden.dtype) * (1 / (1 - self.share))


def kept(shape: torch.Size, share: float) -> Tensor:
    """Ones, and with probability `share` zeros: bfloat16, on the CPU."""
    size = shape.numel()
    seed = int(torch.randint(2**63 - 1, ()))
    words = np.random.SFC64(seed).random_raw(-(-size // 4))
    bits = torch.from_numpy(words.view(np.int16)[:size]).view(shape)
    # In place, a comparison leaves 0 and 1 in its operand's type, which times the bits of 1.0 is the float itself.
    return bits.ge_(round(share * _LEVELS) - _LEVELS // 2).mul_(_ONE).view(torch.bfloat16)
