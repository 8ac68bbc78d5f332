"""The catalogue of published benchmarks, and how one of them becomes the rows of a task.

    benchmark = BENCHMARKS["cola"]
    rows, submission = benchmark_rows("cola", benchmark, downloads)

Which rows are scored: the official test rows where they have labels (CoNLL-2003, IMDB, ChnSentiCorp), else the official
dev rows (GLUE, SQuAD); either way they are the test rows here. Validation rows, for curves and choices, are the
official ones where these are not scored (CoNLL-2003, ChnSentiCorp), else a tenth of the training rows, or 1,000, and
what belongs with the last of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bertline.base.builders import FILES
from bertline.base.errors import BertlineError
from bertline.base.messages import say
from bertline.base.words import normalised
from bertline.tasks.conll import CONLL
from bertline.tasks.glue import GLUE
from bertline.tasks.hashing import stable_hash
from bertline.tasks.published import Benchmark, Downloads, Parts
from bertline.tasks.reviews import REVIEWS
from bertline.tasks.schema import Row
from bertline.tasks.squad import SQUAD

BENCHMARKS: Mapping[str, Benchmark] = {**GLUE, **SQUAD, **CONLL, **REVIEWS}

VALIDATION_SHARE, VALIDATION_ROWS = 0.1, 1000
"""Of the training rows, cut for validation: this share, or so many if that is less; the last group is cut whole."""


def benchmark_rows(
    task: str, benchmark: Benchmark, downloads: Downloads
) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """Fetch and read a benchmark.

    Returns:
        The rows of each split, and the rows without labels of each file of a submission.

    Raises:
        BertlineError: a file cannot be fetched or read, or there are more or fewer rows than were published.
    """
    files = {role: downloads.path(file, task) for role, file in benchmark.files.items()}
    parts = benchmark.read(files)
    _check_counts(task, benchmark, {**parts.rows, **parts.submission})
    if parts.drop_empty:
        parts = _without_empty(task, parts)
    rows = {split: list(some) for split, some in parts.rows.items()}
    if "validation" not in rows:
        groups = parts.groups or [normalised(row["text"]) for row in rows["train"]]
        rows["train"], rows["validation"] = cut_validation(rows["train"], groups)
    return rows, {name: list(some) for name, some in parts.submission.items()}


def licence_of_rows(builder: str) -> str:
    """A sentence on the licence of a task's rows, for model cards; those of the quickstart come from the corpus."""
    if builder == FILES:
        return "Licence of the task's rows: as their owner says; it is not recorded here."
    if builder in BENCHMARKS:
        return f"Licence of the task's rows: {BENCHMARKS[builder].licence or 'not stated by their publisher'}."
    return "Licence of the task's rows: that of the corpus, of which they are made."


def _check_counts(task: str, benchmark: Benchmark, found: Mapping[str, Sequence[Row]]) -> None:
    for split, count in benchmark.rows.items():
        if len(found[split]) != count:
            what = f"{len(found[split]):,} rows ({split}), where {count:,} were published"
            fix = "They are of another version: remove its files from data/downloads, and correct the mirror"
            raise BertlineError(what, where=f"task {task}, {benchmark.title}", fix=fix)


def _without_empty(task: str, parts: Parts) -> Parts:
    """Without the training rows that have an empty text, which are told of; scored rows are as they were published."""
    train = parts.rows["train"]
    kept = [place for place, row in enumerate(train) if row["text"] and row.get("text_pair") != ""]
    if len(kept) < len(train):
        say(f"task@{task}: left out, for an empty text: {len(train) - len(kept):,} of {len(train):,} training rows")
    rows = {**parts.rows, "train": [train[place] for place in kept]}
    return replace(parts, rows=rows, groups=[parts.groups[place] for place in kept] if parts.groups else ())


def cut_validation(rows: Sequence[Row], groups: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """(training rows, validation rows), each in their order; rows of one group stay together.

    Groups are taken in the order of a hash of theirs, until there are enough rows.
    """
    wanted = min(int(len(rows) * VALIDATION_SHARE), VALIDATION_ROWS)
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    taken: set[str] = set()
    count = 0
    for group in sorted(sizes, key=lambda group: (stable_hash("validation", group), group)):
        if count >= wanted:
            break
        taken.add(group)
        count += sizes[group]
    pairs = list(zip(rows, groups, strict=True))
    return [row for row, group in pairs if group not in taken], [row for row, group in pairs if group in taken]
