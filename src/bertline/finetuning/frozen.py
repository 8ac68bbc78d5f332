"""The baseline that does not fine-tune: vectors of the frozen encoder into a linear model (evaluation/linear.py).

    predictions, chosen = frozen_baseline(material, config)     # {"test": […]}; empty for tagging and spans

A text's vector is the last hidden state of [CLS] or the mean over its tokens, whichever does better on the validation
rows. What fine-tuning adds to this is the gain of moving the encoder.
"""

import math
from typing import Any

from bertline.base.config import Finetune
from bertline.evaluation.linear import fit_linear
from bertline.evaluation.tfidf import KINDS
from bertline.finetuning.material import Material
from bertline.inference.embedding import POOLINGS, pooled_vectors
from bertline.inference.heads import build_model
from bertline.model.hf import load_encoder
from bertline.training.device import prepare


def frozen_baseline(material: Material, config: Finetune) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Fit the baseline of a task, and predict its test rows.

    Args:
        material: rows and encoder.
        config: device and threads.

    Returns:
        Split -> predictions, and what was chosen: {"pooling", "strength", "validation": its score}. Both are empty
        where the task's kind has no such baseline.
    """
    task, data = material.data.task, material.data
    if task.kind not in KINDS:
        return {}, {}
    device = prepare(config.device, config.threads)
    model = build_model(task, material.shape)
    load_encoder(model, material.encoder)
    encoder = model.bert.to(device).eval()
    vectors = {
        name: pooled_vectors(encoder, some) for name, some in (("train", data.train), ("validation", data.validation))
    }
    fits, scales = {}, {}
    for pooling in POOLINGS:
        train, validation = vectors["train"][pooling], vectors["validation"][pooling]
        # Of length 1 on average, as TF-IDF's rows are: the strengths of linear.py are for such.
        mean, scale = train.mean(axis=0), (train.std(axis=0) + 1e-6) * math.sqrt(train.shape[1])
        scales[pooling] = mean, scale
        fits[pooling] = fit_linear(
            task, (train - mean) / scale, data.train_rows, (validation - mean) / scale, data.validation_rows
        )
    best = max(POOLINGS, key=lambda pooling: fits[pooling].score)
    fit, (mean, scale) = fits[best], scales[best]
    found = {
        split: fit.predict((pooled_vectors(encoder, features)[best] - mean) / scale)
        for split, (_, features) in material.test.items()
    }
    return found, {"pooling": best, "strength": fit.strength, "validation": round(fit.score, 6)}
