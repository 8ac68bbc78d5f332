"""Sequences of different lengths as one long row of tokens, so that no arithmetic is spent on padding.

    packing = pack(mask)                                            # once a batch, on the CPU
    mlm_logits, nsp_logits = model(ids, segments, packing.to(device), positions)

A model takes a `Packing` in place of its mask. It then looks up, and sends through its layers, the real tokens alone:
(tokens, hidden) where (batch, sequence, hidden) went. On a GPU in half precision each sequence attends to itself by
`torch.nn.attention.varlen.varlen_attn` (FlashAttention's kernel, Dao et al. 2022, which has no dropout); elsewhere the
sequences are padded for the attention alone.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_GRAINS = (
    64  # tokens are rounded up to a multiple of 1/64 of the batch: a hundredth more work, and few shapes to compile
)
_LEAST_GRAIN = 128  # tokens
_LARGEST_HEAD = 256  # of the kernel, which also asks for a multiple of 8


class Packing(NamedTuple):
    """Where the tokens of a packed row are from, and where its sequences begin and end.

    Behind the real sequences come stretches of padding that fill the row up to a round number of tokens. They are
    sequences of their own: no real token looks at them, and none of their rows is left unwritten by the kernel.

    Attributes:
        places: int64 (tokens,), the place of each token in the flattened (batch · sequence).
        offsets: int32 (sequences + 1,), where each sequence begins in the row, and the end of the last; the sequences
            of the batch come first, and empty ones may be last.
        longest: tokens that a sequence has at most.
    """

    places: Tensor
    offsets: Tensor
    longest: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "Packing":
        """The same on a device."""
        places, offsets = (tensor.to(device, non_blocking=non_blocking) for tensor in self[:2])
        return Packing(places, offsets, self.longest)

    def pin_memory(self) -> "Packing":
        """The same in memory from which a GPU copies on its own."""
        return Packing(self.places.pin_memory(), self.offsets.pin_memory(), self.longest)

    def of(self, values: Tensor) -> Tensor:
        """Those of (batch, sequence) that are in the row: (tokens,)."""
        return values.flatten()[self.places]

    @property
    def columns(self) -> Tensor:
        """The place of each token in its own sequence, int64 (tokens,)."""
        return self.places % self.longest


Mask = Tensor | Packing | None  # what a model takes: True = a real token; a packing; None = every token is real


def pack(mask: Tensor) -> Packing:
    """Lay out a batch without its padding.

    The number of sequences depends on the mask's shape alone, and the number of tokens takes few values: compiled code
    meets few shapes.

    Args:
        mask: bool (batch, sequence) on the CPU, True = a real token; the real tokens of a sequence come first.

    Raises:
        ValueError: padding stands before a real token.
    """
    longest = mask.shape[1]
    if bool((mask[:, 1:] > mask[:, :-1]).any()):
        raise ValueError("padding stands before a real token: only sequences padded at their end can be packed")
    lengths = mask.sum(dim=1)
    real = int(lengths.sum())
    grain = max(_LEAST_GRAIN, mask.numel() // _GRAINS)
    tokens = min(-(-real // grain) * grain, mask.numel())
    padding = (~mask).flatten().nonzero().squeeze(1)[: tokens - real]
    places = torch.cat((mask.flatten().nonzero().squeeze(1), padding))
    fillers = -(-grain // longest)
    ends = (real + longest * torch.arange(1, fillers + 1)).clamp_(max=tokens)
    offsets = torch.cat((torch.zeros(1, dtype=torch.int64), lengths.cumsum(0), ends))
    return Packing(places, offsets.int(), longest)


def attend_packed(query: Tensor, key: Tensor, value: Tensor, packing: Packing) -> Tensor:
    """Attention of each sequence to itself; all of (tokens, heads, size of a head)."""
    size = query.shape[-1]
    fits = query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and size <= _LARGEST_HEAD and size % 8 == 0
    if not fits:
        return _attend_padded(query, key, value, packing)
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415  (2 s, and for GPUs alone)

    offsets, longest = packing.offsets, packing.longest
    attended = varlen_attn(query, key, value, offsets, offsets, longest, longest)
    assert isinstance(attended, Tensor)  # it may be asked for more
    return attended


def _attend_padded(query: Tensor, key: Tensor, value: Tensor, packing: Packing) -> Tensor:
    """The same, by way of a padded copy; no shape depends on what the offsets are, so that it can be compiled."""
    starts, ends = packing.offsets[:-1], packing.offsets[1:]
    column = torch.arange(packing.longest, dtype=starts.dtype, device=starts.device)
    places = starts[:, None] + column
    # The first column of an empty sequence counts as real: kernels differ in what a query without keys comes to.
    real = (places < ends[:, None]) | (column == 0)
    tokens = len(query)
    places = places.clamp(max=tokens - 1)
    query, key, value = (each[places].transpose(1, 2) for each in (query, key, value))  # (sequences, heads, longest, …)
    attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None, :])
    token = torch.arange(tokens, dtype=starts.dtype, device=starts.device)
    sequence = torch.searchsorted(ends, token, right=True)  # empty ones end where they start, and are never found
    return attended.transpose(1, 2)[sequence, token - starts[sequence]]
