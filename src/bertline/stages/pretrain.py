"""Stage pretrain: masked language model and next-sentence prediction, from token ids to data/models/pretrained.

Interrupt it as you like: run again, it goes on from its last checkpoint under data/runs/pretrain.
"""

from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_directory, sha256_file, write_json, write_json_rows, write_text
from bertline.base.stage import main
from bertline.model.hf import save_model
from bertline.pretraining.model_card import pretraining_card
from bertline.pretraining.trainer import Trainer, fingerprint
from bertline.tokens.encoder import VOCAB, copy_tokenizer, read_vocab
from bertline.tokens.store import TokenStore


def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
    """Pre-train on data/tokens; write the model, its card, metrics and curves."""
    config = params.pretrain
    vocabulary = read_vocab(artifacts.vocab)
    train, validation = (TokenStore.open(artifacts.tokens(split)) for split in ("train", "validation"))
    for store in (train, validation):
        _check_vocabulary(store, artifacts)
    directory = artifacts.runs / "pretrain" / fingerprint(config, train, validation)
    with Trainer(config, train, validation, vocabulary, directory) as trainer:
        trainer.train()
        metrics = trainer.metrics()
        with atomic_directory(artifacts.pretrained) as temporary:
            save_model(trainer.model, temporary)
            copy_tokenizer(artifacts.vocab, temporary)
            card = pretraining_card(config, trainer.model.config, train, validation, metrics)
            write_text(temporary / "README.md", card)
        write_json_rows(artifacts.curve("pretrain"), trainer.history.curve)
        write_json_rows(artifacts.report("pretrain") / "validation_curve.json", trainer.history.validation_curve)
        write_json(artifacts.metrics("pretrain"), metrics)
        # The results are safe. A run that is asked for again is to be trained again, not to be taken from its end.
        trainer.discard_checkpoints()
    return metrics


def _check_vocabulary(store: TokenStore, artifacts: Artifacts) -> None:
    if store.meta["vocab_sha256"] != sha256_file(artifacts.vocab / VOCAB):
        what = f"its ids were made with another vocabulary than {artifacts.vocab / VOCAB}"
        raise BertlineError(what, where=str(store.directory), fix="Encode the text anew with `dvc repro encode`")


if __name__ == "__main__":
    main(run)
