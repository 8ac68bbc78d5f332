"""Stage gate_pretrain: the pre-trained model must have learned from context, or nothing is fine-tuned from it."""

from collections.abc import Mapping
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import read_json
from bertline.base.stage import main
from bertline.validation.curve import pretrain_frames
from bertline.validation.gate import run_gate, summarize
from bertline.validation.suites import pretrain_suite
from bertline.validation.weights import model_frames

_FIGURES = (
    *("steps", "first_loss", "last_loss", "validation_mlm_loss", "unigram_entropy", "gain_over_unigram"),
    *("validation_mlm_accuracy", "unigram_accuracy", "accuracy_over_unigram"),
)


def run(params: Params, artifacts: Artifacts) -> Mapping[str, Any]:
    """Check the training curve, the validation scores and the weights of pre-training."""
    curve = read_json(artifacts.curve("pretrain"))
    if not isinstance(curve, list):
        fix = "Run `dvc repro -f pretrain`"
        raise BertlineError("not a list of points", where=str(artifacts.curve("pretrain")), fix=fix)
    metrics, encode = (read_json(artifacts.metrics(stage)) for stage in ("pretrain", "encode"))
    frames = pretrain_frames(curve, metrics, encode, params.pretrain)
    frames |= model_frames(artifacts.pretrained, artifacts.vocab, metrics)
    suite = pretrain_suite(params.gate_pretrain, params.pretrain)
    figures = frames["pretraining"].figures(*_FIGURES)
    return summarize(
        run_gate("gate_pretrain", artifacts, frames, suite, data=str(artifacts.report("pretrain")), statistics=figures)
    )


if __name__ == "__main__":
    main(run)
