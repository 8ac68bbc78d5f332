"""The catalogue: every benchmark from files of its published form, and from the real ones where a mirror has them."""

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.builders import KINDS
from bertline.base.config import Params, Task, TaskData
from bertline.base.errors import BertlineError
from bertline.corpus import http
from bertline.stages.task import run
from bertline.tasks.benchmarks import BENCHMARKS, cut_validation
from bertline.tasks.catalog import DOCS
from bertline.tasks.published import PublishedFile
from bertline.tasks.schema import TaskInfo, read_rows
from checkout import ROOT, preset
from tasks.published_files import (
    CHNSENTICORP,
    DEV,
    GLUE,
    TRAIN,
    put,
    squad_file,
    table,
    tarred,
    use_small_files,
    write_mirror,
    zipped,
)

MIRROR = os.environ.get("BERTLINE_MIRROR", "")
IN_THE_MIRROR = ("cola", "sst2", "mrpc", "stsb", "rte", "wnli", "squad_44", "conll2003", "imdb")
VALIDATED = ("conll2003", "chnsenticorp")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mirror = tmp_path_factory.mktemp("mirror")
    write_mirror(mirror)
    return mirror


@pytest.fixture
def small(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_files(published, monkeypatch)


def build(root: Path, name: str) -> tuple[TaskInfo, dict[str, list[dict[str, Any]]]]:
    artifacts = Artifacts(root)
    task = Task(kind=BENCHMARKS[name].kind, data=TaskData(builder=name))
    run(Params(tasks={name: task}), artifacts, name)
    info = TaskInfo.read(artifacts.task(name))
    return info, {split: read_rows(artifacts.task(name), split) for split in info.rows}


@pytest.mark.skipif(not MIRROR, reason="needs BERTLINE_MIRROR with the real files")
@pytest.mark.parametrize("name", IN_THE_MIRROR)
def test_the_real_files_give_exactly_the_published_rows(tmp_path: Path, name: str) -> None:
    info, rows = build(tmp_path, name)
    counts = dict(BENCHMARKS[name].rows)
    assert len(rows["train"]) + (0 if name in VALIDATED else len(rows["validation"])) == counts["train"]
    assert len(rows["test"]) == counts["test"]
    assert set(info.rows) == {"train", "validation", "test"}
    for file in set(counts) - {"train", "validation", "test"}:
        assert len(read_rows(Artifacts(tmp_path).task(name), f"submission/{file}")) == counts[file]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_benchmark_is_built_from_files_of_its_published_form(tmp_path: Path, name: str) -> None:
    info, rows = build(tmp_path, name)
    benchmark = BENCHMARKS[name]
    assert (info.kind, info.metric, info.metrics) == (benchmark.kind, benchmark.metrics[0], benchmark.metrics)
    assert info.positive == benchmark.positive
    assert all(file.address in info.source for file in benchmark.files.values())
    cut = 0 if "validation" in benchmark.rows else len(rows["validation"])
    assert len(rows["train"]) + cut == TRAIN
    assert len(rows["validation"]) >= TRAIN // 10
    assert not {row["id"] for row in rows["train"]} & {row["id"] for row in rows["validation"]}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("cola", {"id": "dev-1", "text": 'She said "dev 1', "label": "acceptable"}),
        ("sst2", {"id": "dev-1", "text": "dev film 1", "label": "positive"}),
        ("stsb", {"id": "dev-1", "text": 'dev "1', "text_pair": "like 1", "label": 1.0}),
        ("qqp", {"id": "dev-1", "text": "dev 1?", "text_pair": "or 1?", "label": "duplicate"}),
        ("mnli", {"id": "dev_matched-1", "text": "dev_matched 0", "text_pair": "so 1", "label": "entailment"}),
        ("qnli", {"id": "dev-1", "text": "dev 1?", "text_pair": "so 1", "label": "not_entailment"}),
        ("rte", {"id": "dev-1", "text": "dev 1", "text_pair": "so 1", "label": "not_entailment"}),
        ("wnli", {"id": "dev-1", "text": "dev 1", "text_pair": "so 1", "label": "entailment"}),
        ("mrpc", {"id": "dev-1", "text": 'He said " 2', "text_pair": "She said 2", "label": "not_equivalent"}),
        (
            "conll2003",
            {"id": "testb-1", "words": ["Ada", "Bob", "sang", "1"], "tags": ["B-PER", "B-PER", "O", "O"]},
        ),
        ("imdb", {"id": "test-1", "text": "test 1\n\nIt ends.", "label": "positive"}),
        ("chnsenticorp", {"id": "test-1", "text": '房间"很test1', "label": "positive"}),
        ("squad_v2", {"id": "dev-1", "question": "Who did 1?", "context": "It was dev 1 who did it.", "answers": []}),
        (
            "squad",
            {
                "id": "dev-1",
                "question": "Who did 1?",
                "context": "It was dev 1 who did it.",
                "answers": [{"text": "dev 1", "start": 7}],
            },
        ),
    ],
)
def test_the_scored_rows_are_what_the_files_say(tmp_path: Path, name: str, row: dict[str, Any]) -> None:
    assert build(tmp_path, name)[1]["test"][1] == row


