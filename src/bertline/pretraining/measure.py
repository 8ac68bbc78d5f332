"""How well a model predicts: losses and accuracies of both tasks, and pseudo-perplexity, without dropout.

measured = measure(network, source, config, world, interrupted)
measured.means         # {"mlm_loss": …, "mlm_accuracy": …, "pseudo_perplexity": …, "nsp_loss": …}
measured.intervals     # {"mlm_loss": [3.61, 3.72], …}
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bertline.base.config import Pretrain
from bertline.pretraining.examples import Batch, ExampleSource
from bertline.pretraining.objective import SUMS, Means, means, objective_sums
from bertline.pretraining.plan import tokens_at_once
from bertline.training.distributed import World

Interrupted = Callable[[], bool]
Intervals = dict[str, list[float]]  # the lower edge and the upper one
_DRAWS = 1000
_MOST_NATS = 700.0  # a model that has diverged: the exponential of more is no number


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
        interrupted: asked between batches, by all processes equally often, and says the same to all; None is returned
            when it says yes.
    """
    network.eval()
    most = tokens_at_once(config, world.size)
    device = next(network.parameters()).device
    sums = torch.zeros(config.evaluation_batches, len(SUMS), dtype=torch.float64)
    for step in range(config.evaluation_batches):
        if interrupted():
            return None
        for part in source.batch(step, world.rank, world.size).micro_batches(most):
            sums[step] += objective_sums(network, part.to(device), config.precision).double().cpu()
    sums = world.sum(sums.to(device)).cpu()
    made = means(sums.sum(dim=0).tolist(), pairs=source.pairs)
    if config.perplexity_sequences:
        alone = torch.zeros(len(SUMS), dtype=torch.float64)
        for part in _masked_one_by_one(source, config, world):
            if interrupted():
                return None
            if len(part.labels):
                alone += objective_sums(network, part.to(device), config.precision).double().cpu()
        loss, _, tokens, *_ = world.sum(alone.to(device)).tolist()
        made["pseudo_perplexity"] = round(math.exp(min(loss / max(tokens, 1), _MOST_NATS)), 6)
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


def _masked_one_by_one(source: ExampleSource, config: Pretrain, world: World) -> Iterator[Batch]:
    """This process's rows for pseudo-perplexity, as many at a time as in training.

    Every ordinary token of the first `perplexity_sequences` is masked by itself, in a sequence of its own (Salazar et
    al. 2020, "Masked language model scoring"). All processes get as many batches: their last ones may be empty.
    """
    most = max(int(tokens_at_once(config, world.size)) // config.sequence_length, 1)
    for first in range(0, config.perplexity_sequences, config.batch_size):
        some = source.batch(first // config.batch_size).rows(slice(config.perplexity_sequences - first))
        ordinary = torch.from_numpy(source.pieces.ordinary)[some.unmasked()]
        longest = max(int(ordinary[rank :: world.size].sum()) for rank in range(world.size))
        mine = slice(world.rank, None, world.size)
        some, ids = some.rows(mine), some.unmasked()[mine]
        rows, columns = torch.nonzero(ordinary[mine], as_tuple=True)
        for start in range(0, longest, most):
            row, place = rows[start : start + most], columns[start : start + most, None]
            yield Batch(
                ids=ids[row].scatter(1, place, source.pieces.special.mask),
                segments=some.segments[row],
                mask=some.padding[row],
                positions=place,
                targets=ids[row].gather(1, place),
                weights=torch.ones(place.shape),
                labels=some.labels[row],
            )
