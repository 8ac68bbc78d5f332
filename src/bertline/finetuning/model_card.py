"""The model card of a fine-tuned model: README.md in the form of the Hugging Face Hub, without times or places.

It says what is known when training ends. Scores on the test rows, the baselines beside them, carbon and lineage come
later, and stand in the card that stage register gives the same model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from bertline.base.config import Finetune
from bertline.evaluation.scoreboard import COLUMNS, metric_name
from bertline.evaluation.seeds import spread
from bertline.finetuning.protocol import Start
from bertline.inference.heads import HEADS, PIPELINE_TAGS, USES, in_markdown, reading
from bertline.tasks.benchmarks import licence_of_rows
from bertline.tasks.schema import TaskInfo
from bertline.training.device import usable_precision

_CARD = """---
library_name: transformers
pipeline_tag: {pipeline_tag}
tags:
- bert
- bertline
---

# {name}: BERT, {layers} layers of {hidden_size}, fine-tuned

A BERT (Devlin et al. 2019) that {use}.{labels}

```python
from pathlib import Path

from bertline.inference.predictor import Predictor

predictor = Predictor(Path("path/to/this/directory"))
```

In transformers it is a `{hugging_face_class}`. `Predictor` alone reads inference.json, which has what a prediction
needs beside the network.

## How it was trained

- Rows: {train:,} for training and {validation:,} for validation; {source}. {licence}
- Start: the encoder that the same pipeline run has pre-trained, and a new head.
- {recipe}.
- {seeds}

## How well it does on its validation rows

| metric | this model | {heading} |
|---|---{columns}|
{scores}

Medians over the seeds, with the least and the most.{chosen_later} The scores on the test rows, with \
intervals and baselines, are in
data/reports/report/scoreboard.md of the run, and in the card that the model has in the MLflow registry.

## What it is for

Text like its training rows, of which it {reading}; on other text it can do much worse.
What its rows and the text of its pre-training get wrong, it does too; no study of bias was made. It is no basis for
decisions about people.
"""

_CHOSEN_LATER = """ They are of the network as its training
ended. Its longest answer, and when it gives none, were chosen on these rows after that (inference.json): the model may
do better on them."""


def finetuned_card(starts: Sequence[Start], config: Finetune, builder: str) -> str:
    """The card of the kept model of the first start.

    Args:
        starts: as protocol.run_all makes them.
        config: the recipe of the first.
        builder: of the task's rows, by which their licence is known.
    """
    kept, material = starts[0], starts[0].material
    info = material.data.task
    return _CARD.format(
        name=info.name,
        pipeline_tag=PIPELINE_TAGS[info.kind],
        layers=material.shape.layers,
        hidden_size=material.shape.hidden_size,
        use=USES[info.kind],
        labels=_labels(info),
        hugging_face_class=HEADS[info.kind].hugging_face_class,
        train=info.rows["train"],
        validation=info.rows["validation"],
        source=info.source,
        licence=licence_of_rows(builder),
        recipe=", ".join(f"{name} {value}" for name, value in _recipe(config)),
        seeds=_seeds(sorted(kept.runs), kept.kept_seed),
        heading=" | ".join(COLUMNS[start.name] for start in starts),
        columns="|---" * len(starts),
        scores="\n".join(_score_rows(starts)),
        chosen_later=_CHOSEN_LATER if info.kind == "span" else "",
        reading=reading(info.kind, config.max_length),
    )


def _labels(info: TaskInfo) -> str:
    return f"\n\nLabels: {in_markdown(info.labels)}." if info.labels else ""


def _seeds(run: Sequence[int], kept: int) -> str:
    if len(run) == 1:
        return f"One seed was run, {kept}."
    which = f"This is seed {kept}, the one with the median score on the validation rows."
    return f"The seeds from {run[0]} to {run[-1]} were run. {which}"


def _recipe(config: Finetune) -> Iterator[tuple[str, object]]:
    """The options that say how a run went; what is off is left out."""
    used = {"precision": usable_precision(config.device, config.precision)}
    for name, value in (asdict(config) | used).items():
        off = not value or (name, value) == ("layer_decay", 1)
        if name not in ("seed", "seeds", "tune", "baseline_checkpoint", "device", "threads") and not off:
            yield name.replace("_", " "), value


def _score_rows(starts: Sequence[Start]) -> Iterator[str]:
    for metric in starts[0].kept.history.scores:
        cells = [f"{starts[0].kept.history.scores[metric]:.3f}"]
        for start in starts:
            found = spread([run.history.scores[metric] for run in start.runs.values()])
            cells.append(f"{found.median:.3f} ({found.least:.3f} to {found.most:.3f})")
        yield f"| {metric_name(metric)} | {' | '.join(cells)} |"
