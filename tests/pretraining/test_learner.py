"""A step on a GPU, as far as a CPU can tell."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertline.model.bert import BertConfig, BertForPreTraining
from bertline.pretraining.examples import ExampleSource
from bertline.pretraining.learner import Learner
from bertline.pretraining.masking import Pieces
from bertline.pretraining.plan import Plan
from bertline.pretraining.randomness import TRAINING
from bertline.training.distributed import World
from device_waits import GPU, Waits
from pretraining.interrupted_run import CONFIG
from pretraining.tiny_corpus import topic_store


@pytest.mark.filterwarnings("ignore:.*autograd kernel was not registered")
@pytest.mark.parametrize("packed", [False, True])
def test_no_step_waits_for_a_gpu_before_all_its_work_is_given_to_it(tmp_path: Path, packed: bool) -> None:
    config = replace(CONFIG, dropout=0.0, precision="fp32", accumulation=2, optimizer="lamb", packed=packed)
    store, vocabulary = topic_store(tmp_path)
    source = ExampleSource(store, Pieces.of(vocabulary), config, Plan.of(config), seed=0, stream=TRAINING)
    shape = BertConfig(len(vocabulary), hidden_size=32, layers=2, heads=2, intermediate_size=64)
    learner = Learner(BertForPreTraining(shape), config, World(), GPU)
    with Waits() as waits:
        sums, norm = learner.gradients(learner.ready(source.batch(0)), 0)
    assert sums.device == norm.device == GPU
    assert not waits.seen
    with waits:
        torch.ones(3).to(GPU)
    assert waits.seen == 1
