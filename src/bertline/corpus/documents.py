"""The corpus from raw files, in three passes of bounded memory: map, decide, write.

    metrics = build_corpus(Path("data/raw"), directory, config, tasks=[Path("data/tasks/rte")])

Map: blocks of documents are cleaned, split into sentences and fingerprinted by any number of workers (corpus/block.py),
each into a part file. Decide: from the fingerprints alone, which documents are copies, nearly copies, or share text
with an evaluation row; the first of its kind stays. Write: the parts are read again in order and become the shards of
each split. Beside them: stats.json (what each rule took away) and dropped.jsonl (each document that was a copy or
shared text, and what with).
"""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from bertline.base.config import Documents
from bertline.base.errors import BertlineError
from bertline.base.files import scratch_directory, write_json
from bertline.corpus.block import Plan, blocks, process
from bertline.corpus.contamination import describe, write_index
from bertline.corpus.engine import engine
from bertline.corpus.parquet import SPLITS, DocumentWriter
from bertline.corpus.readers import read_documents
from bertline.corpus.verdicts import CONTAMINATED, KEPT, RULES, Corpus, Verdicts, decide

STATS, DROPPED = "stats.json", "dropped.jsonl"


def build_corpus(raw: Path, directory: Path, config: Documents, tasks: Sequence[Path] = ()) -> dict[str, Any]:
    """Write the splits into `directory` and return what they hold and what each rule dropped.

    Args:
        raw: data/raw.
        directory: where the shards go; parts are written to a scratch folder beside it.
        config: section documents.
        tasks: directories of tasks whose validation and test rows no document may share text with.

    Raises:
        BertlineError: a source or a task's rows cannot be read, or a split stays empty.
    """
    with scratch_directory(directory.parent / "parts") as scratch:  # what git and DVC ignore
        index = scratch / "evaluation.npy" if tasks and config.decontaminate else None
        grams = write_index(tasks, index) if index is not None else 0
        plan = Plan(config, scratch, index if grams else None)
        with engine(config.engine) as spread:
            corpus = Corpus.gather(scratch, spread(partial(process, plan=plan), blocks(read_documents(raw))))
        verdicts = decide(corpus, config)
        metrics = _metrics(corpus, verdicts) | {"evaluation_ngrams": grams}
        _refuse_empty(raw, metrics)
        _write(directory, plan, corpus, verdicts, _origins(tasks, index, verdicts))
    write_json(directory / STATS, metrics)
    return metrics


def _origins(tasks: Sequence[Path], index: Path | None, verdicts: Verdicts) -> dict[int, dict[str, str]]:
    """Of each contaminated document: the task, split and row it shares text with, and the text."""
    if index is None or not verdicts.telling:
        return {}
    origins = describe(tasks, np.load(index, mmap_mode="r"), sorted(set(verdicts.telling.values())))
    return {document: vars(origins[place]) for document, place in verdicts.telling.items()}


def _metrics(corpus: Corpus, verdicts: Verdicts) -> dict[str, Any]:
    kept = verdicts.rules == KEPT
    held_out = verdicts.validation
    dropped = corpus.counts + Counter(
        {f"documents_{name}": int((verdicts.rules == rule).sum()) for rule, name in RULES.items()}
    )
    return {
        "train_documents": int((kept & ~held_out).sum()),
        "validation_documents": int((kept & held_out).sum()),
        "train_sentences": int(corpus.sentences[kept & ~held_out].sum()),
        "validation_sentences": int(corpus.sentences[kept & held_out].sum()),
        "characters": int(corpus.characters[kept].sum()),
        "dropped": {name: count for name, count in sorted(dropped.items()) if count},
    }


def _write(directory: Path, plan: Plan, corpus: Corpus, verdicts: Verdicts, origins: dict[int, dict[str, str]]) -> None:
    """The parts, in order, to the shards of each split; what was dropped here, to its list."""
    with ExitStack() as stack:
        writers = [stack.enter_context(DocumentWriter(directory, split)) for split in SPLITS]
        listing = stack.enter_context((directory / DROPPED).open("w", encoding="utf-8"))
        for number, (start, end) in enumerate(corpus.spans):
            path = plan.part(number)
            documents = pa.ipc.open_file(path.read_bytes()).read_all()
            path.unlink()
            kept = verdicts.rules[start:end] == KEPT
            held_out = verdicts.validation[start:end]
            for writer, chosen in zip(writers, (kept & ~held_out, kept & held_out), strict=True):
                places = np.flatnonzero(chosen)
                writer.add(documents.take(places), corpus.characters[start:end][places])
            _list(listing, documents, start, corpus, verdicts, origins)


def _list(
    listing: IO[str], documents: pa.Table, start: int, corpus: Corpus, verdicts: Verdicts, origins: dict[int, Any]
) -> None:
    """One line for each dropped document of a part."""
    gone = np.flatnonzero(verdicts.rules[start : start + len(documents)] != KEPT)
    rows = documents.select(["id", "source", "title"]).take(gone).to_pylist()
    for place, row in zip((gone + start).tolist(), rows, strict=True):
        rule = int(verdicts.rules[place])
        with_what = origins[place] if rule == CONTAMINATED else {"of": corpus.keys[verdicts.of[place]].tobytes().hex()}
        listing.write(json.dumps(row | {"rule": RULES[rule]} | with_what, ensure_ascii=False) + "\n")


def _refuse_empty(raw: Path, metrics: dict[str, Any]) -> None:
    train, validation = metrics["train_documents"], metrics["validation_documents"]
    if train + validation == 0:
        largest = Counter(metrics["dropped"]).most_common(3)
        rules = ", ".join(f"{count:,} {rule.replace('_', ' ')}" for rule, count in largest)
        what = f"the corpus is empty (dropped: {rules})" if rules else "the corpus is empty: no text in the sources"
        fix = "Add text to download.sources, or lower documents.min_characters and documents.min_sentences"
        raise BertlineError(what, where=str(raw), fix=fix)
    if train == 0 or validation == 0:
        what = f"{train + validation} documents do not fill both splits ({train} train, {validation} validation)"
        fix = "Add documents (an empty line separates them), or change documents.validation_fraction"
        raise BertlineError(what, where=str(raw), fix=fix)
