"""Stage gate_corpus: the documents must be whole, clean and in the language, and the splits apart."""

from collections.abc import Mapping
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import read_json
from bertline.base.stage import main
from bertline.validation.corpus import corpus_frames
from bertline.validation.gate import run_gate, summarize
from bertline.validation.suites import corpus_suite

_FIGURES = (
    *("train_documents", "validation_documents", "sentences", "words"),
    *("markup_share", "duplicate_share", "near_duplicate_share"),
)


def run(params: Params, artifacts: Artifacts) -> Mapping[str, Any]:
    """Check the documents."""
    metrics = read_json(artifacts.metrics("documents"))
    frames = corpus_frames(artifacts.documents, params.documents.language_code, metrics)
    figures = frames["corpus"].figures(*_FIGURES)
    suite = corpus_suite(params.gate_corpus, params.documents, len(frames["documents"].table))
    return summarize(
        run_gate("gate_corpus", artifacts, frames, suite, data=str(artifacts.documents), statistics=figures)
    )


if __name__ == "__main__":
    main(run)
