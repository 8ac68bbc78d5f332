"""A copy of the checkout to run things in, and a way to run them as a user's shell would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bertline.base.config import Params
from bertline.base.params import parse_params, read_yaml, write_params

ROOT = Path(__file__).parents[1]
PRESETS = {path.stem: path for path in sorted((ROOT / "pipelines" / "presets").glob("*.yaml"))}
"""Name -> file of each preset."""


def preset(name: str) -> Params:
    return parse_params(read_yaml(PRESETS[name]), name)


def run_in(folder: Path, *command: str, timeout: float = 580, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in `folder`, as a shell with the environment activated would."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_TRACKING_URI",)}
    return subprocess.run(
        command,
        cwd=folder,
        env={**inherited, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def copy_checkout(destination: Path) -> Path:
    """A fresh git repository with this working tree's files, no data, and the smoke preset in params.yaml."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        generated = name.startswith(("data/reports/", "data/gates/")) or name == "dvc.lock"
        if not generated and (ROOT / name).is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name)
    write_params(destination / "params.yaml", preset("smoke"), "The smoke preset.")
    subprocess.run(["git", "init", "--quiet"], cwd=destination, check=True)
    commit(destination)
    return destination


def dvc_graph(folder: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """Stages, and edges (upstream, stage), as `dvc dag` shows them."""
    dot = run_in(folder, "dvc", "dag", "--dot").stdout
    names = re.findall(r'^"([^"]+)";$', dot, re.MULTILINE)
    return set(names), set(re.findall(r'^"([^"]+)" -> "([^"]+)";$', dot, re.MULTILINE))


def commit(checkout: Path) -> None:
    """Commit all there is in a copy, whatever a contributor's own settings ask of a commit."""
    settings = ["user.name=Test", "user.email=test@example.com", "commit.gpgsign=false", "core.hooksPath=/dev/null"]
    options = [word for setting in settings for word in ("-c", setting)]
    for arguments in (["add", "--all"], [*options, "commit", "--quiet", "-m", "checkout"]):
        subprocess.run(["git", *arguments], cwd=checkout, check=True, capture_output=True)
