"""Devices and precision."""

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


def test_prepare_sets_threads_and_determinism():
    torch.set_num_threads(1)
    assert prepare("cpu", 3) == torch.device("cpu")
    assert torch.get_num_threads() == 3
    assert torch.are_deterministic_algorithms_enabled()


def test_a_missing_gpu_is_one_line_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BertlineError, match=r"device: cuda: no CUDA device is available\. Set `device: cpu`"):
        prepare("cuda", 1)


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_is_about_matrix_products_and_leaves_weights_alone(precision, expected):
    layer = torch.nn.Linear(4, 4)
    with autocast(torch.device("cpu"), precision):
        assert layer(torch.ones(2, 4)).dtype is expected
    assert layer.weight.dtype is torch.float32


def test_an_unknown_precision_names_the_known_ones():
    with pytest.raises(ValueError, match="bf16 or fp32"):
        autocast(torch.device("cpu"), "fp8")
