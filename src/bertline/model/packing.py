"""Sequences of different lengths as one long row of tokens, so that no arithmetic is spent on padding.

    packing = pack(mask)                                            # once a batch, on the CPU
    mlm_logits, nsp_logits = model(ids, segments, packing.to(device), positions)

A model takes a `Packing` in place of its mask. It then looks up, and sends through its layers, the real tokens alone:
(tokens, hidden) where (batch, sequence, hidden) went. On a GPU in half precision and without dropout each sequence
attends to itself by `torch.nn.attention.varlen.varlen_attn` (FlashAttention's kernel, Dao et al. 2022, which has no
dropout); elsewhere the sequences are padded for the attention alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

_GRAINS = 64  # tokens are rounded up to 1/64 of the batch: a hundredth more work, and few shapes to compile
_LEAST_GRAIN = 64  # tokens
_LARGEST_HEAD = 256  # of the kernel, which also asks for a multiple of 8


class Packing(NamedTuple):
    """Where the tokens of a packed row are from, and where its sequences begin and end.

    Behind the real sequences come stretches of padding that fill the row up to a round number of tokens. They are
    sequences of their own: no real token looks at them, and none of their rows is left unwritten by the kernel.

    Attributes:
        mask: bool (batch, sequence), True = a real token.
        places: int64 (tokens,), the place of each token in the flattened (batch · sequence).
        tokens: int64 (batch · sequence,), the token at each place; at padding that is not in the row, any.
        offsets: int32 (sequences + 1,), where each sequence begins in the row, and the end of the last; the sequences
            of the batch come first, and empty ones may be last.
        parts: the packings of consecutive sequences, each as long as its own longest; () = not cut.
    """

    mask: Tensor
    places: Tensor
    tokens: Tensor
    offsets: Tensor
    parts: "tuple[Packing, ...]" = ()

    def to(self, device: torch.device, non_blocking: bool = False) -> "Packing":
        """The same on a device."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Packing":
        """The same in memory from which a GPU copies on its own."""
        return self._with(Tensor.pin_memory)

    def _with(self, change: Callable[[Tensor], Tensor]) -> "Packing":
        mask, places, tokens, offsets = (change(tensor) for tensor in self[:4])
        return Packing(mask, places, tokens, offsets, tuple(part._with(change) for part in self.parts))

    def of(self, values: Tensor) -> Tensor:
        """Those of (batch, sequence) that are in the row: (tokens,)."""
        return values.flatten()[self.places]

    @property
    def longest(self) -> int:
        """Tokens that a sequence has at most."""
        return self.mask.shape[1]

    @property
    def columns(self) -> Tensor:
        """The place of each token in its own sequence, int64 (tokens,)."""
        return self.places % self.longest

    def pad(self, states: Tensor) -> Tensor:
        """(tokens, …) to (batch, sequence, …), for what neither looks at padding nor asks it anything.

        Some token's state stands there; its gradient is taken to be 0.
        """
        padded: Tensor = _Pad.apply(states, self)  # type: ignore[no-untyped-call]
        return padded

    def strip(self, padded: Tensor) -> Tensor:
        """(batch, sequence, …) to (tokens, …); padding gets a gradient of 0."""
        states: Tensor = _Strip.apply(padded, self)  # type: ignore[no-untyped-call]
        return states


# Gathers in both directions: on a CPU they are five times as fast as the scattering that autograd would do.


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return _gather(states, packing.tokens).view(*packing.mask.shape, *states.shape[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _gather(gradients[0].flatten(0, 1), ctx.packing.places), None


class _Strip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, padded: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return _gather(padded.flatten(0, 1), packing.places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        packing = ctx.packing
        padded = _gather(gradients[0], packing.tokens)
        padded = padded.masked_fill_(~packing.mask.view(-1, *[1] * (padded.ndim - 1)), 0)
        return padded.view(*packing.mask.shape, *padded.shape[1:]), None


def _gather(rows: Tensor, places: Tensor) -> Tensor:
    """Some rows of a table of any shape; PyTorch is fast for rows that lie together."""
    return rows.flatten(1).index_select(0, places).view(-1, *rows.shape[1:])


Mask = Tensor | Packing | None  # what a model takes: True = a real token; a packing; None = every token is real


def pack(mask: Tensor, parts: int = 1) -> Packing:
    """Lay out a batch without its padding.

    The number of sequences depends on the mask's shape alone, and the number of tokens takes few values: compiled code
    meets few shapes, and a CPU has its products for them at hand.

    Args:
        mask: bool (batch, sequence) on the CPU, True = a real token; the real tokens of a sequence come first, and each
            has one at least.
        parts: into how many the sequences are cut where they are padded for attention, each part to its own longest:
            where sequences are sorted by length, that saves most of that padding.

    Raises:
        ValueError: padding stands before a real token.
    """
    longest = mask.shape[1]
    if bool((mask[:, 1:] > mask[:, :-1]).any()):
        raise ValueError("padding stands before a real token: only sequences padded at their end can be packed")
    lengths = mask.sum(dim=1)
    real = int(lengths.sum())
    grain = max(_LEAST_GRAIN, mask.numel() // _GRAINS)
    size = min(-(-real // grain) * grain, mask.numel())
    fillers = -(-grain // longest)
    ends = (real + longest * torch.arange(1, fillers + 1)).clamp_(max=size)
    offsets = torch.cat((torch.zeros(1, dtype=torch.int64), lengths.cumsum(0), ends))
    cut = mask.tensor_split(min(parts, len(mask))) if parts > 1 else ()
    inside = tuple(_lay_out(part[:, : int(part.sum(dim=1).max())].contiguous()) for part in cut)
    return _lay_out(mask, size - real)._replace(offsets=offsets.int(), parts=inside)


def _lay_out(mask: Tensor, fillers: int = 0) -> Packing:
    """A packing with so many tokens of padding at its end, as yet without offsets."""
    padding = (~mask).flatten().nonzero().squeeze(1)[:fillers]
    places = torch.cat((mask.flatten().nonzero().squeeze(1), padding))
    tokens = torch.zeros(mask.numel(), dtype=torch.int64)
    tokens[places] = torch.arange(len(places))
    return Packing(mask, places, tokens, torch.empty(0, dtype=torch.int32))


def kernel_takes(states: Tensor) -> bool:
    """Whether PyTorch's kernel for sequences of many lengths takes such states, (…, size of a head)."""
    kind, size = states.dtype, states.shape[-1]
    return states.is_cuda and kind in (torch.bfloat16, torch.float16) and size <= _LARGEST_HEAD and size % 8 == 0


def attend_packed(query: Tensor, key: Tensor, value: Tensor, packing: Packing) -> Tensor:
    """Attention of each sequence to itself by that kernel; all of (tokens, heads, size of a head)."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415  (2 s, and for GPUs alone)

    offsets, longest = packing.offsets, packing.longest
    attended = varlen_attn(query, key, value, offsets, offsets, longest, longest)
    assert isinstance(attended, Tensor)  # it may be asked for more
    return attended
