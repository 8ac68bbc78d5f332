"""A small shape, a padded batch for it, and weights that no initialisation has."""

import pytest
import torch

from bertline.model.bert import BertConfig


@pytest.fixture
def config():
    return BertConfig(vocab_size=500, hidden_size=64, layers=2, heads=4, intermediate_size=128, max_positions=48)


@pytest.fixture
def batch():
    """ids, segments and mask of three sequences of 20 tokens, the last two padded."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 500, (3, 20), generator=generator)
    segments = (torch.arange(20) >= 9).long().expand(3, 20)
    mask = torch.arange(20) < torch.tensor([[20], [13], [1]])
    return ids * mask, segments * mask, mask


@pytest.fixture
def scramble():
    """Give every weight of a model values that no initialisation has, biases and norms too."""

    def fill(model, seed=3):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        return model.eval()

    return fill
