"""What a model comes to on held-out text, and how sure that is."""

import copy
import math
import statistics
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from bertline.base.config import Pretrain
from bertline.pretraining.examples import ExampleSource
from bertline.pretraining.measure import Measured, measure
from bertline.pretraining.objective import objective_sums
from bertline.pretraining.plan import Plan
from bertline.pretraining.randomness import VALIDATION
from bertline.pretraining.trainer import Trainer
from bertline.tokens.tokenizer import SPECIAL_TOKENS
from bertline.training.distributed import World
from pretraining.interrupted_run import CONFIG, open_run
from pretraining.tiny_corpus import topic_store


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    """One that has not trained: its model is as good as another here."""
    folder = tmp_path_factory.mktemp("measure")
    topic_store(folder / "train", documents=60, seed=0)
    topic_store(folder / "validation", documents=60, seed=1)
    with open_run(folder, folder / "run") as trainer:
        yield trainer
    torch.use_deterministic_algorithms(False)


def source_of(trainer: Trainer, seed: int, config: Pretrain) -> ExampleSource:
    store = trainer.measured["validation"].store
    return ExampleSource(store, trainer.pieces, config, Plan.constant(config), seed=seed, stream=VALIDATION)


def measured(trainer: Trainer, seed: int = 0, config: Pretrain = CONFIG) -> Measured:
    found = measure(trainer.model, source_of(trainer, seed, config), config, World(), lambda: False)
    assert found is not None
    return found


OFTEN = ("mlm_loss", "nsp_loss", "nsp_accuracy")  # an untrained model hits a token too seldom for a percentile


def test_ninety_five_intervals_of_a_hundred_hold_the_true_mean(trainer: Trainer) -> None:
    config = replace(CONFIG, evaluation_batches=12, perplexity_sequences=0)
    whole = measured(trainer, 0, replace(config, evaluation_batches=240)).means
    intervals = [measured(trainer, seed, config).intervals for seed in range(1, 25)]
    held = [
        sum(low <= (whole[name] or 0.0) <= high for low, high in (interval[name] for interval in intervals))
        for name in OFTEN
    ]
    assert min(held) >= 18 and sum(held) < 72, held  # 23 of 24 expected; a little fewer, of twelve batches


def test_four_times_the_batches_halve_the_interval_and_the_mean_lies_inside(trainer: Trainer) -> None:
    few, many = (measured(trainer, 0, replace(CONFIG, evaluation_batches=number)) for number in (25, 100))
    for name in OFTEN:
        (low, high), wide = many.intervals[name], few.intervals[name]
        assert 1.4 < (wide[1] - wide[0]) / (high - low) < 2.8, name
        assert low < (many.means[name] or 0.0) < high, name
    source, model = source_of(trainer, 0, CONFIG), trainer.model.eval()
    with torch.no_grad():
        losses = [float(objective_sums(model, source.batch(step), CONFIG.precision)[3]) / 8 for step in range(100)]
    low, high = many.intervals["nsp_loss"]
    assert high - low == pytest.approx(2 * 1.96 * statistics.stdev(losses) / 10, rel=0.1)  # that of a normal mean


def test_it_is_the_same_each_time_and_has_no_figure_that_the_objective_lacks(trainer: Trainer) -> None:
    assert measured(trainer) == measured(trainer)
    alone = measured(trainer, 0, replace(CONFIG, objective="mlm"))
    assert set(alone.intervals) == {"mlm_loss", "mlm_accuracy"}
    assert alone.means["nsp_loss"] is None


def test_accumulation_cuts_what_is_measured_at_once_and_changes_no_figure(trainer: Trainer) -> None:
    config = replace(CONFIG, precision="fp32")
    whole, seen = measured(trainer, 0, config), []

    def network(ids: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(len(ids))
        found: tuple[torch.Tensor, torch.Tensor] = trainer.model(ids, *others)
        return found

    network.eval, network.parameters = trainer.model.eval, trainer.model.parameters  # type: ignore[attr-defined]
    config = replace(config, accumulation=4)
    parts = measure(network, source_of(trainer, 0, config), config, World(), lambda: False)
    assert max(seen) == 2 and parts is not None  # of eight sequences a step
    assert parts.means == pytest.approx(whole.means, rel=1e-5)


def test_it_can_be_stopped_between_any_two_batches(trainer: Trainer) -> None:
    asked = []

    def interrupted() -> bool:
        asked.append(len(asked))
        return len(asked) == stop

    stop = 0
    assert measure(trainer.model, source_of(trainer, 0, CONFIG), CONFIG, World(), interrupted) is not None
    total = len(asked)
    assert total > CONFIG.evaluation_batches + 4  # pseudo-perplexity's: a batch of eight tokens at a time
    for stop in (1, CONFIG.evaluation_batches, CONFIG.evaluation_batches + 1, total):
        asked.clear()
        assert measure(trainer.model, source_of(trainer, 0, CONFIG), CONFIG, World(), interrupted) is None
        assert len(asked) == stop


def test_a_model_that_has_diverged_has_a_pseudo_perplexity_all_the_same(trainer: Trainer) -> None:
    model = copy.deepcopy(trainer.model)
    with torch.no_grad():
        model.mlm_bias[7] = 1e5
    found = measure(model, source_of(trainer, 0, CONFIG), CONFIG, World(), lambda: False)
    assert found is not None and math.isfinite(found.means["pseudo_perplexity"] or math.inf)


def test_pseudo_perplexity_is_that_of_each_token_masked_alone(trainer: Trainer) -> None:
    # Eleven sequences: a batch, and a part of the next; some of them shorter, and with [SEP] in the middle.
    config = replace(CONFIG, precision="fp32", evaluation_batches=1, perplexity_sequences=11, short_rate=0.5)
    source, model = source_of(trainer, 0, config), copy.deepcopy(trainer.model)
    torch.manual_seed(0)
    for parameter in model.parameters():  # large enough that the token itself, its neighbours and its place all tell
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    found = measure(model, source, config, World(), lambda: False)
    assert found is not None

    surprises = []
    for number in range(11):
        batch, row = source.batch(number // 8), number % 8
        length = int(batch.padding[row].sum())
        ids, segments = batch.unmasked()[row, :length], batch.segments[row, :length]
        for place in range(length):
            if ids[place] < len(SPECIAL_TOKENS):
                continue
            masked = ids.clone()
            masked[place] = SPECIAL_TOKENS.index("[MASK]")
            everywhere = torch.arange(length)[None]
            with torch.no_grad():
                logits, _ = model(masked[None], segments[None], None, everywhere)
            surprises.append(-float(logits[0, place].double().log_softmax(dim=0)[ids[place]]))
    assert 11 * 5 < len(surprises) < 11 * 13
    assert found.means["pseudo_perplexity"] == pytest.approx(math.exp(sum(surprises) / len(surprises)), rel=1e-4)
