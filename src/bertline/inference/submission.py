"""A submission to GLUE's leaderboard (https://gluebenchmark.com/faq): a zip of TSVs with `index` and `prediction`.

    write_submission(Path("glue.zip"), {"cola": Path("data/tasks/cola")}, {"cola": Predictor(…)})

The server wants every file under its own name and its own labels: 0 and 1, or words for the tasks of inference, and
numbers from 0 to 5 for STS-B. A zip that lacks one is refused: tasks without a model give one answer to all rows.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bertline.base.errors import BertlineError
from bertline.base.files import atomic_file
from bertline.inference.decode import Prediction
from bertline.inference.predictor import Predictor
from bertline.tasks.glue import GLUE, SERVER_LABELS
from bertline.tasks.schema import SUBMISSION, read_rows

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of every file in the zip: the same predictions, the same bytes
_LOWEST, _HIGHEST = 0.0, 5.0  # of STS-B: the server refuses what lies outside


def write_submission(path: Path, tasks: Mapping[str, Path], predictors: Mapping[str, Predictor]) -> dict[str, bool]:
    """Predict the rows without labels of every task, and write the zip atomically.

    Args:
        path: the zip.
        tasks: builder (cola, sst2, …) -> directory of the task.
        predictors: builder -> its model.

    Returns:
        File (CoLA, SST-2, …) -> whether a model answered; False: the same answer to every row.

    Raises:
        BertlineError: a task has no such rows, not as many as the server wants, or a label the server does not know.
    """
    answered: dict[str, bool] = {}
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for builder, benchmark in GLUE.items():
            for file in benchmark.submission_files:
                answered[file] = builder in predictors
                if builder in predictors:
                    lines = _predicted(file, benchmark.rows[file], tasks[builder], predictors[builder])
                else:
                    value = next(iter(SERVER_LABELS[file].values())) if SERVER_LABELS[file] else "0.000"
                    lines = ((str(index), value) for index in range(benchmark.rows[file]))
                archive.writestr(zipfile.ZipInfo(f"{file}.tsv", _EPOCH), _table(lines), zipfile.ZIP_DEFLATED)
    return answered


def _predicted(file: str, wanted: int, task: Path, predictor: Predictor) -> Iterator[tuple[str, str]]:
    rows = read_rows(task, f"{SUBMISSION}/{file}")
    if len(rows) != wanted:
        fix = "Build the task anew with `dvc repro task`"
        where = str(task / SUBMISSION / f"{file}.jsonl")
        raise BertlineError(f"{len(rows):,} rows, and the server wants {wanted:,}", where=where, fix=fix)
    for row, prediction in zip(rows, predictor.predict(rows), strict=True):
        yield row["id"], server_value(file, prediction)


def server_value(file: str, prediction: Prediction) -> str:
    """A prediction as the server writes it.

    Raises:
        BertlineError: it is of a label that the server does not know.
    """
    if not SERVER_LABELS[file]:
        return f"{min(max(prediction['value'], _LOWEST), _HIGHEST):.3f}"
    if prediction["label"] not in SERVER_LABELS[file]:
        known = ", ".join(SERVER_LABELS[file])
        fix = f"Fine-tune the model on the builder of this task; its labels are: {known}"
        raise BertlineError(f"label {prediction['label']!r} is none of {file}", where=f"{file}.tsv", fix=fix)
    return SERVER_LABELS[file][prediction["label"]]


def _table(lines: Iterable[tuple[str, str]]) -> str:
    text = io.StringIO()
    text.write("index\tprediction\n")
    text.writelines(f"{index}\t{value}\n" for index, value in lines)
    return text.getvalue()
