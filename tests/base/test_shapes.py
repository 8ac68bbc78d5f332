"""Shapes of an encoder by name."""

import pytest

from bertline.base.config import Pretrain
from bertline.base.shapes import SIZES, shape_of


def test_a_published_size_can_be_written_as_its_numbers():
    assert shape_of("tiny") == shape_of("2/128") == (2, 128)
    published = {"tiny": "2/128", "mini": "4/256", "small": "4/512", "medium": "8/512", "base": "12/768"}
    assert {name: shape_of(numbers) for name, numbers in (published | {"large": "24/1024"}).items()} == SIZES


@pytest.mark.parametrize(
    "name", ["huge", "2/", "/128", "0/128", "2/0", "2/128/2", "-2/128", "2 / 128", "2/128\n", "", "2x128"]
)
def test_an_unknown_size_names_the_known_ones(name):
    with pytest.raises(ValueError, match="'tiny', 'mini', 'small', 'medium', 'base', 'large'"):
        shape_of(name)


def test_a_width_that_is_no_number_of_heads_is_refused():
    with pytest.raises(ValueError, match="multiple of 64"):
        shape_of("2/100")


def test_a_shape_that_cannot_be_is_refused_before_any_work():
    assert Pretrain(model="2/256").model == "2/256"
    with pytest.raises(ValueError, match="model: the width must be a multiple of 64"):
        Pretrain(model="2/100")
