"""The address of MLflow's store: `MLFLOW_TRACKING_URI`, else SQLite in the checkout. Known without importing MLflow."""

import os
from pathlib import Path
from urllib.parse import quote, unquote

SQLITE = "sqlite:///"


def store_uri(root: Path) -> str:
    """The address that a checkout's stages use.

    A relative SQLite path starts at the checkout, where `dvc repro` runs them, wherever a person stands who asks.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    database = sqlite_file(uri)
    if database is None:
        return uri
    _, mark, query = uri.partition("?")
    return f"{SQLITE}{_written(str(root.resolve() / database))}{mark}{query}"


def sqlite_file(uri: str) -> Path | None:
    """The database of a SQLite address, as SQLAlchemy reads it: %XX is a sign, options follow a ?; else None."""
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0])) if uri.startswith(SQLITE) else None


def _written(path: str) -> str:
    """A path as `sqlite_file` reads it.

    As it is wherever that is right, for people read it. Else with its slashes encoded too: MLflow makes the folder
    that the address names without decoding it, which would be one with a name like `feature%252Fx` beside the checkout.
    """
    return path if sqlite_file(f"{SQLITE}{path}") == Path(path) else quote(path, safe="")
