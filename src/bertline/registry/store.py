"""Where MLflow keeps its records: in the store that address.py names.

The default store is `mlflow.db` with its artifacts in `mlruns/`, both beside params.yaml; `mlflow ui`, typed there,
finds it by itself. Any SQLite store keeps its artifacts beside its database, so that checkouts which share one (the
worktrees of pipelines/) find them. A server (`http://…`) keeps them where it was told to. Everything in this room opens
the store through `open_store`, which also says in one line what is wrong with it.
"""

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from bertline.base.artifacts import Artifacts
from bertline.base.errors import BertlineError, masked
from bertline.base.files import exclusive_lock, machine_lock
from bertline.base.messages import say
from bertline.registry.address import sqlite_file, store_uri

PATIENCE = 600.0
"""Seconds to wait for another process that sets up the store, or registers a model there."""
STORE_FAULTS = (MlflowException, SQLAlchemyError, sqlite3.Error, requests.RequestException)
"""What a store that is away, or refuses, makes its client raise."""
_ANSWER_SECONDS = 10  # for a server's first answer: it is there, or it is not
# Where MLflow notes, as an absolute address, where the files of a thing lie: table, column.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
_REASON = re.compile(r"\[Errno -?\d+\] ([\w ]+)|((?:read|connect) timeout|timed out|Remote end closed connection)")


@dataclass(frozen=True)
class Store:
    """An open tracking store and registry, with the experiment that runs go to.

    Attributes:
        client: to speak to it.
        uri: of the store; `address` is how to show it.
        experiment_id: of the experiment; empty where the store was opened without one.
        lock: held while models are registered: the same file for all checkouts of this machine that share the store.
    """

    client: MlflowClient
    uri: str
    experiment_id: str
    lock: Path

    @property
    def address(self) -> str:
        """The uri as it may be shown: without a password."""
        return masked(self.uri)


@contextmanager
def open_store(artifacts: Artifacts, experiment: str = "", *, make: bool = True) -> Iterator[Store]:
    """Open the store, creating schema and experiment where they are missing.

    While it is open, MLflow's own notion of the current store is this one; it is put back afterwards.

    Args:
        artifacts: paths; the default store lies at their root.
        experiment: name of the experiment; empty: only registered models are wanted, which need none.
        make: a SQLite store that is not there, folders included; False: that is an error.

    Raises:
        BertlineError: the store cannot be opened or reached, or the experiment was deleted.
    """
    uri = store_uri(artifacts.root)
    database = _sqlite_file(uri)
    if database is not None and not make and not database.is_file():
        fix = "`dvc repro` makes it; MLFLOW_TRACKING_URI names another"
        raise BertlineError("no such store", where=f"MLflow store {uri}", fix=fix)
    with _current_store(uri), faults_explained(uri):
        # MLflow migrates the schema at first use, without a lock: of two processes at once, one would fail.
        lock = _lock(uri)
        with exclusive_lock(lock, "setting up the MLflow store", patience=PATIENCE):
            _probe(uri)
            client = MlflowClient(uri)
            experiment_id = ""
            folder = _artifact_folder(artifacts, uri)
            if experiment:
                experiment_id = _experiment(client, experiment, folder.as_uri() if folder else None, masked(uri))
            else:
                client.search_registered_models(max_results=1)  # any use, for the schema
            if database and folder:
                _follow_files(database, folder)
        yield Store(client, uri, experiment_id, lock)


def _probe(uri: str) -> None:
    """Meet a database or server that cannot be used at once; MLflow would try for minutes, warning each time."""
    kind = _kind(uri)
    if kind in ("http", "https"):  # whatever it answers, it is there
        creds = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        options = {"max_retries": 0, "timeout": _ANSWER_SECONDS, "raise_on_status": False}
        http_request(creds, "/health", "GET", **options)  # type: ignore[no-untyped-call]
    database = _sqlite_file(uri)
    new = database is not None and not database.is_file()
    if kind not in DATABASE_ENGINES or new:
        return
    try:
        engine = create_engine(uri)
        inspect(engine).get_table_names()
        engine.dispose()
    except ImportError as error:
        fix = f"Install it into this environment: pip install {error.name}"
        raise BertlineError(f"no driver for {kind}", where=f"MLflow store {masked(uri)}", fix=fix) from None


def _artifact_folder(artifacts: Artifacts, uri: str) -> Path | None:
    """Beside a SQLite database, in the checkout for any other, whatever directory a command runs in.

    None for a server: it has a place of its own.
    """
    if _kind(uri) not in DATABASE_ENGINES:
        return None
    database = _sqlite_file(uri)
    return (database.parent if database else artifacts.root.resolve()) / "mlruns"


def _follow_files(database: Path, folder: Path) -> None:
    """Set the addresses in a SQLite store right that was moved or copied together with its files, into `folder`.

    As they are, they lead to the folder that was left: no model loads, and what is new is written there.
    """
    here = folder.as_uri()
    with closing(sqlite3.connect(database, timeout=PATIENCE)) as connection, connection:
        models = connection.execute(
            "SELECT e.artifact_location, substr(m.artifact_location, length(e.artifact_location) + 2)"
            " FROM experiments e JOIN logged_models m USING (experiment_id)"
            " WHERE e.artifact_location != ?"
            " AND substr(m.artifact_location, 1, length(e.artifact_location) + 1) = e.artifact_location || '/'",
            (here,),
        )
        left = {there for there, model in models if (folder / model).is_dir()}
        for there in sorted(left):
            for table, column in _PLACES:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (here, len(there) + 1, there, len(there) + 1, f"{there}/"),
                )
            say(f"MLflow store {database}: its addresses led to {there}; set right, to its own files in {here}")


def _lock(uri: str) -> Path:
    """Beside a SQLite database; for a server, a file of this user's on this machine, named by the address."""
    database = _sqlite_file(uri)
    if database:
        return database.with_name(f"{database.name}.lock")
    named = hashlib.sha256(masked(uri).rstrip("/").encode()).hexdigest()[:16]
    return machine_lock(f"mlflow-{named}")


def _kind(uri: str) -> str:
    """postgresql of postgresql+psycopg://…"""
    return uri.partition(":")[0].partition("+")[0]


def _sqlite_file(uri: str) -> Path | None:
    path = sqlite_file(uri)
    return path.resolve() if path else None


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
    except STORE_FAULTS as error:
        text = masked(str(error)).strip()
        what, fix = (text.splitlines() or [type(error).__name__])[0][:300].rstrip("."), _CHECK
        reason = _REASON.search(text)
        if reason and _kind(uri) in ("http", "https"):
            what, fix = f"the server does not answer ({reason[1] or reason[2]})", _START
        raise BertlineError(what, where=f"MLflow store {masked(uri)}", fix=fix) from error


_CHECK = "Check that the store can be reached and written to; MLFLOW_TRACKING_URI names it"
_START = "Start it, or correct MLFLOW_TRACKING_URI, and run again: what it has already is not sent twice"
