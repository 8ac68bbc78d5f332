"""Devices and precision."""

import os

import pytest
import torch

from bertline.base import processor as room
from bertline.base.errors import BertlineError
from bertline.training import device
from bertline.training.device import autocast, note_precision, prepare, usable_precision


@pytest.fixture(autouse=True)
def _restore():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")


def test_prepare_sets_threads_and_determinism():
    torch.set_num_threads(1)
    assert prepare("cpu", 3) == torch.device("cpu")
    assert torch.get_num_threads() == 3
    assert torch.are_deterministic_algorithms_enabled()


def test_a_missing_gpu_is_one_line_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BertlineError, match=r"device: cuda: no CUDA device is available\. Set `device: cpu`"):
        prepare("cuda", 1)


def test_a_gpu_computes_fp32_in_full_and_the_same_way_every_time(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.set_float32_matmul_precision("high")  # as TORCH_ALLOW_TF32_CUBLAS_OVERRIDE makes it
    assert prepare("cuda", 1) == torch.device("cuda")
    assert torch.get_float32_matmul_precision() == "highest"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled(), "attention would take its other algorithm"


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Makes the processor one with the given instruction sets."""

    def pretend(flags):
        (tmp_path / flags).write_text(f"processor : 0\nflags : fpu avx2 {flags}\n")
        monkeypatch.setattr(room, "CPU_INFORMATION", tmp_path / flags)
        monkeypatch.setattr(device, "BF16_ON_CPU", bool(room.bf16_instructions()))  # asked when it was imported

    return pretend


@pytest.mark.parametrize(
    ("flags", "precision", "expected"),
    [
        ("avx512_bf16", "bf16", torch.bfloat16),
        ("avx512_bf16", "fp32", torch.float32),
        ("avx512f", "bf16", torch.float32),
    ],
)
def test_autocast_is_about_matrix_products_and_leaves_weights_alone(flags, precision, expected, processor):
    processor(flags)
    layer = torch.nn.Linear(4, 4)
    with autocast(torch.device("cpu"), precision):
        assert layer(torch.ones(2, 4)).dtype is expected
    assert layer.weight.dtype is torch.float32


def test_a_processor_without_bf16_computes_in_fp32_and_says_so(processor, capsys):
    processor("avx512f")
    assert usable_precision("cpu", "bf16") == "fp32"
    assert usable_precision("cuda", "bf16") == "bf16"
    note_precision("cpu", "bf16", "pretrain")
    assert capsys.readouterr().err == "pretrain: this processor has no bf16 instructions; computing in fp32\n"
    note_precision("cpu", "fp32", "pretrain")
    processor("amx_bf16")
    note_precision("cpu", "bf16", "pretrain")
    assert capsys.readouterr().err == ""


def test_an_unknown_precision_names_the_known_ones():
    with pytest.raises(ValueError, match="bf16 or fp32"):
        autocast(torch.device("cpu"), "fp8")
