"""What the sides of benchmarks/finetune.py read: rows, a model to start from, and models to answer with.

write_inputs(folder, ["sst2"], …)       # once; then, in any process:
info, train, scored = rows_of(folder, JOBS["sst2"])
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bertline.base.artifacts import Artifacts
from bertline.base.config import Finetune, Precision, Task, TaskData
from bertline.base.files import read_json, write_json
from bertline.corpus.sources import Places, fetch_packed
from bertline.finetuning.data import prepare_data
from bertline.finetuning.save import save_finetuned
from bertline.inference.heads import build_model
from bertline.model.bert import BertConfig, BertForPreTraining, initialize
from bertline.model.hf import load_encoder, read_config, save_model
from bertline.tasks.benchmarks import BENCHMARKS
from bertline.tasks.catalog import build_task, cap_rows
from bertline.tasks.schema import Row, TaskInfo, read_rows
from bertline.tokens.counting import count_words
from bertline.tokens.tokenizer import load_tokenizer, write_tokenizer
from bertline.tokens.wordpiece import train_vocab


@dataclass(frozen=True)
class Job:
    """What is measured: a builder's rows, and how.

    Attributes:
        builder: of the catalogue.
        max_length, stride: as the scripts of transformers have them.
        train_rows, scored_rows: at most, chosen by hash; 0: all.
        inference: whether texts are answered, and nothing is trained.
        precision: of answers, where the processor has it; training has the recipe's.
    """

    builder: str
    max_length: int = 128
    stride: int = 32
    train_rows: int = 0
    scored_rows: int = 0
    inference: bool = False
    precision: Precision = "fp32"


WARM_UP = 64  # texts that are answered before the clock starts
JOBS = {
    "sst2": Job("sst2", train_rows=10_000),
    "rte": Job("rte"),
    "squad_44": Job("squad_44", max_length=384, stride=128),
    "predict_sst2": Job("sst2", train_rows=10_000, inference=True),
    "predict_imdb": Job("imdb", max_length=512, inference=True),
    "predict_sst2_bf16": Job("sst2", train_rows=10_000, inference=True, precision="bf16"),
    "predict_imdb_bf16": Job("imdb", max_length=512, inference=True, precision="bf16"),
}


def write_inputs(
    folder: Path, jobs: Sequence[Job], config: Finetune, random_model: tuple[str, int], model: Path | None
) -> None:
    """Fetch and write everything.

    Args:
        folder: an empty one.
        jobs: what is measured.
        config: the recipe, for what goes with a model that answers.
        random_model: name of a shape and size of a vocabulary, learned from the tasks' texts.
        model: a BERT in Hugging Face format to start from instead.
    """
    for job in {job.builder: job for job in jobs}.values():
        _write_rows(folder, job)
    directory = model_directory(folder)
    if model:
        directory.symlink_to(model.resolve())
    else:
        directory.mkdir()
        _write_random_model(directory, *random_model, [rows_of(folder, job)[1] for job in jobs])
    for job in jobs:
        if job.inference:
            _write_finetuned(folder, job, config)


def _write_rows(folder: Path, job: Job) -> None:
    artifacts = Artifacts(folder)
    task = Task(BENCHMARKS[job.builder].kind, TaskData(builder=job.builder))
    info = build_task(job.builder, task, artifacts, partial(fetch_packed, places=Places.of(artifacts)))
    chosen = [
        cap_rows(rows, limit or len(rows), info.kind)
        for split, limit in (("train", job.train_rows), ("test", job.scored_rows))
        for rows in [read_rows(artifacts.task(job.builder), split)]
    ]
    write_json(_rows_file(folder, job), chosen)


def _write_random_model(directory: Path, shape: str, vocab_size: int, rows: Sequence[Sequence[Row]]) -> None:
    columns = ("text", "text_pair", "question", "context")
    texts = {row[column] for some in rows for row in some for column in columns if column in row}
    vocab = train_vocab(count_words(sorted(texts), lowercase=True), size=vocab_size)
    write_tokenizer(vocab, directory, lowercase=True)
    model = BertForPreTraining(BertConfig.named(shape, vocab_size=len(vocab)))
    initialize(model, seed=0)
    save_model(model, directory)


def _write_finetuned(folder: Path, job: Job, config: Finetune) -> None:
    """A model as stage finetune writes it, its head as it is before training."""
    model, (info, train, scored) = model_directory(folder), rows_of(folder, job)
    fitting = replace(config, max_length=job.max_length)
    data = prepare_data(info, train[:100], scored[:100], load_tokenizer(model), fitting)
    network = build_model(info, read_config(model))
    initialize(network, seed=0)
    load_encoder(network, model)
    save_finetuned(finetuned_directory(folder, job), network.eval(), data, data.settings, tokenizer_source=model)


def model_directory(folder: Path) -> Path:
    """The model that all start from."""
    return folder / "model"


def finetuned_directory(folder: Path, job: Job) -> Path:
    """The model that answers."""
    return folder / f"answers-{job.builder}"


def rows_of(folder: Path, job: Job) -> tuple[TaskInfo, list[Row], list[Row]]:
    """The task, its training rows, and the rows that are scored."""
    train, scored = read_json(_rows_file(folder, job))
    return TaskInfo.read(Artifacts(folder).task(job.builder)), train, scored


def _rows_file(folder: Path, job: Job) -> Path:
    return folder / f"rows-{job.builder}.json"
