"""The peer of benchmarks/finetune.py: Hugging Face's Trainer as run_glue.py and run_qa.py set it up, and its pipeline.

As one gets them: rows padded to the maximum length (`pad_to_max_length`, the default of both scripts), batches in
random order, SDPA. Tuned: padded to the longest of a batch, batches of like lengths (`train_sampling_strategy`), a
process for batches, a glibc that keeps freed memory; texts of the pipeline sorted by length. What of the peer's own
settings helped is told in NOTES.md.
"""

import collections
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers as hf

from benchmarks.finetune_inputs import WARM_UP, Job, finetuned_directory, model_directory, rows_of
from benchmarks.machine import timed
from bertline.base.config import Finetune
from bertline.evaluation.squad import squad_scores
from bertline.tasks.schema import Row, TaskInfo
from bertline.training.device import usable_precision
from bertline.training.optimizer import EPSILON

N_BEST, MAX_ANSWER = 20, 30  # run_qa.py's n_best_size and max_answer_length

hf.utils.logging.set_verbosity_error()
hf.utils.logging.disable_progress_bar()
datasets.disable_progress_bars()
datasets.disable_caching()


def finetune(inputs: Path, job: Job, config: Finetune, *, tuned: bool) -> dict[str, Any]:
    """A run of Trainer, from rows to scores."""
    torch.set_num_threads(config.threads)
    info, train, scored = rows_of(inputs, job)
    setup = _QuestionAnswering if info.kind == "span" else _Classification
    task = setup(info, train, scored)  # the rows as Arrow tables, as load_dataset gives them
    model = model_directory(inputs)
    started = time.perf_counter()
    tokenizer = hf.AutoTokenizer.from_pretrained(model)
    features = task.features(tokenizer, config, padding=not tuned)
    encoded = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer = task.trainer_class(
            model=task.model(model, config),
            args=arguments(folder, config, tuned=tuned),
            train_dataset=features["train"],
            eval_dataset=features["validation"],
            processing_class=tokenizer,
            data_collator=hf.DataCollatorWithPadding(tokenizer) if tuned else hf.default_data_collator,
            compute_metrics=task.compute_metrics,
        )
        trainer.train()
    ended = time.perf_counter()
    return {
        "examples_per_second": config.epochs * (len(train) + len(scored)) / (ended - started),
        "seconds": ended - started,
        "seconds_of_features": encoded - started,
        "score": [row[task.metric] for row in trainer.state.log_history if task.metric in row][-1],
    }


def arguments(folder: str, config: Finetune, *, tuned: bool) -> hf.TrainingArguments:
    """Our recipe in Trainer's words, and the settings that make it fastest."""
    faster: dict[str, Any] = {}
    if tuned:
        faster = {"train_sampling_strategy": "group_by_length", "dataloader_num_workers": 1}
    return hf.TrainingArguments(
        output_dir=folder,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=64,  # as we evaluate
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.clip,
        adam_epsilon=EPSILON,
        optim="adamw_torch_fused",
        bf16=usable_precision("cpu", config.precision) == "bf16",
        use_cpu=True,
        seed=config.seed,
        eval_strategy="epoch",
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **faster,
    )


def _dropout(config: Finetune) -> dict[str, float]:
    return {"hidden_dropout_prob": config.dropout, "attention_probs_dropout_prob": config.dropout}


class _Classification:
    """run_glue.py: texts or pairs, and a class."""

    metric = "eval_accuracy"
    trainer_class = hf.Trainer

    def __init__(self, info: TaskInfo, train: Sequence[Row], scored: Sequence[Row]) -> None:
        self._labels = info.labels
        self._texts = ("text", "text_pair") if info.pair else ("text",)
        self._rows = {"train": _table(train), "validation": _table(scored)}

    def features(self, tokenizer: Any, config: Finetune, *, padding: bool) -> dict[str, datasets.Dataset]:
        def encode(rows: Mapping[str, Sequence[str]]) -> Any:
            made = tokenizer(
                *(rows[column] for column in self._texts),
                padding="max_length" if padding else False,
                max_length=config.max_length,
                truncation=True,
            )
            made["label"] = [self._labels.index(label) for label in rows["label"]]
            return made

        return {split: rows.map(encode, batched=True) for split, rows in self._rows.items()}

    def model(self, directory: Path, config: Finetune) -> Any:
        hf.set_seed(config.seed)
        return hf.AutoModelForSequenceClassification.from_pretrained(
            directory, num_labels=len(self._labels), **_dropout(config)
        )

    @staticmethod
    def compute_metrics(found: hf.EvalPrediction) -> dict[str, float]:
        return {"accuracy": float((found.predictions.argmax(axis=1) == found.label_ids).mean())}