@pytest.mark.usefixtures("small")
def test_rows_without_labels_are_kept_for_the_submission(tmp_path: Path) -> None:
    build(tmp_path, "mnli")
    directory = Artifacts(tmp_path).task("mnli")
    assert sorted(path.name for path in (directory / "submission").iterdir()) == [
        "AX.jsonl",
        "MNLI-m.jsonl",
        "MNLI-mm.jsonl",
    ]
    expected = {"id": "1", "text": "test_mismatched 1", "text_pair": "so 1"}
    assert read_rows(directory, "submission/MNLI-mm")[1] == expected
    build(tmp_path, "mrpc")
    assert "label" not in read_rows(Artifacts(tmp_path).task("mrpc"), "submission/MRPC")[0]


@pytest.mark.usefixtures("small")
def test_mnli_has_the_mismatched_rows_too(tmp_path: Path) -> None:
    info, rows = build(tmp_path, "mnli")
    assert info.rows["test_mismatched"] == DEV
    assert rows["test_mismatched"][0]["text"] == "dev_mismatched 0"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("name", "column"), [("mnli", "text"), ("squad", "context")])
def test_what_belongs_together_is_not_cut_apart(tmp_path: Path, name: str, column: str) -> None:
    _, rows = build(tmp_path, name)
    key = (lambda row: int(row["id"].split("-")[1]) // 4) if name == "squad" else (lambda row: row[column])
    assert not {key(row) for row in rows["train"]} & {key(row) for row in rows["validation"]}


@pytest.mark.usefixtures("small")
def test_a_training_row_of_qqp_without_a_second_question_is_left_out_and_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, rows = build(tmp_path, "qqp")
    identities = {row["id"] for split in ("train", "validation") for row in rows[split]}
    assert identities == {f"train-{number}" for number in range(TRAIN)}
    said = capsys.readouterr().err
    assert said == f"task@qqp: left out, for an empty text: 1 of {TRAIN + 1} training rows\n"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("name", "split"), [("RTE", "train"), ("QQP-clean", "dev")])
def test_an_empty_text_that_is_scored_or_of_another_benchmark_is_refused(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch, name: str, split: str
) -> None:
    with zipfile.ZipFile(published / GLUE / f"{name}.zip") as archive:
        members = {member: archive.read(member).decode() for member in archive.namelist()}
    [member] = [member for member in members if member.endswith(f"/{split}.tsv")]
    members[member] = members[member].replace("\tso 3\t", "\t\t").replace("\tor 3?\t", "\t\t")
    put(tmp_path / "wrong", f"{GLUE}/{name}.zip", zipped(members))
    monkeypatch.setenv("BERTLINE_MIRROR", f"{tmp_path / 'wrong'}:{published}")
    assert "text_pair is empty" in failing(tmp_path, "rte" if name == "RTE" else "qqp")


def test_the_cut_is_a_tenth_at_most_a_thousand_and_the_same_in_any_order() -> None:
    rows = [{"id": str(number)} for number in range(20_000)]
    groups = [f"group {number // 2}" for number in range(20_000)]
    train, validation = cut_validation(rows, groups)
    assert (len(train), len(validation)) == (19_000, 1000)
    assert [int(row["id"]) for row in train] == sorted(int(row["id"]) for row in train)
    other = cut_validation(rows[::-1], groups[::-1])[1]
    assert {row["id"] for row in other} == {row["id"] for row in validation}
    assert len(cut_validation(rows[:400], groups[:400])[1]) == 40


@pytest.mark.usefixtures("small")
def test_files_are_fetched_once_and_taken_from_downloads_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build(tmp_path, "rte")
    kept = Artifacts(tmp_path).downloads / GLUE / "RTE.zip"
    assert kept.is_file()
    monkeypatch.setenv("BERTLINE_MIRROR", "")
    assert build(tmp_path, "rte") == before
    assert [path.name for path in Artifacts(tmp_path).downloads.rglob("*") if path.is_file()] == ["RTE.zip"]


def failing(root: Path, name: str) -> str:
    with pytest.raises(BertlineError) as caught:
        build(root, name)
    assert not Artifacts(root).task(name).exists()
    assert "\n" not in str(caught.value)
    assert caught.value.fix
    return str(caught.value)


