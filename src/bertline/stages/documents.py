"""Stage documents: data/raw to a corpus of documents in sentences, split into train and validation."""

from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_directory, write_json
from bertline.base.stage import main
from bertline.corpus.documents import build_corpus


def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
    """Read, clean, split and deduplicate the sources; write data/documents and its metrics."""
    # Those of params.yaml alone: the rows of a task that was taken out stay in data/tasks.
    tasks = [artifacts.task(name) for name in params.tasks] if params.documents.decontaminate else []
    for directory in tasks:
        if not directory.is_dir():
            raise BertlineError(
                "the evaluation rows that documents must not share text with are missing",
                where=str(directory),
                fix="Run `dvc repro task`, or set documents.decontaminate: false",
            )
    with atomic_directory(artifacts.documents) as directory:
        metrics = build_corpus(artifacts.raw, directory, params.documents, tasks)
    write_json(artifacts.metrics("documents"), metrics)
    return metrics


if __name__ == "__main__":
    main(run)
