"""A person moves the champion, and back, in one call."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.base.files import exclusive_lock
from bertline.registry.aliases import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    SCORES,
    TAKEN_DOWN,
    make_champion,
    promote,
    rollback,
)
from bertline.registry.store import Store, open_store

NAME = "bertline-topic"


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Three versions of a model, the third the challenger and nothing a champion."""
    with open_store(Artifacts(tmp_path_factory.mktemp("checkout")), "bertline") as opened:
        opened.client.create_registered_model(NAME)
        for score in ("0.71", "0.75", "0.68"):
            tags = {SCORES: f'{{"metric": "f1", "values": {{"f1": {score}}}, "data": "x"}}'}
            opened.client.create_model_version(NAME, "file:///nowhere", tags=tags, description=f"scored {score}")
        opened.client.set_registered_model_alias(NAME, CHALLENGER, "3")
        yield opened


def aliases(store: Store) -> dict[str, str]:
    return {alias: str(version) for alias, version in store.client.get_registered_model(NAME).aliases.items()}


def test_promotion_takes_the_challenger_or_the_version_that_is_named(store: Store) -> None:
    assert str(promote(store, NAME)) == "bertline-topic: version 3 (f1 0.6800) is champion; there was none"
    change = promote(store, NAME, "2")
    assert str(change) == "bertline-topic: version 2 (f1 0.7500) is champion, instead of 3 (f1 0.6800)"
    assert aliases(store) == {CHALLENGER: "3", CHAMPION: "2", PREVIOUS: "3"}
    assert store.client.get_registered_model(NAME).description == "scored 0.75"


def test_promoting_the_champion_changes_nothing(store: Store) -> None:
    promote(store, NAME, "1")
    promote(store, NAME, "2")
    assert str(promote(store, NAME, "2")) == "bertline-topic: version 2 (f1 0.7500) is the champion already"
    assert aliases(store)[PREVIOUS] == "1"
    assert TAKEN_DOWN not in store.client.get_model_version(NAME, "2").tags


def test_a_champion_is_moved_by_one_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertline.registry.aliases.PATIENCE", 0.1)
    with exclusive_lock(store.lock, "a test"):
        for move, told in ((promote, "promoting"), (rollback, "rolling back")):
            with pytest.raises(BertlineError, match=f"{told} bertline-topic is already running"):
                move(store, NAME)


@pytest.mark.parametrize("typed", ["02", " 2"])
def test_a_version_is_itself_however_it_is_typed(typed: str, store: Store) -> None:
    """Taken for another one, the champion would have become its own predecessor, and the way back been lost."""
    promote(store, NAME, "1")
    promote(store, NAME, "2")
    assert promote(store, NAME, typed).champion == "2"
    assert aliases(store) == {CHALLENGER: "3", CHAMPION: "2", PREVIOUS: "1"}
    assert str(rollback(store, NAME)).startswith("bertline-topic: version 1")


def test_a_rollback_restores_the_champion_before_and_a_second_takes_the_first_back(store: Store) -> None:
    promote(store, NAME, "1")
    promote(store, NAME, "2")
    assert str(rollback(store, NAME)) == "bertline-topic: version 1 (f1 0.7100) is champion, instead of 2 (f1 0.7500)"
    assert aliases(store) == {CHALLENGER: "3", CHAMPION: "1", PREVIOUS: "2"}
    rollback(store, NAME)
    assert aliases(store) == {CHALLENGER: "3", CHAMPION: "2", PREVIOUS: "1"}


def test_what_cannot_be_done_is_said_in_one_line_and_changes_nothing(store: Store) -> None:
    with pytest.raises(BertlineError, match=r"bertline-topic has no previous_champion\..*--version"):
        rollback(store, NAME)
    for version in ("9", "x", '"; touch x', "0", "-1", "1.0", "9" * 10, "9" * 40, "9" * 5000):
        with pytest.raises(BertlineError, match="bertline-topic has no version"):
            promote(store, NAME, version)
    with pytest.raises(BertlineError, match=r"no model named 'bertline-topics'\. Choose one of: bertline-topic"):
        promote(store, "bertline-topics")
    assert aliases(store) == {CHALLENGER: "3"}


@contextmanager
def cut_after(last: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is done inside is broken off as soon as it has set this alias."""
    real = store.client.set_registered_model_alias

    def cut(name: str, alias: str, version: str) -> None:
        real(name, alias, version)
        if alias == last:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(store.client, "set_registered_model_alias", cut)
        yield


def test_a_promotion_that_is_cut_short_leaves_a_champion(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(store, NAME, "1")
    with cut_after(PREVIOUS, store, monkeypatch):
        make_champion(store.client, NAME, "2")
    assert aliases(store)[CHAMPION] == "1"


def test_a_rollback_that_is_cut_short_is_not_undone_by_the_next_registration(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever call is the last one: where the champion has moved, the version it left is known as taken down."""
    promote(store, NAME, "1")
    promote(store, NAME, "2")
    with cut_after(CHAMPION, store, monkeypatch):
        rollback(store, NAME)
    assert aliases(store)[CHAMPION] == "1"
    assert store.client.get_model_version(NAME, "2").tags[TAKEN_DOWN] == "1"
    assert TAKEN_DOWN not in store.client.get_model_version(NAME, "1").tags


def test_a_rollback_that_is_cut_between_the_aliases_says_which_version_it_was_going_to(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """previous_champion then is the champion itself, and a second try had called it the champion already."""
    promote(store, NAME, "1")
    promote(store, NAME, "2")
    with cut_after(PREVIOUS, store, monkeypatch):
        rollback(store, NAME)
    assert aliases(store) == {CHALLENGER: "3", CHAMPION: "2", PREVIOUS: "2"}
    with pytest.raises(BertlineError, match=r"cut short on the way to version 1\. .*`bertline promote .* --version 1`"):
        rollback(store, NAME)
    promote(store, NAME, "1")
    assert aliases(store) == {CHALLENGER: "3", CHAMPION: "1", PREVIOUS: "2"}
