"""The address of MLflow's store: `MLFLOW_TRACKING_URI`, else SQLite in the checkout. Known without importing MLflow."""

import os
from pathlib import Path

SQLITE = "sqlite:///"


def store_uri(root: Path) -> str:
    """The address that a checkout's stages use.

    A relative SQLite path starts at the checkout, where `dvc repro` runs them, wherever a person stands who asks.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    return f"{SQLITE}{root.resolve() / uri.removeprefix(SQLITE)}" if uri.startswith(SQLITE) else uri
