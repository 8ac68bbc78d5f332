"""What an option of params.yaml is: a dataclass field with a default and a meaning; and checks that sections share."""

import math
from copy import deepcopy
from dataclasses import field
from typing import Any, TypeVar

T = TypeVar("T")
STRICT = {"extra": "forbid", "strict": True}  # for pydantic, where it is there


def option(default: T, meaning: str, *, rare: bool = False) -> T:
    """A field with a default and a meaning; params.yaml shows both, but leaves a rare one at its default out."""
    metadata = {"standard": default, "meaning": meaning, "rare": rare}
    made: Any = field(default_factory=lambda: deepcopy(default), metadata=metadata)
    return made  # type: ignore[no-any-return]


def require(condition: bool, key: str, reason: str) -> None:
    """Refuse a value: `key` is the option inside its section, `reason` says what it must be."""
    if not condition:
        raise ValueError(f"{key}: {reason}")


def in_unit_interval(section: object, *keys: str) -> None:
    """Refuse shares that are not at least 0 and below 1."""
    for key in keys:
        require(0 <= getattr(section, key) < 1, key, "must be at least 0 and below 1")


def shares(section: object, *keys: str) -> None:
    """Refuse shares that are not between 0 and 1, both included."""
    for key in keys:
        require(0 <= getattr(section, key) <= 1, key, "must be between 0 and 1")


def positive(section: object, *keys: str) -> None:
    """Refuse numbers that are not above 0, or not finite."""
    for key in keys:
        require(0 < getattr(section, key) < math.inf, key, "must be above 0, and finite")


def names_random_numbers(section: object, key: str) -> None:
    """Refuse what cannot name random numbers."""
    require(0 <= getattr(section, key) < 2**63, key, "must be at least 0 and below 2^63")


def watched(section: object, key: str, folder: str) -> None:
    """Refuse the directory of a model that does not lie where DVC sees that it changes, inside of `folder`."""
    value = getattr(section, key)
    inside = value.startswith(f"{folder}/") and ".." not in value.split("/")
    require(not value or inside, key, f"must be a directory under {folder}, or empty")


def not_negative(section: object, *keys: str) -> None:
    """Refuse numbers below 0."""
    for key in keys:
        require(getattr(section, key) >= 0, key, "must be at least 0")
