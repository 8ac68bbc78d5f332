"""Where MLflow keeps its records: `MLFLOW_TRACKING_URI`, else SQLite in the checkout.

The default store is `mlflow.db` with its artifacts in `mlruns/`, both beside params.yaml; `mlflow ui`, typed there,
finds it by itself. Everything in this room opens the store through `open_store`.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError
from bertline.base.files import exclusive_lock

_CREATION_SECONDS = 120.0


@dataclass(frozen=True)
class Store:
    """An open tracking store and registry, with the experiment that runs go to."""

    client: MlflowClient
    uri: str
    experiment_id: str

    @property
    def address(self) -> str:
        """The uri as it may be shown: without a password."""
        return masked(self.uri)


def store_uri(artifacts: Artifacts) -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else SQLite in the checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{artifacts.root.resolve() / 'mlflow.db'}"


def masked(uri: str) -> str:
    """A uri whose password, if it has one, reads ***."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


@contextmanager
def open_store(artifacts: Artifacts, experiment: str) -> Iterator[Store]:
    """Open the store, creating schema and experiment where they are missing.

    While it is open, MLflow's own notion of the current store is this one; it is put back afterwards.

    Args:
        artifacts: paths; the default store lies at their root.
        experiment: name of the experiment.

    Raises:
        BertlineError: the store cannot be opened or reached, or the experiment was deleted.
    """
    uri = store_uri(artifacts)
    with _current_store(uri), faults_explained(uri):
        # MLflow migrates the schema at first use, without a lock: of two processes at once, one would fail.
        with _wait_for(artifacts.runs / "mlflow.lock", "setting up the MLflow store"):
            _probe(uri)
            client = MlflowClient(uri)
            experiment_id = _experiment(client, experiment, _artifact_location(artifacts, uri), masked(uri))
        yield Store(client, uri, experiment_id)


def _probe(uri: str) -> None:
    """Meet a database that cannot be used at once; MLflow would try for two minutes, warning each time."""
    kind = uri.partition(":")[0].partition("+")[0]
    new = kind == "sqlite" and not Path(uri.removeprefix("sqlite:///")).is_file()
    if kind not in DATABASE_ENGINES or new:
        return
    try:
        engine = create_engine(uri)
        inspect(engine).get_table_names()
        engine.dispose()
    except ImportError as error:
        fix = f"Install it into this environment: pip install {error.name}"
        raise BertlineError(f"no driver for {kind}", where=f"MLflow store {masked(uri)}", fix=fix) from None


def _artifact_location(artifacts: Artifacts, uri: str) -> str | None:
    """An absolute place for the default store, whatever directory a command runs in; any other store has its own."""
    default = f"sqlite:///{artifacts.root.resolve() / 'mlflow.db'}"
    return (artifacts.root.resolve() / "mlruns").as_uri() if uri == default else None


def _experiment(client: MlflowClient, name: str, location: str | None, address: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another host was faster
    if found is None or found.lifecycle_stage != "active":
        fix = "Restore it with `mlflow experiments restore`, or name another one in register.experiment"
        raise BertlineError(f"experiment {name!r} was deleted", where=f"MLflow store {address}", fix=fix)
    return str(found.experiment_id)


@contextmanager
def _current_store(uri: str) -> Iterator[None]:
    """Make `uri` MLflow's current store; parts of its API know no other way."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None unsets, and its hint forgets that


@contextmanager
def faults_explained(uri: str) -> Iterator[None]:
    """Turn what MLflow and its database raise into one line that names the store."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        lines = str(error).replace(uri, masked(uri)).strip().splitlines() or [type(error).__name__]
        fix = "Check that the store can be reached and written to; MLFLOW_TRACKING_URI names it"
        raise BertlineError(lines[0][:300].rstrip("."), where=f"MLflow store {masked(uri)}", fix=fix) from error


@contextmanager
def _wait_for(lock: Path, purpose: str) -> Iterator[None]:
    """Hold a lock, waiting for its holder rather than refusing at once."""
    deadline = time.monotonic() + _CREATION_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(exclusive_lock(lock, purpose))
                break
            except BertlineError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield
