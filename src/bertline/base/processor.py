"""What this machine's processor can do, as the Linux kernel names it.

bf16_instructions()   # frozenset({"avx512_bf16"}); empty on most laptops
"""

from functools import cache
from pathlib import Path

CPU_INFORMATION = Path("/proc/cpuinfo")
_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # on x86, x86 with matrix tiles, and ARM


def bf16_instructions() -> frozenset[str]:
    """The instruction sets that multiply bfloat16; without one, PyTorch takes hundreds of times as long as in fp32."""
    return _flags(CPU_INFORMATION) & _BF16


@cache
def _flags(path: Path) -> frozenset[str]:
    """Instruction sets ("flags" on x86, "Features" on ARM); empty where there is no such list."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":") for line in lines)
    found = (value for key, _, value in named if key.strip() in ("flags", "Features"))
    return frozenset(next(found, "").split())
