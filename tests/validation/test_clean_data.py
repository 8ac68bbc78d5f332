"""No alarm on clean data: the quickstart's, and the published texts and tasks of a mirror (BERTLINE_MIRROR)."""

import os
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.params import load_params
from bertline.base.stage import execute
from bertline.stages import documents, download, encode, gate_corpus, gate_task, gate_tokens, task, vocab
from checkout import PRESETS

pytestmark = pytest.mark.slow
STAGES = {
    "documents": documents.run,
    "gate_corpus": gate_corpus.run,
    "vocab": vocab.run,
    "encode": encode.run,
    "gate_tokens": gate_tokens.run,
}


@pytest.mark.parametrize(
    "preset",
    [
        "quickstart",
        pytest.param(
            "glue-cpu",
            marks=pytest.mark.skipif("BERTLINE_MIRROR" not in os.environ, reason="needs BERTLINE_MIRROR"),
        ),
    ],
)
def test_clean_data_raise_no_alarm(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From download to the tokens and the rows of every task; every expectation holds, warnings included."""
    artifacts = Artifacts(tmp_path)
    artifacts.params.write_text(PRESETS[preset].read_text())
    (artifacts.data / "sources").mkdir(parents=True)
    run = [("download", download.run, "")]
    for name in load_params(artifacts.params).tasks:
        run += [("task", task.run, name), ("gate_task", gate_task.run, name)]
    run += [(name, stage, "") for name, stage in STAGES.items()]
    for name, stage, of in run:
        status = execute(name, stage, tmp_path, of)
        said = capsys.readouterr()
        assert status == 0, said.err
        if name.startswith("gate_"):
            assert "warning" not in said.err and "warnings 0" in said.out, said.err
