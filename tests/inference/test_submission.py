"""A submission is what GLUE's server takes: every file, its own names and labels, one line a row."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params, Task, TaskData
from bertline.base.errors import BertlineError
from bertline.base.files import read_jsonl, write_jsonl
from bertline.base.params import write_params
from bertline.cli import app
from bertline.inference.predictor import Predictor
from bertline.inference.submission import server_value
from bertline.stages.task import run
from bertline.tasks.glue import GLUE
from bertline.tasks.schema import TaskInfo
from tasks.published_files import TEST, use_small_files, write_mirror
from toy_tasks import FILLERS, write_finetuned, write_pretrained

SERVER = {
    **dict.fromkeys(("CoLA", "SST-2", "MRPC", "QQP", "WNLI"), ("0", "1")),
    **dict.fromkeys(("MNLI-m", "MNLI-mm", "AX"), ("entailment", "neutral", "contradiction")),
    **dict.fromkeys(("QNLI", "RTE"), ("entailment", "not_entailment")),
}
Submit = Callable[[], Result]


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Submit:
    """Type `bertline submission` in a checkout with untrained models of some tasks."""
    write_mirror(tmp_path / "mirror")
    use_small_files(tmp_path / "mirror", monkeypatch)
    artifacts = Artifacts(tmp_path / "checkout")
    names = {"my_cola": "cola", "stsb": "stsb", "mnli": "mnli", "rte": "rte", "mrpc": "mrpc"}
    tasks = {name: Task(kind=GLUE[builder].kind, data=TaskData(builder=builder)) for name, builder in names.items()}
    artifacts.root.mkdir()
    write_params(artifacts.params, Params(tasks=tasks), "GLUE")
    (artifacts.root / "dvc.yaml").touch()
    write_pretrained(artifacts.pretrained)
    for name in names:
        run(Params(tasks=tasks), artifacts, name)
        write_finetuned(artifacts.finetuned(name), TaskInfo.read(artifacts.task(name)), artifacts.pretrained)
    monkeypatch.chdir(artifacts.root)
    return lambda: CliRunner().invoke(app, ["submission"])


def test_the_zip_has_every_file_of_the_server_in_its_own_labels(submit: Submit) -> None:
    typed = submit()
    assert typed.exit_code == 0, typed.output
    assert "written: CoLA, MRPC, STS-B, MNLI-m, MNLI-mm, AX, RTE" in typed.stdout
    assert "no such task: SST-2, QQP, QNLI, WNLI" in typed.stdout
    with zipfile.ZipFile(Artifacts().submission) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(files) == {f"{name}.tsv" for name in (*SERVER, "STS-B")}
    for name, text in files.items():
        heading, *lines = text.splitlines()
        assert heading == "index\tprediction"
        indices, predictions = zip(*(line.split("\t") for line in lines), strict=True)
        assert list(indices) == [str(number) for number in range(TEST)], name
        if name == "STS-B.tsv":
            assert all(0 <= float(value) <= 5 for value in predictions)
        else:
            assert set(predictions) <= set(SERVER[name.removesuffix(".tsv")])


def test_each_line_is_the_answer_to_the_row_of_its_index(submit: Submit) -> None:
    path = Artifacts().task("stsb") / "submission" / "STS-B.jsonl"
    rows = [row | {"text": " ".join(FILLERS[place:])} for place, row in enumerate(read_jsonl(path))]
    write_jsonl(path, rows)
    assert submit().exit_code == 0
    answers = Predictor(Artifacts().finetuned("stsb")).predict(rows)
    expected = [f"{row['id']}\t{server_value('STS-B', answer)}" for row, answer in zip(rows, answers, strict=True)]
    assert len({line.partition("\t")[2] for line in expected}) > 1, "they can be told apart"
    with zipfile.ZipFile(Artifacts().submission) as archive:
        assert archive.read("STS-B.tsv").decode().splitlines()[1:] == expected


def test_the_same_predictions_are_the_same_bytes(submit: Submit) -> None:
    submit()
    before = Artifacts().submission.read_bytes()
    submit()
    assert Artifacts().submission.read_bytes() == before


def test_an_acceptable_sentence_is_1_and_a_value_out_of_range_is_cut() -> None:
    assert server_value("CoLA", {"label": "acceptable"}) == "1"
    assert server_value("WNLI", {"label": "not_entailment"}) == "0"
    assert server_value("RTE", {"label": "not_entailment"}) == "not_entailment"
    assert [server_value("STS-B", {"value": value}) for value in (-0.2, 2.12345, 5.6)] == ["0.000", "2.123", "5.000"]
    with pytest.raises(BertlineError, match=r"label 'yes' is none of QNLI.*entailment"):
        server_value("QNLI", {"label": "yes"})


def test_a_model_that_is_not_there_and_a_params_without_glue_are_said(submit: Submit) -> None:
    weights = Artifacts().finetuned("rte") / "model.safetensors"
    Artifacts().finetuned("rte").rename(weights.parent.with_name("elsewhere"))
    typed = submit()
    assert typed.exit_code == 1
    assert "rte" in typed.stderr
    assert not Artifacts().submission.exists()
    write_params(Artifacts().params, Params(), "nothing")
    assert "no task of GLUE" in submit().stderr


def test_a_folder_in_place_of_the_zip_is_refused_before_any_work(submit: Submit) -> None:
    refused = CliRunner().invoke(app, ["submission", "--out", "data"])
    assert refused.exit_code == 2
    assert "'data' is a directory" in refused.stderr


def test_two_tasks_of_one_builder_are_refused_by_name_and_nothing_is_written(submit: Submit) -> None:
    tasks = {name: Task(kind="classification", data=TaskData(builder="cola")) for name in ("my_cola", "their_cola")}
    write_params(Artifacts().params, Params(tasks=tasks), "twice")
    typed = submit()
    assert typed.exit_code == 1
    assert "my_cola and their_cola are both of builder cola" in typed.stderr
    assert "Keep one of them" in typed.stderr
    assert not Artifacts().submission.exists()


def test_too_few_rows_for_the_server_are_refused_and_nothing_is_written(submit: Submit) -> None:
    rows = Artifacts().task("mnli") / "submission" / "AX.jsonl"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[1:]))
    typed = submit()
    assert "4 rows, and the server wants 5" in typed.stderr
    assert not Artifacts().submission.exists()
