"""git, in the folder that is meant, whatever repository the environment names.

run_git(Path(), "rev-parse", "HEAD").stdout
"""

import os
import subprocess
from pathlib import Path


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
    # Prefect and hooks may have set variables that point git elsewhere; GIT_CONFIG_* are a person's, or CI's, settings.
    kept = (name for name in os.environ if not name.startswith("GIT_") or name.startswith("GIT_CONFIG_"))
    environment = {name: os.environ[name] for name in kept}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout, check=False)
