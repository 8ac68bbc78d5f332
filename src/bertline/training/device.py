"""Where a trainer or predictor computes, how precisely, and that it does so the same way every time.

device = prepare("cpu", threads=2)
with autocast(device, "bf16"):
    logits = model(...)
"""

import ctypes
import os
from contextlib import AbstractContextManager, nullcontext

import torch

from bertline.base.errors import BertlineError
from bertline.base.messages import say
from bertline.base.processor import bf16_instructions

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # numbers of glibc's malloc.h


def prepare(device: str, threads: int) -> torch.device:
    """Set this process up to compute deterministically on "cpu" or "cuda".

    `threads` are the CPU threads of an operation: how a sum is split among them changes its last bits. On a GPU,
    kernels that add in an arbitrary order are replaced by deterministic ones, those of attention and of `torch.compile`
    included; an operation that had none would raise (https://docs.pytorch.org/docs/stable/notes/randomness.html). The
    same run is then the same to the bit on the same model of GPU with the same driver and PyTorch, not across them.

    Raises:
        BertlineError: "cuda" is asked for where there is none.
    """
    found = find_device(device)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # That setting also fills every new tensor with NaN, to make reads of fresh memory show: a cost without a use here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device == "cuda":
        # cuBLAS reads it when it starts, which is at the first matrix product.
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        # The default, but for images that set TORCH_ALLOW_TF32_CUBLAS_OVERRIDE: fp32 is fp32, not TF32's ten bits.
        torch.set_float32_matmul_precision("highest")
    else:
        _keep_freed_memory()
    return found


def find_device(device: str) -> torch.device:
    """The device "cpu" or "cuda".

    Raises:
        BertlineError: "cuda" is asked for where there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        fix = "Set `device: cpu`, or install a PyTorch built for this machine's GPU and driver"
        raise BertlineError("no CUDA device is available", where="device: cuda", fix=fix)
    return torch.device(device)


def _keep_freed_memory() -> None:
    """Let glibc reuse large blocks between steps, where it would return them to the system and fetch them anew.

    Each step's logits come and go in blocks of tens of megabytes; mapping their pages took a quarter of a small model's
    step. The process keeps its peak memory until it ends. Other C libraries have no such setting and are left as they
    are (https://man7.org/linux/man-pages/man3/mallopt.3.html).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


# Asked once, here: it reads a file, which torch.compile cannot trace. (`torch.compiler.assume_constant_result` would do
# for the compiler, but imports all of it: two seconds of every process.)
BF16_ON_CPU = bool(bf16_instructions())


def usable_precision(device: str, precision: str) -> str:
    """What is computed in where `precision` is asked for: fp32 instead of "bf16" on a processor that has none.

    PyTorch would emulate bfloat16 there, one product of 2,048 x 2,048 matrices taking a minute instead of 0.2 seconds.

    Raises:
        ValueError: no such precision.
    """
    if precision not in ("bf16", "fp32"):
        raise ValueError(f"no precision named {precision!r}; choose bf16 or fp32")
    emulated = precision == "bf16" and device == "cpu" and not BF16_ON_CPU
    return "fp32" if emulated else precision


def note_precision(device: str, precision: str, title: str) -> None:
    """Say on standard error, for the run `title`, when it computes in another precision than was asked for."""
    if usable_precision(device, precision) != precision:
        say(f"{title}: this processor has no bf16 instructions; computing in fp32")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Run matrix products in bfloat16 ("bf16") where that is usable; else everything as it is. Weights stay in fp32.

    Raises:
        ValueError: as usable_precision.
    """
    if usable_precision(device.type, precision) == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
