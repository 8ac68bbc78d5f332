"""Stage evaluate@T: the right answers of the test rows, looked at here for the first and only time.

Stages finetune and transfer have predicted the test rows without their labels, for every start and seed; no network is
needed here.
Writes data/reports/evaluate/T/: metrics.json (medians, spread and every seed's scores; the baselines; 95 % intervals of
the kept seeds; under "further" the same for further test rows where a benchmark has them), predictions.jsonl (gold, the
kept seeds' and the baselines' predictions of every test row), and of the kept model confusion.csv and analysis.json
(calibration, slices, the worst mistakes).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import write_json, write_jsonl
from bertline.base.stage import main
from bertline.evaluation.analysis import analyse
from bertline.evaluation.confusion import confusion, write_confusion
from bertline.evaluation.intervals import intervals
from bertline.evaluation.majority import majority_rule
from bertline.evaluation.metrics import GOLD_COLUMNS, gold_value, predicted_value
from bertline.evaluation.predictions import read_kept_seeds, read_predictions
from bertline.evaluation.scoring import score_split
from bertline.evaluation.tfidf import tfidf_baseline
from bertline.tasks.schema import TaskInfo, read_rows

Row = Mapping[str, Any]


def run(params: Params, artifacts: Artifacts, task: str) -> Mapping[str, Any]:
    """Score a task's models on its test rows, beside the baselines."""
    source, report = artifacts.task(task), artifacts.report("evaluate", task)
    info = TaskInfo.read(source)
    predictions = [artifacts.predictions(task, stage) for stage in params.finetuning_stages(task)]
    seeds = read_kept_seeds(predictions)
    train, validation = read_rows(source, "train"), read_rows(source, "validation")
    rule, tfidf = majority_rule(info, train), tfidf_baseline(info, train, validation)
    metrics: dict[str, Any] = {"metric": info.metric}
    for split in info.test_splits:
        rows = read_rows(source, split)
        runs = read_predictions(predictions, split, rows)
        baselines = {"tfidf": tfidf(rows)} if tfidf else {}
        baselines["majority"] = [rule(row) for row in rows]
        kept = {start: by_seed[seeds[start]] for start, by_seed in runs.items()}
        scores = score_split(info, rows, runs, baselines) | {
            "kept": {start: seeds[start] for start in runs},
            "intervals": {
                start: intervals(info, rows, some, draws=params.evaluate.draws) for start, some in kept.items()
            },
        }
        if split != "test":
            metrics.setdefault("further", {})[split] = scores
            continue
        metrics |= scores
        write_jsonl(report / "predictions.jsonl", _prediction_rows(info, rows, {**kept, **baselines}))
        write_json(report / "analysis.json", analyse(info, rows, kept["pretrained"]))
        write_confusion(report / "confusion.csv", confusion(info.kind, rows, kept["pretrained"]))
    write_json(artifacts.metrics("evaluate", task), metrics)
    return metrics


def _prediction_rows(
    task: TaskInfo, rows: Sequence[Row], predictions: Mapping[str, Sequence[Row]]
) -> Iterator[dict[str, Any]]:
    for place, row in enumerate(rows):
        guesses = {start: predicted_value(task.kind, some[place]) for start, some in predictions.items()}
        yield {"id": row["id"], GOLD_COLUMNS[task.kind]: gold_value(task.kind, row), **guesses}


if __name__ == "__main__":
    main(run)
