"""Stage evaluate@T: the test rows, for the first and only time, put to both models and to the majority baseline.

Writes data/reports/evaluate/T/: metrics.json (scores, 95 % intervals of those of the models, and the scores on further
test rows where a benchmark has them), predictions.jsonl (gold and both predictions of every test row) and confusion.csv
(of the model from the pre-trained encoder).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import write_json, write_jsonl
from bertline.base.stage import main
from bertline.evaluation.confusion import confusion, write_confusion
from bertline.evaluation.intervals import intervals
from bertline.evaluation.majority import Rule, majority_rule
from bertline.evaluation.metrics import GOLD_COLUMNS, gold_value, predicted_value, score
from bertline.inference.predictor import Predictor
from bertline.tasks.schema import TaskInfo, read_rows
from bertline.training.device import prepare

Row = Mapping[str, Any]


def run(params: Params, artifacts: Artifacts, task: str) -> Mapping[str, Any]:
    """Score a task's models on its test rows, beside the majority baseline."""
    config, source, report = params.evaluate, artifacts.task(task), artifacts.report("evaluate", task)
    info, rows = TaskInfo.read(source), read_rows(source, "test")
    prepare(config.device, config.threads)
    predictors = {
        start: Predictor(directory, device=config.device, batch_size=config.batch_size)
        for start, directory in (
            ("pretrained", artifacts.finetuned(task)),
            ("from_random", artifacts.from_random(task)),
        )
    }
    predictions = {start: predictor.predict(rows) for start, predictor in predictors.items()}
    rule = majority_rule(info, read_rows(source, "train"))
    metrics = {"metric": info.metric, **_scores(info, rows, predictions, rule)}
    metrics["intervals"] = {start: intervals(info, rows, some) for start, some in predictions.items()}
    for split in (split for split in info.rows if split.startswith("test_")):
        further = read_rows(source, split)
        guesses = {start: predictor.predict(further) for start, predictor in predictors.items()}
        metrics[split] = _scores(info, further, guesses, rule)
    write_jsonl(report / "predictions.jsonl", _prediction_rows(info, rows, predictions))
    write_confusion(report / "confusion.csv", confusion(info.kind, rows, predictions["pretrained"]))
    write_json(artifacts.metrics("evaluate", task), metrics)
    return metrics


def _scores(
    task: TaskInfo, rows: Sequence[Row], predictions: Mapping[str, Sequence[Row]], rule: Rule
) -> dict[str, Any]:
    """{"rows": how many, start: {metric: value}}, the majority baseline included."""
    answers = {**predictions, "majority": [rule(row) for row in rows]}
    return {"rows": len(rows), **{start: score(task, rows, some) for start, some in answers.items()}}


def _prediction_rows(
    task: TaskInfo, rows: Sequence[Row], predictions: Mapping[str, Sequence[Row]]
) -> Iterator[dict[str, Any]]:
    for place, row in enumerate(rows):
        guesses = {start: predicted_value(task.kind, some[place]) for start, some in predictions.items()}
        yield {"id": row["id"], GOLD_COLUMNS[task.kind]: gold_value(task.kind, row), **guesses}


if __name__ == "__main__":
    main(run)
