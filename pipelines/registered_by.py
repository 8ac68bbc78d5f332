"""Which flow run registered the models that lie in a checkout: a pull request shows its verdicts, and no other run's.

It is noted with the parameters that the run had: under others, its models are no longer those of the checkout.
"""

from pathlib import Path

from bertline.base.artifacts import Artifacts
from bertline.base.files import read_json, sha256_file, write_json


def note(root: Path, flow_run: str) -> None:
    """Remember a flow run whose stage `register` has run in a checkout."""
    write_json(_file(root), {"flow_run": flow_run, "params": sha256_file(Artifacts(root).params)})


def flow_run_of(root: Path) -> str:
    """The id of the flow run that registered what lies in a checkout; empty where none did under its params.yaml."""
    noted = read_json(_file(root)) if _file(root).is_file() else {}
    return str(noted["flow_run"]) if noted.get("params") == sha256_file(Artifacts(root).params) else ""


def forget(root: Path) -> None:
    """What it registered is proposed."""
    _file(root).unlink(missing_ok=True)


def _file(root: Path) -> Path:
    return Artifacts(root).runs / "registered-by.json"
