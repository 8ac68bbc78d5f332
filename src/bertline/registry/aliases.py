"""The aliases of a registered model, and the calls that move them: promote and rollback.

`challenger` is the newest contender. `champion` is what applications load; it moves when the promotion rule says so, or
when a person does, and `previous_champion` keeps where it was.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import exclusive_lock
from bertline.base.params import load_params
from bertline.base.register_config import ENCODER
from bertline.registry.promotion import Scores
from bertline.registry.store import PATIENCE, Store, open_store

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous_champion"
SCORES = "bertline.scores"
"""Tag of a version: what it scored when it was last evaluated."""
TAKEN_DOWN = "bertline.taken_down"
"""Tag of a version that a person took down: the version that came in its place. A person alone brings it back."""
_LAST = 2**31 - 1  # of the numbers that MLflow's databases have for a version
_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says of a name or number that there is not."""


@dataclass(frozen=True)
class Change:
    """What a promotion or rollback did.

    Attributes:
        name: of the registered model.
        champion: the version that serves now.
        before: the version that served; None when there was none.
        scores: version -> what it scored, of those where it is known.
    """

    name: str
    champion: str
    before: str | None
    scores: Mapping[str, Scores]

    def __str__(self) -> str:
        if self.before == self.champion:
            return f"{self.name}: version {self._described(self.champion)} is the champion already"
        before = f", instead of {self._described(self.before)}" if self.before else "; there was none"
        return f"{self.name}: version {self._described(self.champion)} is champion{before}"

    def _described(self, version: str) -> str:
        scores = self.scores.get(version)
        return f"{version} ({scores})" if scores else version


def move(artifacts: Artifacts, model: str, how: Callable[[Store, str], Change]) -> Change:
    """Open a checkout's store and move the aliases of a model that a person named.

    Args:
        artifacts: the checkout.
        model: a task, `encoder`, or a registered model's whole name.
        how: `promote` or `rollback`.

    Raises:
        BertlineError: params.yaml is wrong, the store cannot be reached, or the move cannot be made.
    """
    params = load_params(artifacts.params)
    with open_store(artifacts, make=False) as store:
        return how(store, _model_name(params, model))


def promote(store: Store, name: str, version: str = "") -> Change:
    """Make a version the champion, whatever the promotion rule says of it.

    Args:
        store: the open store.
        name: of the registered model.
        version: which; the challenger by default.

    Raises:
        BertlineError: there is no such model or version.
    """
    with exclusive_lock(store.lock, f"promoting {name}", patience=PATIENCE):
        chosen = version or _aliased(store, name, CHALLENGER, "Run the pipeline: `dvc repro`")
        return _change(store, name, _existing(store, name, chosen))


def rollback(store: Store, name: str) -> Change:
    """Make the champion before this one the champion again; a second rollback takes the first one back.

    Raises:
        BertlineError: there is no such model, no champion before this one, or a move that was cut short has lost it.
    """
    with exclusive_lock(store.lock, f"rolling back {name}", patience=PATIENCE):
        fix = "Choose a version yourself: `bertline promote MODEL --version N`"
        chosen = _existing(store, name, _aliased(store, name, PREVIOUS, fix))
        aim = store.client.get_model_version(name, chosen).tags.get(TAKEN_DOWN)
        if aim and chosen == version_with(store.client, name, CHAMPION):  # only between the two aliases of a move
            what = f"{name}: the last move was cut short on the way to version {aim}"
            fix = f"Complete it, `bertline promote {name} --version {aim}`, or choose another version"
            raise BertlineError(what, where=f"MLflow store {store.address}", fix=fix)
        return _change(store, name, chosen)


def _model_name(params: Params, model: str) -> str:
    """The registered model that a person means: by its task, as `encoder`, or by its whole name."""
    return params.register.model_name(model) if model in (*params.tasks, ENCODER) else model


def make_champion(client: MlflowClient, name: str, version: str) -> str | None:
    """Move the alias champion, and previous_champion to where it was.

    The version's description becomes the model's. The alias champion is moved last: wherever this is cut short, there
    is a champion, it is one of the two, and doing it again completes it.

    Returns:
        The version that was champion; None when there was none.
    """
    champion = version_with(client, name, CHAMPION)
    if champion == version:
        return champion
    if champion is not None:
        client.set_registered_model_alias(name, PREVIOUS, champion)
    client.update_registered_model(name, client.get_model_version(name, version).description or "")
    client.set_registered_model_alias(name, CHAMPION, version)
    return champion


def version_with(client: MlflowClient, name: str, alias: str) -> str | None:
    """The version that has an alias, or None."""
    found = client.get_registered_model(name).aliases.get(alias)
    return None if found is None else str(found)


def scores_of(client: MlflowClient, name: str, version: str | None) -> Scores | None:
    """What a registered version scored when it was last evaluated, or None where nothing is known."""
    if version is None:
        return None
    kept = client.get_model_version(name, version).tags.get(SCORES)
    return Scores(**json.loads(kept)) if kept else None


def _change(store: Store, name: str, version: str) -> Change:
    """What a person asked for. The tags come first: a move that is cut short after them is not undone by `register`."""
    client = store.client
    client.delete_model_version_tag(name, version, TAKEN_DOWN)
    serving = version_with(client, name, CHAMPION)
    if serving not in (None, version):
        client.set_model_version_tag(name, serving, TAKEN_DOWN, version)
    before = make_champion(client, name, version)
    found = {number: scores_of(store.client, name, number) for number in (version, before) if number}
    return Change(name, version, before, {number: scores for number, scores in found.items() if scores})


def _aliased(store: Store, name: str, alias: str, fix: str) -> str:
    try:
        found = version_with(store.client, name, alias)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN:
            raise
        names = [model.name for model in store.client.search_registered_models()]
        choice = f"Choose one of: {', '.join(names)}" if names else "Run the pipeline: `dvc repro`"
        raise BertlineError(f"no model named {name!r}", where=f"MLflow store {store.address}", fix=choice) from None
    if found is None:
        raise BertlineError(f"{name} has no {alias}", where=f"MLflow store {store.address}", fix=fix)
    return found


def _existing(store: Store, name: str, version: str) -> str:
    """A version as MLflow writes it; typed, it may be "01" or " 1"."""
    try:
        number = int(version)
        if not 0 < number <= _LAST:  # of such a number a server says, after minutes, that its database fails
            raise ValueError
        return str(store.client.get_model_version(name, str(number)).version)
    except (ValueError, MlflowException) as error:
        if getattr(error, "error_code", _UNKNOWN[0]) not in _UNKNOWN:
            raise
        fix = "`mlflow ui` shows the versions there are"
        where = f"MLflow store {store.address}"
        raise BertlineError(f"{name} has no version {version!r:.40}", where=where, fix=fix) from None
