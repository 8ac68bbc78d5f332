"""What a benchmark has measured stays, whatever happens after, and says what it was measured on."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import finetune, machine, pretrain
from bertline.base.errors import BertlineError

FOUND = {"tokens_per_second": 1.0, "mfu": 0.5, "peak_memory": 2**20, "waiting_share": 0.0, "matrix_product_peak": 1e12}
TRAINED = {"examples_per_second": 1.0, "seconds": 1.0, "score": 0.5, "peak_memory": 2**20}
Call = Callable[..., None]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command line of benchmarks.pretrain, in a folder without tokens; what it measures is made up."""
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, fails_at: str = "") -> None:
        def measure(_module: str, given: list[str], _environment: object = None) -> dict[str, Any]:
            if given[-1] == fails_at:
                raise machine.FailedError("it was killed")
            return dict(FOUND)

        monkeypatch.setattr(pretrain, "in_new_process", measure)
        monkeypatch.setattr(sys, "argv", ["pretrain", "--rounds", "1", *arguments])
        pretrain.main()

    return run


def results(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_shape_that_fails_takes_no_other_with_it(call: Call, tmp_path: Path) -> None:
    with pytest.raises(machine.FailedError):
        call("--peer", "--shapes", "tiny", "mini", fails_at="mini")
    assert results(tmp_path)["shapes"].keys() == {"tiny"}


def test_one_shape_alone_leaves_the_others_as_they_were(call: Call, tmp_path: Path) -> None:
    call("--peer", "--dropout", "0.2", "--shapes", "tiny", "mini")
    call("--peer", "--shapes", "mini")
    shapes = results(tmp_path)["shapes"]
    assert {shape: row["settings"]["dropout"] for shape, row in shapes.items()} == {"tiny": 0.2, "mini": 0.1}


@pytest.mark.parametrize("other", [{"model name": "Other"}, {"flags": "fma avx2"}])
def test_results_of_another_processor_are_not_mixed_with_these(
    call: Call, other: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = {"model name": "EPYC", "flags": "fma avx2 avx512f avx512_bf16"}
    monkeypatch.setattr(machine, "CPU_INFORMATION", tmp_path / "cpuinfo")
    for shape, found in {"tiny": processor, "mini": processor | other}.items():
        (tmp_path / "cpuinfo").write_text("".join(f"{key}\t: {value}\n" for key, value in found.items()))
        call("--peer", "--shapes", shape)
    assert results(tmp_path)["shapes"].keys() == {"mini"}
    assert results(tmp_path)["machine"]["cpu"] == (processor | other)["model name"]


def test_ours_alone_does_not_take_the_place_of_a_comparison(call: Call, tmp_path: Path) -> None:
    call("--peer", "--shapes", "tiny")
    compared = results(tmp_path)
    call("--shapes", "tiny")
    alone, beside = sorted(tmp_path.glob("*.json"), key=lambda path: -len(path.name))
    assert "ours" in alone.name
    assert json.loads(beside.read_text(encoding="utf-8")) == compared


def test_a_result_says_what_text_it_was_measured_on(call: Call, tmp_path: Path) -> None:
    call("--shapes", "tiny")
    settings = results(tmp_path)["shapes"]["tiny"]["settings"]
    assert settings["tokens"] == "random words" and settings["vocabulary"] == 8192


def test_tokens_that_are_not_there_are_no_reason_to_measure_random_words(call: Call, tmp_path: Path) -> None:
    with pytest.raises(BertlineError, match="nowhere"):
        call("--shapes", "tiny", "--tokens", "nowhere")
    assert not list(tmp_path.glob("*.json"))


def test_a_job_that_fails_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_module: str, given: list[str], _environment: object = None) -> dict[str, Any]:
        if given[-1] == "rte":
            raise machine.FailedError("it was killed")
        return dict(TRAINED)

    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    monkeypatch.setattr(finetune, "in_new_process", measure)
    monkeypatch.setattr(finetune, "write_inputs", lambda *_: None)
    monkeypatch.setattr(finetune, "rows_of", lambda *_: (None, [{}], [{}]))
    monkeypatch.setattr(sys, "argv", ["finetune", "--jobs", "sst2", "rte", "--rounds", "1", "--model", "a/bert"])
    with pytest.raises(machine.FailedError):
        finetune.main()
    jobs = results(tmp_path)["jobs"]
    assert jobs.keys() == {"sst2"}
    assert jobs["sst2"]["settings"]["model"] == "bert", "a model that was given is no mini from random weights"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (BertlineError("no such thing", where="data/tokens", fix="Make it"), "toy: error: data/tokens: no such thing."),
        (machine.FailedError("python -m x ended with 1"), "toy: error: python -m x ended with 1"),
        (FileNotFoundError(2, "No such file or directory", "study.json"), "toy: error: study.json: No such file"),
        (KeyboardInterrupt(), "130"),
    ],
)
def test_a_benchmark_that_cannot_go_on_says_so_in_a_line_and_never_ends_with_0(
    fault: BaseException, status: str
) -> None:
    with pytest.raises(SystemExit) as ended, machine.for_people("toy"):
        raise fault
    assert str(ended.value.code).startswith(status)
