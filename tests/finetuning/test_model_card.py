"""The card of a fine-tuned model says what its scores are of."""

from types import SimpleNamespace
from typing import Any

import pytest

from bertline.base.config import Kind
from bertline.finetuning.model_card import finetuned_card
from toy_tasks import KINDS, RECIPE, SHAPE, toy_task

CHOSEN_LATER = "Its longest answer, and when it gives none, were chosen on these rows after that"


@pytest.mark.parametrize("kind", KINDS)
def test_of_answers_it_says_that_they_were_scored_before_their_length_was_chosen(kind: Kind) -> None:
    info, _ = toy_task(kind)
    run = SimpleNamespace(history=SimpleNamespace(scores={info.metric: 0.5}))
    material = SimpleNamespace(shape=SHAPE, data=SimpleNamespace(task=info))
    start: Any = SimpleNamespace(name="pretrained", material=material, runs={0: run}, kept=run, kept_seed=0)
    card = " ".join(finetuned_card([start], RECIPE, "files").split())
    assert (CHOSEN_LATER in card) is (kind == "span")
