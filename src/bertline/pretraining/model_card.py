"""The model card of a pre-trained model: README.md in the form of the Hugging Face Hub, without times or places."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertline.base.config import Pretrain, SecondPhase
from bertline.model.bert import BertConfig
from bertline.tokens.store import TokenStore

Figures = Mapping[str, Any]

_CARD = """---
library_name: transformers
pipeline_tag: fill-mask
tags:
- bert
- bertline
---

# BERT-{size}, {layers} layers of {hidden_size}, pre-trained {from_where}

A BERT encoder (Devlin et al. 2019) with its pre-training heads: {parameters:,} parameters, {vocab_size:,} WordPiece
entries.

```python
from transformers import AutoModelForPreTraining, AutoTokenizer

model = AutoModelForPreTraining.from_pretrained("path/to/this/directory")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/directory")
```

## How well it predicts

| documents | MLM loss (nats) | MLM accuracy | pseudo-perplexity | NSP loss (nats) | NSP accuracy |
|---|---|---|---|---|---|
{scores}

Measured on {evaluation_batches} batches of each with the final weights, {mask_rate} of the tokens masked;
pseudo-perplexity (Salazar et al. 2020) on {perplexity_sequences} sequences, their tokens masked one by one.
Validation documents were never trained on. The interval is a bootstrap over the validation batches: it tells how sure
the figure is for this model, not how far another seed would come.

## How it was trained

- Text: {train_tokens:,} tokens in {train_documents:,} documents; {validation_tokens:,} tokens held out{upsampled}.
- Objective: {objective}, {masked}{positions}sequences of {sequence_length} tokens, \
{ramp}{batch_size} a step{second_phase}; {steps:,} steps,
  {tokens:,} tokens in all (padding included).
- Start: {start}.
- {optimizer_name}, peak learning rate {learning_rate:g}, {schedule} schedule with {warmup} warm-up, weight decay
  {weight_decay:g}, gradient norm clipped at {clip:g}, dropout {dropout:g}, seed {seed}, {precision}{averaged}.
- Vocabulary (sha256 of vocab.txt): `{vocab_sha256}`.

## What it is for

Fine-tuning on a task in the language and domain of its text. It repeats what that text contains, errors and prejudice
included; it is no source of facts, and its sentences for `[MASK]` have not been reviewed by anyone.
"""

_OPTIMIZERS = {
    "adamw": "AdamW",
    "lamb": "LAMB",
    "muon": "Muon, and AdamW for embeddings, the next-sentence head, biases and norms",
}
_STARTS = {
    "ppmi": "token embeddings from the text's own co-occurrences (PPMI, truncated SVD), output bias from frequencies",
    "normal": "random weights",
}


def pretraining_card(
    config: Pretrain, shape: BertConfig, train: TokenStore, held_out: TokenStore, metrics: Figures
) -> str:
    """The card, from the run's options and its metrics.json."""
    return _CARD.format(
        size=Path(config.init_from).name or config.model,
        from_where="further" if config.init_from else "from scratch",
        optimizer_name=_OPTIMIZERS[config.optimizer],
        layers=shape.layers,
        hidden_size=shape.hidden_size,
        vocab_size=shape.vocab_size,
        scores="\n".join(_score_rows(metrics)),
        train_tokens=train.meta["tokens"],
        train_documents=train.meta["documents"],
        validation_tokens=held_out.meta["tokens"],
        vocab_sha256=train.meta["vocab_sha256"],
        upsampled="".join(f"; an epoch has {name} {times} times" for name, times in config.upsample.items()),
        second_phase=_second_phase(config.second_phase),
        masked="whole words masked, " if config.whole_word else "",
        positions="" if shape.positions == "learned" else f"{shape.positions} positions, ",
        ramp=f"from {config.ramp_from} to " if config.ramp_from else "",
        averaged=f"; weights averaged over the last {_percent(config.average_share)}" if config.average_share else "",
        start=f"the weights of {config.init_from}" if config.init_from else _STARTS[config.embedding_init],
        parameters=metrics["parameters"],
        steps=metrics["steps"],
        precision=metrics["precision"],
        tokens=metrics["tokens"],
        mask_rate=_percent(config.mask_rate),
        warmup=_percent(config.warmup),
        **{key: getattr(config, key) for key in _OPTIONS},
    )


def _second_phase(phase: SecondPhase) -> str:
    if not phase.share:
        return ""
    return f"; in the last {_percent(phase.share)}, of {phase.sequence_length}, {phase.batch_size} a step"


def _percent(share: float) -> str:
    """A share as it was configured: a warm-up of 0.0025 is none of 0 %."""
    return f"{100 * share:.4g}%"


_OPTIONS = (
    *("evaluation_batches", "objective", "sequence_length", "batch_size", "learning_rate", "schedule"),
    *("weight_decay", "clip", "dropout", "seed", "perplexity_sequences"),
)


def _score_rows(metrics: Figures) -> Iterator[str]:
    columns = {
        "mlm_loss": "{:.3f}",
        "mlm_accuracy": "{:.1%}",
        "pseudo_perplexity": "{:.1f}",
        "nsp_loss": "{:.3f}",
        "nsp_accuracy": "{:.1%}",
    }
    for name, key in (("training", "train"), ("validation", "validation"), ("validation, 95 % interval", "intervals")):
        edges = {column: _edges(metrics[key].get(column)) for column in columns}
        cells = (" to ".join(form.format(edge) for edge in edges[column]) or "-" for column, form in columns.items())
        yield f"| {name} | {' | '.join(cells)} |"


def _edges(figure: Any) -> list[float]:
    """The ends of an interval; of a single figure, that one; none where there is no figure."""
    return figure if isinstance(figure, list) else [] if figure is None else [figure]
