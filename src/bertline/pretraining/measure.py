"""How well a model predicts: losses and accuracies of both tasks, and pseudo-perplexity, without dropout.

measure(network, source, config, world)     # {"mlm_loss": …, "mlm_accuracy": …, "pseudo_perplexity": …, "nsp_loss": …}
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bertline.base.config import Pretrain
from bertline.pretraining.cross_entropy import cross_entropy
from bertline.pretraining.examples import Batch, ExampleSource
from bertline.pretraining.objective import SUMS, Means, means, objective_sums
from bertline.training.device import autocast
from bertline.training.distributed import World

Interrupted = Callable[[], bool]


@torch.no_grad()
def measure(
    network: Any, source: ExampleSource, config: Pretrain, world: World, interrupted: Interrupted
) -> Means | None:
    """Means over the first `evaluation_batches` of a source, and the pseudo-perplexity of its first sequences.

    Args:
        network: the model, or what runs it.
        source: of the batches; in several processes each measures its rows of them.
        config: the recipe; its evaluation_batches, perplexity_sequences and precision are read.
        world: the processes.
        interrupted: asked between batches, by a process on its own; None is returned when it says yes.
    """
    network.eval()
    device = next(network.parameters()).device
    total = torch.zeros(len(SUMS), dtype=torch.float64)
    for step in range(config.evaluation_batches):
        if world.size == 1 and interrupted():
            return None
        batch = source.batch(step, world.rank, world.size)
        total += objective_sums(network, batch.to(device), config.precision).double().cpu()
    made = means(world.sum(total.to(device)).tolist(), pairs=source.pairs)
    if config.perplexity_sequences:
        surprise = torch.zeros(2, dtype=torch.float64)
        for first in range(0, config.perplexity_sequences, config.batch_size):
            rows = min(config.perplexity_sequences - first, config.batch_size)
            plain = source.batch(first // config.batch_size).rows(slice(world.rank, rows, world.size))
            surprise += _pseudo_log_likelihood(network, plain, source, config, device).cpu()
        loss, tokens = world.sum(surprise.to(device)).tolist()
        made["pseudo_perplexity"] = round(math.exp(loss / max(tokens, 1)), 6)
    return made


def _pseudo_log_likelihood(
    network: Any, batch: Batch, source: ExampleSource, config: Pretrain, device: torch.device
) -> Tensor:
    """The sum of -log P(token | all others) over the ordinary tokens of some sequences, and their count: fp64 (2,).

    Every token is masked by itself, in a sequence of its own (Salazar et al. 2020, "Masked language model scoring").
    """
    ids = batch.unmasked()
    row, column = torch.nonzero(torch.from_numpy(source.pieces.ordinary)[ids], as_tuple=True)
    found = torch.zeros(2, dtype=torch.float64, device=device)
    for first in range(0, len(row), config.batch_size):
        rows, columns = (which[first : first + config.batch_size] for which in (row, column))
        masked = ids[rows].scatter(1, columns[:, None], source.pieces.special.mask).to(device)
        targets = ids[rows, columns].to(device)
        inputs = (masked, batch.segments[rows].to(device), batch.padding[rows].to(device), columns[:, None].to(device))
        with autocast(device, config.precision):
            logits, _ = network(*inputs)
        losses, _ = cross_entropy(logits[:, 0], targets)
        found += torch.stack((losses.sum().double(), torch.tensor(float(len(targets)), device=device).double()))
    return found
