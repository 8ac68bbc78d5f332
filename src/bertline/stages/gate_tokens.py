"""Stage gate_tokens: the vocabulary and the token stores must be whole and of each other."""

from collections.abc import Mapping
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import read_json
from bertline.base.stage import main
from bertline.validation.gate import run_gate, summarize
from bertline.validation.suites import tokens_suite
from bertline.validation.token_store import token_frames

_FIGURES = ("train_tokens", "validation_tokens", "vocab_used", "unigram_entropy", "unigram_accuracy")


def run(params: Params, artifacts: Artifacts) -> Mapping[str, Any]:
    """Check the vocabulary and the token stores."""
    documents, encode = (read_json(artifacts.metrics(stage)) for stage in ("documents", "encode"))
    frames = token_frames(artifacts, documents, encode)
    suite = tokens_suite(params.gate_tokens, params.vocab, params.documents.language_code)
    figures = frames["tokens"].figures(*_FIGURES)
    return summarize(
        run_gate("gate_tokens", artifacts, frames, suite, data=str(artifacts.data / "tokens"), statistics=figures)
    )


if __name__ == "__main__":
    main(run)
