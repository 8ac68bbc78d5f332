"""Devices and precision."""

import os

import pytest
import torch

from bertline.base.errors import BertlineError
from bertline.training.device import autocast, prepare


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


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_is_about_matrix_products_and_leaves_weights_alone(precision, expected):
    layer = torch.nn.Linear(4, 4)
    with autocast(torch.device("cpu"), precision):
        assert layer(torch.ones(2, 4)).dtype is expected
    assert layer.weight.dtype is torch.float32


def test_an_unknown_precision_names_the_known_ones():
    with pytest.raises(ValueError, match="bf16 or fp32"):
        autocast(torch.device("cpu"), "fp8")