class _QuestionAnswering:
    """run_qa.py: windows of a context, and the best pair of first and last token in them."""

    metric = "eval_f1"

    def __init__(self, _: TaskInfo, train: Sequence[Row], scored: Sequence[Row]) -> None:
        self._scored = scored
        self._rows = {"train": _table(train), "validation": _table(scored)}
        self._windows: datasets.Dataset | None = None
        self.compute_metrics = None

    def features(self, tokenizer: Any, config: Finetune, *, padding: bool) -> dict[str, datasets.Dataset]:
        def windows(rows: Mapping[str, Sequence[Any]]) -> Any:
            return tokenizer(
                [question.lstrip() for question in rows["question"]],
                rows["context"],
                truncation="only_second",
                max_length=config.max_length,
                stride=config.stride,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
                padding="max_length" if padding else False,
            )

        def for_training(rows: Mapping[str, Sequence[Any]]) -> Any:
            made = windows(rows)
            owners, offsets = made.pop("overflow_to_sample_mapping"), made.pop("offset_mapping")
            targets = [
                _answer_tokens(some, made.sequence_ids(place), rows["answers"][owners[place]][0])
                for place, some in enumerate(offsets)
            ]
            made["start_positions"], made["end_positions"] = map(list, zip(*targets, strict=True))
            return made

        def for_scoring(rows: Mapping[str, Sequence[Any]]) -> Any:
            made = windows(rows)
            made["example_id"] = [rows["id"][owner] for owner in made.pop("overflow_to_sample_mapping")]
            for place, some in enumerate(made["offset_mapping"]):
                parts = made.sequence_ids(place)
                made["offset_mapping"][place] = [
                    offset if part == 1 else None for offset, part in zip(some, parts, strict=True)
                ]
            return made

        train, scored = self._rows.values()
        self._windows = scored.map(for_scoring, batched=True, remove_columns=scored.column_names)
        if not padding:
            self._windows = self._windows.select(np.argsort([len(ids) for ids in self._windows["input_ids"]]))
        return {
            "train": train.map(for_training, batched=True, remove_columns=train.column_names),
            "validation": self._windows.remove_columns(["example_id", "offset_mapping"]),
        }

    def model(self, directory: Path, config: Finetune) -> Any:
        hf.set_seed(config.seed)
        return hf.AutoModelForQuestionAnswering.from_pretrained(directory, **_dropout(config))

    def trainer_class(self, **options: Any) -> hf.Trainer:
        """Trainer with the evaluation of trainer_qa.py: answers as texts, and their F1."""
        task = self

        class Trainer(hf.Trainer):
            def _get_eval_sampler(self, eval_dataset: Any) -> Any:
                return torch.utils.data.SequentialSampler(eval_dataset)  # sorted by length already, if at all

            def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
                loader = self.get_eval_dataloader()
                found = self.evaluation_loop(loader, "Evaluation", prediction_loss_only=False).predictions
                answers = answer_texts(task._scored, task._windows, found[:2])
                golds = [[answer["text"] for answer in row["answers"]] for row in task._scored]
                metrics = {"eval_f1": squad_scores(golds, answers)["f1"]}
                self.log(metrics)
                return metrics

        return Trainer(**options)


def _answer_tokens(offsets: Sequence[tuple[int, int]], parts: Sequence[int | None], answer: Mapping[str, Any]) -> Any:
    """First and last token of the answer in a window, or (0, 0): the loops of prepare_train_features."""
    start, end = answer["start"], answer["start"] + len(answer["text"])
    first, last = 0, len(parts) - 1
    while parts[first] != 1:
        first += 1
    while parts[last] != 1:
        last -= 1
    if not (offsets[first][0] <= start and offsets[last][1] >= end):
        return 0, 0
    while first < len(offsets) and offsets[first][0] <= start:
        first += 1
    while offsets[last][1] >= end:
        last -= 1
    return first - 1, last + 1


def answer_texts(rows: Sequence[Row], windows: Any, logits: tuple[np.ndarray, ...]) -> list[str]:
    """The best answer to each question: what postprocess_qa_predictions of utils_qa.py does, without its files."""
    of_row = collections.defaultdict(list)
    for place, owner in enumerate(windows["example_id"]):
        of_row[owner].append(place)
    answers = []
    for row in rows:
        found: list[tuple[float, int, int]] = []
        for place in of_row[row["id"]]:
            start, end = (some[place] for some in logits)
            offsets = windows[place]["offset_mapping"]
            for first in np.argsort(start)[-1 : -N_BEST - 1 : -1].tolist():
                for last in np.argsort(end)[-1 : -N_BEST - 1 : -1].tolist():
                    if max(first, last) >= len(offsets) or offsets[first] is None or offsets[last] is None:
                        continue
                    if last < first or last - first + 1 > MAX_ANSWER:
                        continue
                    found.append((start[first] + end[last], offsets[first][0], offsets[last][1]))
        best = max(found, default=(0.0, 0, 0))
        answers.append(row["context"][best[1] : best[2]])
    return answers


def _table(rows: Sequence[Row]) -> datasets.Dataset:
    return datasets.Dataset.from_list(list(rows))


def predict(inputs: Path, job: Job, config: Finetune, *, tuned: bool) -> dict[str, Any]:
    """Texts to predictions, the model in memory; the score is the mean probability of the first label."""
    torch.set_num_threads(config.threads)
    directory = finetuned_directory(inputs, job)
    info, _, rows = rows_of(inputs, job)
    kind = torch.bfloat16 if usable_precision("cpu", job.precision) == "bf16" else torch.float32
    answer = hf.pipeline("text-classification", model=str(directory), device="cpu", dtype=kind)
    texts = [row["text"] for row in rows]
    settings = {"batch_size": 32, "top_k": None, "truncation": True, "max_length": config.max_length}
    answer(texts[:WARM_UP], **settings)
    predictions, seconds = timed(lambda: answer(sorted(texts, key=len) if tuned else texts, **settings))
    first = [label["score"] for some in predictions for label in some if label["label"] == info.labels[0]]
    return {"examples_per_second": len(rows) / seconds, "seconds": seconds, "score": sum(first) / len(first)}
