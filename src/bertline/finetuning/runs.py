"""The finished runs of a task, kept on disk until its stage has succeeded: whatever kills it, no seed is trained twice.

    with Runs(artifacts.runs / "finetune" / task) as runs:
        run = runs.train(material, replace(config, seed=3), encoder=material.encoder, title="finetune@rte seed 3")
        …                                   # run.history, run.predictions("test"), run.model
        runs.discard()

A run is named by all that it depends on, so that the same run asked for twice, by a start and by the tuning of it, is
trained once; runs of other options are not taken for it. It is there whole or not at all; one that was damaged or
altered since is known by its hashes, and made again.
"""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from bertline.base.config import Finetune
from bertline.base.errors import BertlineError
from bertline.base.files import (
    atomic_directory,
    exclusive_lock,
    read_json,
    scratch_directory,
    sha256_file,
    sha256_json,
    write_json,
)
from bertline.base.messages import say
from bertline.evaluation.predictions import write_predictions
from bertline.finetuning.material import Material
from bertline.finetuning.save import save_finetuned
from bertline.finetuning.threshold import fitted_settings
from bertline.finetuning.trainer import History, finetune
from bertline.inference.predictor import predict_features

_HISTORY, _MODEL, _HASHES = "history.json", "model", "sha256.json"
_PROTOCOL = ("seeds", "tune", "baseline_checkpoint")
"""Options that say which runs there are, not how one goes."""


@dataclass(frozen=True)
class Run:
    """A finished run on disk.

    Attributes:
        directory: history.json, the predictions SPLIT.jsonl, sha256.json of them and, where asked for, model/.
    """

    directory: Path

    @cached_property
    def history(self) -> History:
        """What happened in it."""
        value: dict[str, Any] = read_json(self.directory / _HISTORY)
        found: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
        return History(**found)

    @property
    def model(self) -> Path:
        """The fine-tuned model, as save_finetuned writes it."""
        return self.directory / _MODEL

    def predictions(self, split: str) -> Path:
        """Predictions of the rows of a test split, as evaluation.predictions writes them."""
        return self.directory / f"{split}.jsonl"


class Runs:
    """The kept runs of one task; a context manager, for one process at a time.

    Args:
        directory: of the task.

    Raises:
        BertlineError: on entering, when another process fine-tunes this task.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held = ExitStack()

    def __enter__(self) -> "Runs":
        lock = self._directory.with_name(f"{self._directory.name}.lock")
        self._held.enter_context(exclusive_lock(lock, f"fine-tuning of {self._directory.name}"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    def train(
        self, material: Material, config: Finetune, *, encoder: Path | None, title: str = "", keep_model: bool = False
    ) -> Run:
        """Make a run, unless it is there already.

        Args:
            material: what it reads.
            config: the recipe, with its seed.
            encoder: directory of the BERT that it starts from; None: random weights.
            title: names the run in progress lines.
            keep_model: keep the model too, not its predictions alone.

        Raises:
            BertlineError: as finetune.
        """
        run = Run(self._directory / _name(material, config, encoder))
        if run.directory.is_dir() and (run.model.is_dir() or not keep_model):
            if _as_written(run.directory):
                return run
            say(f"{run.directory}: is not as it was written; this run is made again")
        model, history = finetune(material.data, material.shape, config, encoder=encoder, title=title)
        model.to(torch.device(config.device))
        task, settings = material.data.task, fitted_settings(model, material.data)
        with atomic_directory(run.directory) as directory:
            made = Run(directory)
            if keep_model:
                save_finetuned(made.model, model, material.data, settings, tokenizer_source=material.encoder)
            for split, (rows, features) in material.test.items():
                predictions = predict_features(model, task, rows, features, settings)
                write_predictions(made.predictions(split), task.kind, rows, predictions)
            write_json(directory / _HISTORY, asdict(history))
            write_json(directory / _HASHES, _hashes(directory))
        return run

    def discard(self) -> None:
        """Remove all runs of the task, once the results are safe: a stage that is asked for again trains again."""
        if self._directory.is_dir():
            # At once: of what is removed file by file, a kill would leave runs that look finished.
            with scratch_directory(self._directory) as aside:
                self._directory.replace(aside / "runs")


def _as_written(directory: Path) -> bool:
    try:
        return bool(read_json(directory / _HASHES) == _hashes(directory))
    except BertlineError:
        return False


def _hashes(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file() and path != directory / _HASHES]
    return {path.relative_to(directory).as_posix(): sha256_file(path) for path in files}


def _name(material: Material, config: Finetune, encoder: Path | None) -> str:
    recipe = {key: value for key, value in asdict(config).items() if key not in _PROTOCOL}
    named = {"recipe": recipe, "content": material.content, "encoder": encoder is not None}
    return f"{config.seed}-{sha256_json(named)[:16]}"
