"""What the tests of the commands share: the types of their fixtures, and what a command has printed."""

import json
from collections.abc import Callable

from click.testing import Result

from bertline.base.config import Kind

Type = Callable[..., Result]
"""Fixture `type_in`: types a command."""
Model = Callable[[Kind], str]
"""Fixture `model_of`: makes a model of a kind, and gives the name of its task."""


def rows(result: Result) -> list[dict]:
    """The objects that a command has printed, one a line."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]
