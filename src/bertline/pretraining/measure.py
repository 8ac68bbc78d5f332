"""How well a model predicts: losses and accuracies of both tasks, and pseudo-perplexity, without dropout.

measured = measure(network, source, config, world, interrupted)
measured.means         # {"mlm_loss": …, "mlm_accuracy": …, "pseudo_perplexity": …, "nsp_loss": …}
measured.intervals     # {"mlm_loss": [3.61, 3.72], …}
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bertline.base.config import Pretrain
from bertline.pretraining.cross_entropy import cross_entropy
from bertline.pretraining.examples import Batch, ExampleSource
from bertline.pretraining.objective import SUMS, Means, means, objective_sums
from bertline.training.device import autocast
from bertline.training.distributed import World

Interrupted = Callable[[], bool]
Intervals = dict[str, list[float]]  # the lower edge and the upper one
_DRAWS = 1000


@dataclass(frozen=True)
class Measured:
    """What a model came to on the batches of a source.

    Attributes:
        means: losses and accuracies over all of them, None where the objective has no such figure.
        intervals: between which 95 % of the bootstrap draws of each lie; without pseudo-perplexity.
    """

    means: Means
    intervals: Intervals


@torch.no_grad()
def measure(
    network: Any, source: ExampleSource, config: Pretrain, world: World, interrupted: Interrupted
) -> Measured | None:
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
    sums = torch.zeros(config.evaluation_batches, len(SUMS), dtype=torch.float64)
    for step in range(config.evaluation_batches):
        if world.size == 1 and interrupted():
            return None
        batch = source.batch(step, world.rank, world.size)
        sums[step] = objective_sums(network, batch.to(device), config.precision).double().cpu()
    sums = world.sum(sums.to(device)).cpu()
    made = means(sums.sum(dim=0).tolist(), pairs=source.pairs)
    if config.perplexity_sequences:
        surprise = torch.zeros(2, dtype=torch.float64)
        for first in range(0, config.perplexity_sequences, config.batch_size):
            rows = min(config.perplexity_sequences - first, config.batch_size)
            plain = source.batch(first // config.batch_size).rows(slice(world.rank, rows, world.size))
            surprise += _pseudo_log_likelihood(network, plain, source, config, device).cpu()
        loss, tokens = world.sum(surprise.to(device)).tolist()
        made["pseudo_perplexity"] = round(math.exp(loss / max(tokens, 1)), 6)
    return Measured(made, _intervals(sums.numpy(), pairs=source.pairs))


def _intervals(sums: npt.NDArray[np.float64], *, pairs: bool) -> Intervals:
    """Between the 2.5th and the 97.5th percentile of means over batches that are drawn again (Efron 1979).

    Args:
        sums: of each batch, in the order of SUMS: (batches, 6). The sequences of a batch come from all over the text.
        pairs: as for `means`.
    """
    random = np.random.Generator(np.random.Philox(key=0))
    drawn = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=_DRAWS) @ sums
    found = [means(draw, pairs=pairs) for draw in drawn.tolist()]
    names = [name for name, value in found[0].items() if value is not None]
    edges = np.quantile([[draw[name] for name in names] for draw in found], (0.025, 0.975), axis=0).round(6)
    return dict(zip(names, edges.T.tolist(), strict=True))


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
