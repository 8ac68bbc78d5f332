"""Stage pretrain: masked language model and next-sentence prediction, from token ids to data/models/pretrained.

Interrupt it as you like: run again, it goes on from its last checkpoint under data/runs/pretrain. With
`pretrain.processes` several processes make one run; on several hosts, torchrun starts them (docs/gpu.md).
"""

from collections.abc import Iterator
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_directory, read_json, sha256_file, write_json, write_json_rows, write_text
from bertline.base.stage import launched, main
from bertline.model.hf import save_model
from bertline.pretraining.initial import trained_length
from bertline.pretraining.model_card import pretraining_card
from bertline.pretraining.replay import describe
from bertline.pretraining.replay import replay as replay_step
from bertline.pretraining.trainer import Trainer, fingerprint
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import VOCAB, copy_tokenizer, read_vocab
from bertline.training.distributed import World, check_gpus, join, launch


def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
    """Pre-train on data/tokens; write the model, its card, metrics and curves."""
    if params.pretrain.processes > 1 and not launched():
        if params.pretrain.device == "cuda":
            check_gpus(params.pretrain.processes)
        launch(params.pretrain.processes, "bertline.stages.pretrain", "--root", str(artifacts.root))
        metrics: dict[str, Any] = read_json(artifacts.metrics("pretrain"))
        return metrics
    with join(params.pretrain.device) as world, world.one_voice(), _trainer(params, artifacts, world) as trainer:
        trainer.train()
        metrics = trainer.metrics()
        if world.main:
            _write(trainer, params, artifacts, metrics)
        # The results are safe. A run that is asked for again is to be trained again, not to be taken from its end.
        trainer.discard_checkpoints()
    return metrics


def replay(params: Params, artifacts: Artifacts, step: int) -> Iterator[str]:
    """Make one step of the run again, from its last checkpoint before it; what there is to see, as lines of text.

    Raises:
        BertlineError: the budget does not reach that step.
    """
    trainer = _trainer(params, artifacts, World())
    if trainer.plan.steps is not None and not 0 <= step < trainer.plan.steps:
        what = f"the run has steps 0 to {trainer.plan.steps - 1}"
        raise BertlineError(what, where=f"--replay {step}", fix="Name one of them")
    return describe(replay_step(trainer, step), read_vocab(artifacts.vocab))


def _trainer(params: Params, artifacts: Artifacts, world: World) -> Trainer:
    train, validation = (TokenStore.open(artifacts.tokens(split)) for split in ("train", "validation"))
    for store in (train, validation):
        _check_vocabulary(store, artifacts)
    name = fingerprint(params.pretrain, train, validation, artifacts.root)
    return Trainer(
        params.pretrain,
        train,
        validation,
        read_vocab(artifacts.vocab),
        artifacts.runs / "pretrain" / name,
        root=artifacts.root,
        world=world,
    )


def _write(trainer: Trainer, params: Params, artifacts: Artifacts, metrics: dict[str, Any]) -> None:
    with atomic_directory(artifacts.pretrained) as temporary:
        save_model(trainer.model, temporary)
        copy_tokenizer(artifacts.vocab, temporary, max_length=trained_length(params.pretrain, artifacts.root))
        measured = trainer.measured
        stores = (measured["train"].store, measured["validation"].store)
        write_text(temporary / "README.md", pretraining_card(params.pretrain, trainer.model.config, *stores, metrics))
    write_json_rows(artifacts.curve("pretrain"), trainer.history.curve)
    write_json_rows(artifacts.report("pretrain") / "validation_curve.json", trainer.history.validation_curve)
    write_json(artifacts.metrics("pretrain"), metrics)


def _check_vocabulary(store: TokenStore, artifacts: Artifacts) -> None:
    if store.meta["vocab_sha256"] != sha256_file(artifacts.vocab / VOCAB):
        what = f"its ids were made with another vocabulary than {artifacts.vocab / VOCAB}"
        raise BertlineError(what, where=str(store.directory), fix="Encode the text anew with `dvc repro encode`")


if __name__ == "__main__":
    main(run)
