"""The address of MLflow's store: `MLFLOW_TRACKING_URI`, else SQLite in the checkout. Known without importing MLflow."""

import os
from pathlib import Path

from bertline.base.errors import BertlineError

SQLITE = "sqlite:///"


def store_uri(root: Path) -> str:
    """The address that a checkout's stages use.

    A relative SQLite path starts at the checkout, where `dvc repro` runs them, wherever a person stands who asks.

    Raises:
        BertlineError: SQLite is to lie in a folder that its address cannot name.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    database = sqlite_file(uri)
    if database is None:
        return uri
    _, mark, query = uri.partition("?")
    path = str(root.resolve() / database)
    if "?" in path:
        fix = "Move the checkout, or name another store with MLFLOW_TRACKING_URI"
        raise BertlineError("SQLite's addresses end at a ?, so none can name this path", where=path, fix=fix)
    return f"{SQLITE}{path}{mark}{query}"


def sqlite_file(uri: str) -> Path | None:
    """The database of a SQLite address, as SQLAlchemy 2.0 reads it: to the letter, options follow a ?; else None."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]) if uri.startswith(SQLITE) else None