@pytest.mark.usefixtures("small")
def test_a_damaged_download_is_fetched_anew(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (published / GLUE / "WNLI.zip").read_bytes()
    address = BENCHMARKS["wnli"].files["zip"].address
    sha256 = hashlib.sha256(content).hexdigest()
    file = PublishedFile.at(address, 0, "0" * 64, sha256)
    monkeypatch.setitem(BENCHMARKS, "wnli", replace(BENCHMARKS["wnli"], files={"zip": file}))  # type: ignore[arg-type]
    put(Artifacts(tmp_path).downloads, f"{GLUE}/WNLI.zip", content[:-1])
    build(tmp_path, "wnli")
    assert (Artifacts(tmp_path).downloads / GLUE / "WNLI.zip").read_bytes() == content


def test_a_file_that_nobody_has_is_one_line_with_its_address_and_the_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BACK_OFF", 0)
    monkeypatch.setenv("BERTLINE_MIRROR", str(tmp_path / "nowhere"))
    file = PublishedFile.at("https://127.0.0.1:9/RTE.zip")
    monkeypatch.setitem(BENCHMARKS, "rte", replace(BENCHMARKS["rte"], files={"zip": file}))  # type: ignore[arg-type]
    said = failing(tmp_path, "rte")
    assert said.startswith("task rte, https://127.0.0.1:9/RTE.zip: ")
    assert "BERTLINE_MIRROR" in said


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("rte", f"{GLUE}/RTE.zip", b"no zip", "not a readable zip"),
        ("rte", f"{GLUE}/RTE.zip", zipped({"RTE/dev.tsv": "x\n"}), "no train.tsv in it"),
        (
            "qqp",
            f"{GLUE}/QQP-clean.zip",
            zipped({"QQP/train.tsv": table("index sentence1 score", [(1, 2, 3)])}),
            "swap",
        ),
        (
            "rte",
            f"{GLUE}/RTE.zip",
            zipped({"RTE/train.tsv": "index\tlabel\n1\n"}),
            "train.tsv, line 2: 1 fields under 2",
        ),
        (
            "mnli",
            f"{GLUE}/MNLI.zip",
            zipped({"train.tsv": table("sentence1 sentence2 gold_label", [("a", "b", "-")])}),
            "train.tsv, line 2: unknown label '-'",
        ),
        ("imdb", "derived/imdb-train.parquet", b"no parquet", "not a readable Parquet file"),
        ("chnsenticorp", CHNSENTICORP, b"<html>Log in</html>", "chnsenticorp/train.tsv: not a readable tar"),
        ("chnsenticorp", CHNSENTICORP, tarred({"chnsenticorp/train.tsv": b"x"})[:50], "not a readable tar"),
        ("chnsenticorp", CHNSENTICORP, tarred({"chnsenticorp/dev.tsv": b"x"}), "no chnsenticorp/train.tsv in it"),
        ("chnsenticorp", CHNSENTICORP, tarred({"chnsenticorp/train.tsv": b"\xff"}), "not a readable tar"),
        (
            "squad_44",
            "raw.githubusercontent.com/tomhosking/squad-du-split/beac7f3ddcdd579010c7352646938e8ab31e8add/test-v1.1.json",
            squad_file("du", TRAIN - 1, impossible=False),
            "39 rows (train), where 40 were published",
        ),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_wrong_file_is_named(
    tmp_path: Path,
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    file: str,
    content: bytes | str,
    message: str,
) -> None:
    put(tmp_path / "wrong", file, content)
    monkeypatch.setenv("BERTLINE_MIRROR", f"{tmp_path / 'wrong'}:{published}")
    assert message in failing(tmp_path, name)


def test_params_yaml_knows_every_builder_and_its_kind() -> None:
    kinds = {name: benchmark.kind for name, benchmark in BENCHMARKS.items()}
    assert {name: kind for name, kind in KINDS.items() if name not in DOCS} == kinds
    quickstart = preset("quickstart").tasks
    assert {task.data.builder: task.kind for task in quickstart.values()} == {name: KINDS[name] for name in DOCS}


def test_every_benchmark_is_ranked_by_the_metric_that_its_leaderboard_shows() -> None:
    """MRPC and QQP by the F1 of the pairs that mean the same."""
    others = {
        name: benchmark.metrics[0] for name, benchmark in BENCHMARKS.items() if benchmark.metrics[0] != "accuracy"
    }
    assert others == {
        **{"cola": "matthews", "mrpc": "f1", "stsb": "spearman", "qqp": "f1"},
        **dict.fromkeys(("squad", "squad_44", "squad_v2", "conll2003"), "f1"),
    }
    positives = {name: benchmark.positive for name, benchmark in BENCHMARKS.items() if benchmark.positive}
    assert positives == {"mrpc": "equivalent", "qqp": "duplicate"}


def test_the_catalogue_is_whole() -> None:
    for name, benchmark in BENCHMARKS.items():
        assert {"train", "test"} <= benchmark.rows.keys(), name
        for file in benchmark.files.values():
            assert file.address.startswith("https://"), name
            unchecked = {place.address for place in file.places if not place.sha256}
            assert (
                not unchecked or name == "chnsenticorp" or (unchecked == {file.address} and "/train-" in file.address)
            )


def test_the_chapter_on_tasks_lists_every_benchmark_with_its_rows() -> None:
    lines = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8").splitlines()
    for name, benchmark in BENCHMARKS.items():
        [line] = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert f" {benchmark.kind} | {benchmark.rows['train']:,} | {benchmark.rows['test']:,} " in line
        size = sum(file.bytes for file in benchmark.files.values())
        assert line.endswith(f" | {size / 1e6:.1f} |") == bool(size)
