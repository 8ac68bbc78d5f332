import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from bertline.base.artifacts import Artifacts
from bertline.base.config import Evaluate, Kind, Params, Task, TaskData
from bertline.base.errors import BertlineError
from bertline.base.files import read_json, read_jsonl, sha256_directory, write_json, write_jsonl
from bertline.stages import evaluate, finetune, report
from bertline.tasks.schema import METRICS, TaskInfo, read_rows, write_task
from toy_tasks import KINDS, RECIPE, VOCAB, Row, toy_task, write_pretrained, write_toy_task

STARTS = ("pretrained", "from_random")
SHAPES: dict[str, type] = {
    "classification": AutoModelForSequenceClassification,
    "pair": AutoModelForSequenceClassification,
    "regression": AutoModelForSequenceClassification,
    "tagging": AutoModelForTokenClassification,
    "span": AutoModelForQuestionAnswering,
}


@pytest.fixture(scope="module")
def params() -> Params:
    tasks = {f"toy_{kind}": Task(kind, TaskData(train="x"), {"max_length": 24}) for kind in KINDS}
    return Params(tasks=tasks, finetune=RECIPE, evaluate=Evaluate(threads=1))


@pytest.fixture(scope="module")
def done(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """A checkout in which the three stages have run for a task of every kind."""
    torch.set_num_threads(1)
    artifacts = prepare_checkout(tmp_path_factory.mktemp("checkout"))
    for kind in KINDS:
        finetune.run(params, artifacts, f"toy_{kind}")
        evaluate.run(params, artifacts, f"toy_{kind}")
    report.run(params, artifacts)
    return artifacts


def prepare_checkout(root: Path) -> Artifacts:
    artifacts = Artifacts(root)
    write_pretrained(artifacts.pretrained)
    for kind in KINDS:
        write_toy_task(artifacts.task(f"toy_{kind}"), kind)
    write_json(artifacts.metrics("documents"), {"train_documents": 10, "validation_documents": 1})
    write_json(artifacts.metrics("encode"), {"train_tokens": 1000, "unigram_entropy": 5.0})
    figures = {"mlm_loss": 4.0, "mlm_accuracy": 0.3, "nsp_loss": 0.6, "nsp_accuracy": 0.7}
    pretrain = {"steps": 10, "tokens": 640, "parameters": 1234, "train": figures, "validation": figures}
    write_json(artifacts.metrics("pretrain"), pretrain)
    return artifacts


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_loads_what_finetune_wrote_without_a_complaint(kind: Kind, done: Artifacts) -> None:
    for directory in (done.finetuned(f"toy_{kind}"), done.from_random(f"toy_{kind}")):
        _, found = SHAPES[kind].from_pretrained(directory, output_loading_info=True)
        assert not any(found.values()), found
        assert len(AutoTokenizer.from_pretrained(directory)) == len(VOCAB)
        assert {"task.json", "inference.json"} <= {file.name for file in directory.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_finetune_reports_both_starts(kind: Kind, done: Artifacts) -> None:
    metrics = read_json(done.metrics("finetune", f"toy_{kind}"))
    assert metrics["pretrained"]["train_loss"] != metrics["from_random"]["train_loss"]
    for start in STARTS:
        assert set(metrics[start]["validation"]) == set(METRICS[kind])
        assert len(metrics[start]["epochs"]) == RECIPE.epochs
        assert metrics[start]["epochs"][-1] == metrics[start]["validation"][METRICS[kind][0]]
    curve = read_json(done.curve("finetune", f"toy_{kind}"))
    assert set(curve[0]) == {"step", "epoch", "learning_rate", "pretrained_loss", "from_random_loss"}
    assert curve[-1]["step"] == metrics["steps"]
    assert curve[-1]["epoch"] == RECIPE.epochs
    assert 50 <= len(curve) <= 100
    last_epoch = [row["pretrained_loss"] for row in curve if row["epoch"] > RECIPE.epochs - 1]
    assert sum(last_epoch) / len(last_epoch) == pytest.approx(metrics["pretrained"]["train_loss"], rel=0.3, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_scores_the_test_rows_beside_the_baselines(kind: Kind, done: Artifacts) -> None:
    metrics = read_json(done.metrics("evaluate", f"toy_{kind}"))
    assert metrics["metric"] == METRICS[kind][0]
    assert metrics["rows"] == 60
    primary = {start: metrics[start][metrics["metric"]] for start in (*STARTS, "majority")}
    assert primary["pretrained"] > 0.9 >= primary["majority"]
    # Kept predictions are enough to find the score again.
    rows = list(read_jsonl(done.report("evaluate", f"toy_{kind}") / "predictions.jsonl"))
    tests = list(read_jsonl(done.task(f"toy_{kind}") / "test.jsonl"))
    assert [row["id"] for row in rows] == [row["id"] for row in tests]
    if kind in ("classification", "pair"):
        for start in STARTS:
            right = sum(row[start] == row["label"] for row in rows)
            assert right / len(rows) == pytest.approx(primary[start], abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_have_intervals_around_them(kind: Kind, done: Artifacts) -> None:
    metrics = read_json(done.metrics("evaluate", f"toy_{kind}"))
    for start in STARTS:
        found = metrics["intervals"][start]
        assert set(found) == set(METRICS[kind])
        assert all(low - 1e-6 <= metrics[start][name] <= high + 1e-6 for name, (low, high) in found.items())


def test_further_test_rows_are_scored_by_themselves(params: Params, done: Artifacts, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(done.data / "models")
    info = TaskInfo.read(done.task("toy_pair"))
    rows = {split: read_rows(done.task("toy_pair"), split) for split in info.rows}
    more = {**rows, "test_mismatched": rows["test"][:7]}
    write_task(artifacts.task("toy_pair"), TaskInfo.of("toy_pair", "pair", more, "here"), more)
    metrics = evaluate.run(params, artifacts, "toy_pair")
    assert metrics["test_mismatched"]["rows"] == 7
    assert metrics["test_mismatched"]["pretrained"]["accuracy"] > 0.8
    assert metrics["pretrained"] == read_json(done.metrics("evaluate", "toy_pair"))["pretrained"]


def test_questions_without_answer_are_learned_and_answered_with_nothing(params: Params, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    write_pretrained(artifacts.pretrained)
    rows = {
        split: [unanswerable(row) if n % 2 else row for n, row in enumerate(some)] for split, some in spans().items()
    }
    metrics = ("f1", "exact_match", "has_answer_f1", "no_answer_accuracy", "best_f1", "best_exact_match")
    write_task(artifacts.task("toy_span"), TaskInfo.of("toy_span", "span", rows, "here", metrics=metrics), rows)
    finetune.run(params, artifacts, "toy_span")
    scores = evaluate.run(params, artifacts, "toy_span")["pretrained"]
    assert set(scores) == set(metrics)
    assert min(scores["has_answer_f1"], scores["no_answer_accuracy"]) > 0.7
    assert scores["best_f1"] >= scores["f1"]
    settings = read_json(artifacts.finetuned("toy_span") / "inference.json")
    assert settings["may_be_unanswerable"]
    assert settings["null_threshold"] != 0


def spans() -> dict[str, list[Row]]:
    return toy_task("span")[1]


def unanswerable(row: Row) -> Row:
    """Ask for something of which the context has none."""
    kept = [word for word in row["context"].split() if word != row["answers"][0]["text"]]
    return {**row, "context": " ".join(kept) or "here", "answers": []}


def test_the_majority_is_that_of_the_training_rows(params: Params, done: Artifacts, tmp_path: Path) -> None:
    shutil.copytree(done.task("toy_pair"), Artifacts(tmp_path).task("toy_pair"))
    (tmp_path / "data" / "models").symlink_to(done.data / "models")
    train = [row["label"] for row in read_jsonl(done.task("toy_pair") / "train.jsonl")]
    commonest = max(sorted(set(train)), key=train.count)
    others = [row for row in read_jsonl(done.task("toy_pair") / "test.jsonl") if row["label"] != commonest]
    write_jsonl(Artifacts(tmp_path).task("toy_pair") / "test.jsonl", others)
    assert evaluate.run(params, Artifacts(tmp_path), "toy_pair")["majority"]["accuracy"] == 0


def test_gold_answers_are_kept_beside_the_predictions(done: Artifacts) -> None:
    keys = {"classification": "label", "pair": "label", "regression": "label", "tagging": "tags", "span": "answers"}
    for kind, key in keys.items():
        row = next(read_jsonl(done.report("evaluate", f"toy_{kind}") / "predictions.jsonl"))
        assert list(row) == ["id", key, *STARTS]


@pytest.mark.parametrize("kind", KINDS)
def test_the_confusion_matrix_is_a_table_of_actual_and_predicted(kind: Kind, done: Artifacts) -> None:
    with (done.report("evaluate", f"toy_{kind}") / "confusion.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(set(row) == {"actual", "predicted"} for row in rows)
    assert kind != "tagging" or all(set(row.values()) != {"O"} for row in rows)
    if kind in ("classification", "pair"):
        kept = read_jsonl(done.report("evaluate", f"toy_{kind}") / "predictions.jsonl")
        assert [(row["actual"], row["predicted"]) for row in rows] == [
            (row["label"], row["pretrained"]) for row in kept
        ]


def test_the_scoreboard_shows_every_task(params: Params, done: Artifacts) -> None:
    board = read_json(done.scoreboard / "scoreboard.json")
    text = (done.scoreboard / "scoreboard.md").read_text()
    assert set(board["tasks"]) == set(params.tasks)
    for task, row in board["tasks"].items():
        metrics = read_json(done.metrics("evaluate", task))
        assert row["gain"] == pytest.approx(row["pretrained"] - row["from_random"], abs=1e-6)
        assert row["pretrained"] == metrics["pretrained"][metrics["metric"]]
        assert f"| {task} |" in text


def test_a_task_taken_out_of_params_is_off_the_scoreboard(params: Params, done: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "reports").symlink_to(done.data / "reports")
    board = report.run(Params(tasks={"toy_pair": params.tasks["toy_pair"]}), Artifacts(tmp_path))
    assert list(board["tasks"]) == ["toy_pair"]
    report.run(params, done)


def test_the_same_inputs_give_the_same_bytes(params: Params, done: Artifacts, tmp_path: Path) -> None:
    again = prepare_checkout(tmp_path)
    finetune.run(params, again, "toy_tagging")
    evaluate.run(params, again, "toy_tagging")
    for part in ("models/finetuned/toy_tagging", "models/from_random/toy_tagging"):
        assert sha256_directory(again.data / part) == sha256_directory(done.data / part)
    for stage in ("finetune", "evaluate"):
        ours, theirs = (artifacts.report(stage, "toy_tagging") for artifacts in (again, done))
        assert sha256_directory(ours) == sha256_directory(theirs)


def test_the_test_rows_are_read_by_evaluate_alone(params: Params, done: Artifacts, tmp_path: Path) -> None:
    again = prepare_checkout(tmp_path)
    (again.task("toy_pair") / "test.jsonl").write_text("no rows at all\n")
    finetune.run(params, again, "toy_pair")
    assert sha256_directory(again.finetuned("toy_pair")) == sha256_directory(done.finetuned("toy_pair"))
    with pytest.raises(BertlineError, match=r"test\.jsonl, line 1: not valid JSON"):
        evaluate.run(params, again, "toy_pair")


def test_a_vocabulary_that_does_not_match_the_model_is_one_clear_line(params: Params, tmp_path: Path) -> None:
    artifacts = prepare_checkout(tmp_path)
    config = artifacts.pretrained / "config.json"
    config.write_text(json.dumps(read_json(config) | {"vocab_size": 4096}))
    with pytest.raises(
        BertlineError, match=rf"the model has 4,096 token embeddings, its tokenizer {len(VOCAB)} entries"
    ):
        finetune.run(params, artifacts, "toy_pair")
    assert not artifacts.finetuned("toy_pair").exists()
