"""Ctrl-C before a stage or a command has begun: while it imports what it needs, which takes seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import ROOT

SLOW = """import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born ignoring it
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "bertline.stages.encode"],
        ["-m", "bertline.stages.pretrain", "--debug"],
        ["-c", "from bertline.cli import main; main()", "encode"],
        ["-c", "from bertline.cli import main; main()", "fill-mask", "a [MASK]"],
    ],
    ids=["a stage", "a stage in debugging", "a stage by its command", "a question"],
)
def test_it_ends_in_one_line_while_something_is_imported(command: list[str], tmp_path: Path) -> None:
    for module in ("numpy", "torch"):  # as they are found first
        (tmp_path / f"{module}.py").write_text(SLOW)
    (tmp_path / "data" / "models" / "pretrained").mkdir(parents=True)
    (tmp_path / "dvc.yaml").touch()
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    ended = subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.stderr, ended.returncode) == ("interrupted\n", 130)
