"""What the kernel says of a processor, in the words of x86 and of ARM."""

from pathlib import Path

import pytest

from bertline.base import processor


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_bf16\n", {"avx512_bf16", "amx_bf16"}),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", {"bf16"}),
        ("flags\t\t: fpu avx2\n", set()),
        (None, set()),
    ],
)
def test_instructions_for_bf16_are_named_as_the_kernel_names_them(
    told: str | None, found: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    monkeypatch.setattr(processor, "CPU_INFORMATION", tmp_path / "cpuinfo")
    assert processor.bf16_instructions() == found
