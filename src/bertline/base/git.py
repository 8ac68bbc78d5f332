"""git, in the folder that is meant, whatever repository the environment names.

run_git(Path(), "rev-parse", "HEAD").stdout
"""

import os
import subprocess
from pathlib import Path

# Variables that point git elsewhere, as Prefect and hooks may have set them: `git rev-parse --local-env-vars` less
# GIT_CONFIG_*, which are a person's settings, or CI's, as all other variables of git are.
_OF_A_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)


def run_git(folder: Path, *arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a git command there; its exit status and what it printed.

    Args:
        folder: where.
        arguments: the command and its options.
        timeout: seconds it may take; None: as many as it wants.

    Raises:
        OSError: there is no git.
        subprocess.TimeoutExpired: it took longer.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout, check=False)
