"""The catalogue of tasks: which builders there are, and how a task of params.yaml becomes `data/tasks/T/`.

Builders are "files" (the user's own, own_files.py), the benchmarks (benchmarks.py), and docs_*, made from the corpus.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bertline.base.artifacts import Artifacts
from bertline.base.builders import FILES
from bertline.base.config import Kind, Task
from bertline.base.errors import BertlineError
from bertline.tasks import docs_pair, docs_params, docs_qa, docs_topic, own_files
from bertline.tasks.benchmarks import BENCHMARKS, benchmark_rows
from bertline.tasks.docs import RAW_FILE, Doc, Split, read_docs
from bertline.tasks.hashing import stable_hash
from bertline.tasks.published import Downloads, Fetch
from bertline.tasks.rows import check_several_labels, targets
from bertline.tasks.schema import SPLITS, Row, Rows, TaskInfo, write_task

DOCS: Mapping[str, Callable[[Sequence[Doc]], dict[Split, list[Row]]]] = {
    "docs_topic": docs_topic.build,
    "docs_pair": docs_pair.build,
    "docs_params": docs_params.build,
    "docs_qa": docs_qa.build,
}


@dataclass(frozen=True)
class _Built:
    """What a builder makes: rows by split, where they come from, and what a benchmark says beside."""

    rows: Rows
    source: str
    submission: Rows = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    positive: str = ""


def build_task(name: str, task: Task, artifacts: Artifacts, fetch: Fetch) -> TaskInfo:
    """Make the rows of a task, check them, and write `artifacts.task(name)` atomically.

    Args:
        name: the T of task@T.
        task: its section of params.yaml.
        artifacts: where the raw data are and the rows go; paths of the user's files are relative to its root.
        fetch: gets the files of a benchmark.

    Raises:
        BertlineError: a file cannot be fetched, or rows are wrong; nothing is written then.
    """
    built = _build(name, task, artifacts, fetch)
    rows = built.rows
    if task.data.max_train_rows:
        rows = _capped(name, task, rows, artifacts)
    _check_enough(name, task, rows, artifacts)
    info = TaskInfo.of(name, task.kind, rows, built.source, metrics=built.metrics, positive=built.positive)
    write_task(artifacts.task(name), info, rows, built.submission)
    return info


def _build(name: str, task: Task, artifacts: Artifacts, fetch: Fetch) -> _Built:
    builder = task.data.builder
    downloads = Downloads(artifacts.downloads, fetch)
    if builder == FILES:
        files = [file for split in SPLITS if (file := str(getattr(task.data, split)))]
        return _Built(own_files.build(name, task, artifacts, downloads), ", ".join(files))
    if builder in BENCHMARKS:
        benchmark = BENCHMARKS[builder]
        rows, submission = benchmark_rows(name, benchmark, downloads)
        return _Built(rows, benchmark.source, submission, benchmark.metrics, benchmark.positive)
    parts = DOCS[builder](read_docs(artifacts.raw))
    return _Built({str(split): rows for split, rows in parts.items()}, f"{builder} of {RAW_FILE}")


def _capped(name: str, task: Task, rows: Rows, artifacts: Artifacts) -> Rows:
    """With `max_train_rows` of the training rows.

    Raises:
        BertlineError: they lack a label of other rows, which more training rows would have.
    """
    train, count = rows["train"], task.data.max_train_rows
    kept = cap_rows(train, count, task.kind)
    others = [row for split, some in rows.items() if split != "train" for row in some]
    lost = (_labels(others, task.kind) & _labels(train, task.kind)) - _labels(kept, task.kind)
    if not lost:
        return {**rows, "train": kept}
    what = f"the training rows that stay lack label {min(lost)!r:.60}, which validation or test rows have"
    ranked, least = _ranked(train, task.kind), count
    while lost:
        lost -= targets(train[ranked[least]], task.kind)
        least += 1
    where = f"{artifacts.params}, key tasks.{name}.data.max_train_rows"
    raise BertlineError(what, where=where, fix=f"Raise max_train_rows to at least {least}")


def _labels(rows: Sequence[Row], kind: Kind) -> set[str]:
    return {label for row in rows for label in targets(row, kind)}


def cap_rows(rows: Sequence[Row], count: int, kind: Kind) -> list[Row]:
    """`count` of the rows (or all), chosen by a hash of their ids, in their own order.

    Rows that bring a label not met yet go first, so that a small cap loses no class.
    """
    return [rows[place] for place in sorted(_ranked(rows, kind)[:count])]


def _ranked(rows: Sequence[Row], kind: Kind) -> list[int]:
    """Places of the rows, in the order in which `cap_rows` takes them."""
    ranked = sorted(range(len(rows)), key=lambda place: (stable_hash("cap", rows[place]["id"]), place))
    met: set[str] = set()
    first: list[int] = []
    for place in ranked:
        if not targets(rows[place], kind) <= met:
            met |= targets(rows[place], kind)
            first.append(place)
    return list(dict.fromkeys([*first, *ranked]))


def _check_enough(name: str, task: Task, rows: Rows, artifacts: Artifacts) -> None:
    """Refuse an empty split, and training rows that all have one answer."""
    where = f"{artifacts.params}, key tasks.{name}.data"
    labels = len(_labels(rows["train"], task.kind))
    # A text that was taken for the label makes as many labels as rows, of which none can be spared.
    there = f"{len(rows['train']):,} for training" + (f" of {labels:,} labels" if labels else "")
    for split in SPLITS:
        if not rows[split]:
            fix = f"Name a file of them (tasks.{name}.data.{split}), or give more training rows of each label"
            fix = fix if task.data.builder == FILES else "Take more packages into download.sources"
            raise BertlineError(f"no {split} rows beside {there}", where=where, fix=fix)
    check_several_labels(rows["train"], task.kind, where)
