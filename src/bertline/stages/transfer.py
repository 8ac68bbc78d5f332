"""Stage transfer@T: the same fine-tuning of T, from the model of another task (`transfer: {T: OTHER}`).

A task with few rows may gain by a related one with many, as RTE, MRPC and STS-B do by MNLI (Phang et al. 2018,
"Sentence Encoders on STILTs"). The encoder is that of data/models/finetuned/OTHER, its head is new; setting and seeds
are those of the headline, beside which the scores stand. Writes data/predictions/T/transfer/ and
data/reports/transfer/T/: metrics.json and curve.json. The model that is kept and registered stays that of stage
finetune. Interrupted, it goes on as finetune does.
"""

from collections.abc import Mapping
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_directory, write_json, write_json_rows
from bertline.base.stage import main
from bertline.finetuning.material import load_material
from bertline.finetuning.protocol import run_start
from bertline.finetuning.report import curve_rows, keep_predictions, start_metrics
from bertline.finetuning.runs import Runs


def run(params: Params, artifacts: Artifacts, task: str) -> Mapping[str, Any]:
    """Fine-tune a task with several seeds, from the encoder that another task has fine-tuned."""
    if task not in params.transfer:
        fix = f"Name the task that it is to start from: `transfer: {{{task}: OTHER}}`"
        raise BertlineError(f"no entry for {task!r}", where=f"{artifacts.params}, key transfer", fix=fix)
    other, config = params.transfer[task], params.finetune_for(task)
    if not artifacts.finetuned(other).is_dir():
        fix = f"Make it with `dvc repro finetune@{other}`"
        raise BertlineError(f"no fine-tuned model of {other!r}", where=str(artifacts.finetuned(other)), fix=fix)
    with Runs(artifacts.runs / "transfer" / task) as runs:
        material = load_material(artifacts.task(task), artifacts.finetuned(other), config)
        title = f"transfer@{task} after {other}"
        start = run_start("transfer", runs, material, config, encoder=material.encoder, title=title)
        with atomic_directory(artifacts.predictions(task, "transfer")) as directory:
            keep_predictions([start], directory)
        write_json_rows(artifacts.curve("transfer", task), curve_rows([start]))
        metrics = {"after": other, **start_metrics([start])}
        write_json(artifacts.metrics("transfer", task), metrics)
        runs.discard()
    return metrics


if __name__ == "__main__":
    main(run)
