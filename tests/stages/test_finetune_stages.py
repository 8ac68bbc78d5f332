"""Stages finetune, evaluate and report, for a task of every kind: what they write, and that it fits together."""

import csv
import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind, Params, Task, TaskData
from bertline.base.errors import BertlineError
from bertline.base.files import read_json, read_jsonl, sha256_directory, write_jsonl
from bertline.evaluation.metrics import score
from bertline.evaluation.predictions import read_predictions
from bertline.inference.predictor import Predictor
from bertline.stages import evaluate, finetune, report
from bertline.tasks.rows import COLUMNS
from bertline.tasks.schema import METRICS, TaskInfo, read_rows, write_task
from bertline.training import device
from stages.finetune_checkout import prepare_checkout
from toy_tasks import KINDS, RECIPE, VOCAB, Row, toy_task, write_pretrained

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
    tasks["toy_pair"].finetune["seeds"] = 3
    return Params(tasks=tasks, finetune=RECIPE)


@pytest.fixture(scope="module")
def done(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """A checkout in which the three stages have run for a task of every kind; toy_pair has further test rows."""
    torch.set_num_threads(1)
    artifacts = prepare_checkout(tmp_path_factory.mktemp("checkout"))
    _, rows = toy_task("pair")
    more = {**rows, "test_mismatched": rows["test"][:7]}
    write_task(artifacts.task("toy_pair"), TaskInfo.of("toy_pair", "pair", more, "made up"), more)
    for kind in KINDS:
        finetune.run(params, artifacts, f"toy_{kind}")
        evaluate.run(params, artifacts, f"toy_{kind}")
    report.run(params, artifacts)
    return artifacts


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_loads_what_finetune_wrote_without_a_complaint(kind: Kind, done: Artifacts) -> None:
    directory = done.finetuned(f"toy_{kind}")
    _, found = SHAPES[kind].from_pretrained(directory, output_loading_info=True)
    assert not any(found.values()), found
    assert len(AutoTokenizer.from_pretrained(directory)) == len(VOCAB)
    assert {"task.json", "inference.json"} <= {file.name for file in directory.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_card_tells_what_was_trained_and_how_well(kind: Kind, params: Params, done: Artifacts) -> None:
    directory = done.finetuned(f"toy_{kind}")
    card = ModelCard.load(directory / "README.md")
    assert card.data.library_name == "transformers"
    text, info = " ".join(card.text.split()), TaskInfo.read(directory)
    assert f"`{SHAPES[kind].__name__.replace('Auto', 'Bert').replace('Model', '')}`" in text
    metrics = read_json(done.metrics("finetune", f"toy_{kind}"))
    told = [f"- Rows: {info.rows['train']:,} for training and {info.rows['validation']:,} for validation"]
    told += ["as their owner says", "max length 24", f"This is seed {metrics['pretrained']['kept_seed']},"]
    told += [f"`{label}`" for label in info.labels]
    for start in STARTS:
        last = [seed["epochs"][-1] for seed in metrics[start]["seeds"].values()]
        told.append(f" {statistics.median(last):.3f} ({min(last):.3f} to {max(last):.3f}) |")
    assert [part for part in told if part not in text] == []
    assert "layer decay" not in text, "an option that is off"


def test_the_model_card_names_the_precision_that_was_computed_in_and_how_much_of_a_text_is_read(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "BF16_ON_CPU", False)  # as on a processor without bf16 instructions
    recipe = replace(RECIPE, epochs=1, seeds=1, precision="bf16")
    artifacts = prepare_checkout(tmp_path)
    cards = {}
    for kind in ("classification", "tagging"):
        finetune.run(replace(params, finetune=recipe), artifacts, f"toy_{kind}")
        cards[kind] = (artifacts.finetuned(f"toy_{kind}") / "README.md").read_text()
        assert "precision fp32." in cards[kind]
    assert "of which it reads the first tokens alone, 24 at most;" in cards["classification"]
    assert "of which it reads all, 24 tokens at a time;" in cards["tagging"]


@pytest.mark.parametrize("kind", KINDS)
def test_finetune_reports_every_start_and_seed(kind: Kind, params: Params, done: Artifacts) -> None:
    metrics = read_json(done.metrics("finetune", f"toy_{kind}"))
    assert metrics["pretrained"]["train_loss"] != metrics["from_random"]["train_loss"]
    for start in STARTS:
        found = metrics[start]
        assert set(found["validation"]) == set(METRICS[kind])
        assert list(found["seeds"]) == [str(seed) for seed in range(params.finetune_for(f"toy_{kind}").seeds)]
        assert all(len(seed["epochs"]) == RECIPE.epochs for seed in found["seeds"].values())
        ends = {int(seed): some["epochs"][-1] for seed, some in found["seeds"].items()}
        assert ends[found["kept_seed"]] == found["validation"][METRICS[kind][0]]
        assert ends[found["kept_seed"]] == sorted(ends.values())[(len(ends) - 1) // 2]  # never the best of several
        assert len({seed["train_loss"] for seed in found["seeds"].values()}) == len(ends)


@pytest.mark.parametrize("kind", KINDS)
def test_the_curves_show_training_beside_validation(kind: Kind, done: Artifacts) -> None:
    metrics = read_json(done.metrics("finetune", f"toy_{kind}"))
    curve = read_json(done.curve("finetune", f"toy_{kind}"))
    assert all(set(row) == set(curve[0]) for row in curve)  # or dvc plots draws nothing
    assert (curve[-1]["step"], curve[-1]["epoch"]) == (metrics["steps"], RECIPE.epochs)
    assert 50 <= len(curve) <= 100 + RECIPE.epochs
    for start in STARTS:
        kept = metrics[start]["seeds"][str(metrics[start]["kept_seed"])]
        looks = [row for row in curve if row[f"{start}_validation_loss"] is not None]
        assert [row["epoch"] for row in looks] == list(range(1, RECIPE.epochs + 1))
        assert [row[f"{start}_validation_score"] for row in looks] == kept["epochs"]
        assert looks[-1][f"{start}_validation_loss"] == kept["validation_loss"]
        last = [row[f"{start}_loss"] for row in curve if row["epoch"] > RECIPE.epochs - 1]
        assert sum(last) / len(last) == pytest.approx(kept["train_loss"], rel=0.3, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_the_model_of_the_kept_seed(kind: Kind, done: Artifacts) -> None:
    rows = read_rows(done.task(f"toy_{kind}"), "test")
    seed = read_json(done.metrics("finetune", f"toy_{kind}"))["pretrained"]["kept_seed"]
    kept = read_predictions([done.predictions(f"toy_{kind}", "finetune")], "test", rows)["pretrained"][seed]
    answers = Predictor(done.finetuned(f"toy_{kind}")).predict(rows)
    for row, some, answer in zip(rows, kept, answers, strict=True):
        assert some == {"id": row["id"]} | {key: answer[key] for key in some if key != "id"}


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
            own = metrics["seeds"][start][str(metrics["kept"][start])]["accuracy"]
            assert right / len(rows) == pytest.approx(own, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_is_the_median_over_the_seeds_with_their_spread(kind: Kind, done: Artifacts) -> None:
    metrics = read_json(done.metrics("evaluate", f"toy_{kind}"))
    info = TaskInfo.read(done.task(f"toy_{kind}"))
    rows = read_rows(done.task(f"toy_{kind}"), "test")
    runs = read_predictions([done.predictions(f"toy_{kind}", "finetune")], "test", rows)
    baselines = {"features"} if kind not in ("tagging", "span") else set()
    assert set(runs) == {*STARTS, *baselines}
    for start, by_seed in runs.items():
        if start in baselines:
            assert len(by_seed) == 1
            continue
        scores = [score(info, rows, some) for some in by_seed.values()]
        for name in METRICS[kind]:
            values = [some[name] for some in scores]
            assert metrics[start][name] == pytest.approx(np.median(values), abs=1e-6)
            found = metrics["spread"][start][name]
            expected = [min(values), max(values), np.std(values, ddof=1)]
            assert [found["min"], found["max"], found["std"]] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_have_intervals_around_them(kind: Kind, done: Artifacts) -> None:
    metrics = read_json(done.metrics("evaluate", f"toy_{kind}"))
    for start in STARTS:
        found = metrics["intervals"][start]
        assert set(found) == set(METRICS[kind])
        own = metrics["seeds"][start][str(metrics["kept"][start])]
        assert all(low - 1e-6 <= own[name] <= high + 1e-6 for name, (low, high) in found.items())


def test_further_test_rows_are_scored_by_themselves(done: Artifacts) -> None:
    further = read_json(done.metrics("evaluate", "toy_pair"))["further"]["test_mismatched"]
    assert further["rows"] == 7
    assert further["pretrained"]["accuracy"] > 0.8
    assert set(further["seeds"]["pretrained"]) == {"0", "1", "2"}
    low, high = further["intervals"]["pretrained"]["accuracy"]
    assert low <= further["seeds"]["pretrained"][str(further["kept"]["pretrained"])]["accuracy"] <= high
    # The scoreboard has a row for them, below the one of the test rows.
    board = read_json(done.scoreboard / "scoreboard.json")["tasks"]
    assert board["toy_pair"]["further"]["test_mismatched"]["pretrained"] == further["pretrained"]["accuracy"]
    lines = (done.scoreboard / "scoreboard.md").read_text().splitlines()
    (place,) = (place for place, line in enumerate(lines) if line.startswith("| toy_pair | pair |"))
    assert lines[place + 1].startswith("| toy_pair, mismatched | pair | 7 | accuracy | **")
    seed = further["kept"]["pretrained"]
    assert any(line.startswith(f"| toy_pair, mismatched | {seed} | accuracy ") for line in lines)
    assert "toy_pair, mismatched" in (done.scoreboard / "report.html").read_text()


def test_questions_without_answer_are_learned_and_answered_with_nothing(tmp_path: Path) -> None:
    params = Params(
        tasks={"toy_span": Task("span", TaskData(train="x"), {"max_length": 24, "seeds": 1})}, finetune=RECIPE
    )
    artifacts = Artifacts(tmp_path)
    write_pretrained(artifacts.pretrained)
    _, answerable = toy_task("span")
    rows = {
        split: [unanswerable(row) if n % 2 else row for n, row in enumerate(some)] for split, some in answerable.items()
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
    assert f"- One seed was run, {RECIPE.seed}." in (artifacts.finetuned("toy_span") / "README.md").read_text()


def unanswerable(row: Row) -> Row:
    """Ask for something of which the context has none."""
    kept = [word for word in row["context"].split() if word != row["answers"][0]["text"]]
    return {**row, "context": " ".join(kept) or "here", "answers": []}


def test_the_majority_is_that_of_the_training_rows(params: Params, done: Artifacts, tmp_path: Path) -> None:
    artifacts = Artifacts(Path(shutil.copytree(done.root, tmp_path / "copy")))
    labels = {split: [row["label"] for row in read_rows(done.task("toy_pair"), split)] for split in ("train", "test")}
    commonest = max(sorted(set(labels["train"])), key=labels["train"].count)
    majority = evaluate.run(params, artifacts, "toy_pair")["majority"]
    assert majority["accuracy"] == pytest.approx(labels["test"].count(commonest) / 60, abs=1e-6)


def test_gold_answers_are_kept_beside_the_predictions(done: Artifacts) -> None:
    keys = {"classification": "label", "pair": "label", "regression": "label", "tagging": "tags", "span": "answers"}
    for kind, key in keys.items():
        row = next(read_jsonl(done.report("evaluate", f"toy_{kind}") / "predictions.jsonl"))
        baselines = ("features", "tfidf") if kind not in ("tagging", "span") else ()
        assert list(row) == ["id", key, *STARTS, *baselines, "majority"]


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


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_says_where_the_kept_model_is_wrong(kind: Kind, done: Artifacts) -> None:
    task = f"toy_{kind}"
    analysis = read_json(done.report("evaluate", task) / "analysis.json")
    metrics = read_json(done.metrics("evaluate", task))
    assert ("calibration" in analysis) == (kind in ("classification", "pair"))
    assert sum(part["rows"] for part in analysis["slices"][0]["slices"]) == metrics["rows"]
    own = metrics["seeds"]["pretrained"][str(metrics["kept"]["pretrained"])]
    if kind == "classification":
        assert len(analysis["mistakes"]) == min(round((1 - own["accuracy"]) * metrics["rows"]), 10)


def test_the_page_shows_every_task_and_has_the_same_bytes_when_made_again(params: Params, done: Artifacts) -> None:
    page = (done.scoreboard / "report.html").read_text()
    for task in params.tasks:
        assert f'<h2 id="task-{task}">' in page
    report.run(params, done)
    assert (done.scoreboard / "report.html").read_text() == page


def test_a_task_taken_out_of_params_is_off_the_scoreboard(params: Params, done: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "reports").symlink_to(done.data / "reports")
    board = report.run(Params(tasks={"toy_pair": params.tasks["toy_pair"]}), Artifacts(tmp_path))
    assert list(board["tasks"]) == ["toy_pair"]
    report.run(params, done)


@pytest.fixture(scope="module")
def quick(params: Params) -> Params:
    """The same tasks, trained for one epoch."""
    return replace(params, finetune=replace(RECIPE, epochs=1))


def test_the_same_inputs_give_the_same_bytes(quick: Params, tmp_path: Path) -> None:
    one, two = (prepare_checkout(tmp_path / name) for name in ("one", "two"))
    for artifacts in (one, two):
        finetune.run(quick, artifacts, "toy_tagging")
        evaluate.run(quick, artifacts, "toy_tagging")
    for part in ("models/finetuned/toy_tagging", "predictions/toy_tagging"):
        assert sha256_directory(one.data / part) == sha256_directory(two.data / part)
    for stage in ("finetune", "evaluate"):
        ours, theirs = (artifacts.report(stage, "toy_tagging") for artifacts in (one, two))
        assert sha256_directory(ours) == sha256_directory(theirs)


@pytest.mark.parametrize(
    "kind", ["pair", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("tagging", "span"))]
)
def test_the_labels_of_the_test_rows_decide_nothing_in_finetune(kind: Kind, quick: Params, tmp_path: Path) -> None:
    labelled, bare = (prepare_checkout(tmp_path / name) for name in ("labelled", "bare"))
    task = f"toy_{kind}"
    rows = read_rows(bare.task(task), "test")
    target = COLUMNS[kind][-1]
    write_jsonl(bare.task(task) / "test.jsonl", ({k: v for k, v in row.items() if k != target} for row in rows))
    for artifacts in (labelled, bare):
        finetune.run(quick, artifacts, task)
    for part in (f"models/finetuned/{task}", f"predictions/{task}", f"reports/finetune/{task}"):
        assert sha256_directory(bare.data / part) == sha256_directory(labelled.data / part)
    with pytest.raises(BertlineError, match=rf"test\.jsonl, line 1: no column '{target}'"):
        evaluate.run(quick, bare, task)


def test_predictions_of_other_rows_are_refused(params: Params, done: Artifacts, tmp_path: Path) -> None:
    artifacts = Artifacts(Path(shutil.copytree(done.root, tmp_path / "copy")))
    rows = read_rows(artifacts.task("toy_pair"), "test")
    write_jsonl(artifacts.task("toy_pair") / "test.jsonl", rows[1:])
    with pytest.raises(BertlineError, match=r"test/.*\.jsonl: its ids are not those of the test rows"):
        evaluate.run(params, artifacts, "toy_pair")
    shutil.rmtree(artifacts.predictions("toy_pair", "finetune") / "test")
    with pytest.raises(BertlineError, match="no predictions"):
        evaluate.run(params, artifacts, "toy_pair")


def test_a_vocabulary_that_does_not_match_the_model_is_one_clear_line(params: Params, tmp_path: Path) -> None:
    artifacts = prepare_checkout(tmp_path)
    config = artifacts.pretrained / "config.json"
    config.write_text(json.dumps(read_json(config) | {"vocab_size": 4096}))
    with pytest.raises(
        BertlineError,
        match=rf"the model has 4,096 token embeddings, its tokenizer {len(VOCAB)} entries.*"
        rf"resize_token_embeddings\({len(VOCAB)}\) takes what is over",
    ):
        finetune.run(params, artifacts, "toy_pair")
    assert not artifacts.finetuned("toy_pair").exists()
