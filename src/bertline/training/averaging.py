"""The mean of a model's weights at several steps, which is often better than the last of them.

    average = WeightAverage()
    average.add(model)                                  # at some steps near the end of training
    tensors = average.tensors()                         # for a checkpoint
    average.restore(tensors)                            # in the process that goes on from it
    average.average_into(model)

Plain means of equally weighted snapshots: stochastic weight averaging (Izmailov et al. 2018, algorithm 1), over the
last stretch of a run as LAWA (Kaddour 2022). PyTorch's own `AveragedModel` keeps a copy of the whole module; here a sum
by name of parameter is kept, which goes into a checkpoint as it is.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from bertline.base.errors import BertlineError

_COUNT, _SUM = "count", "sum/"


class WeightAverage:
    """A running sum of weights in fp32, on the model's device.

    What is averaged are the trainable floating-point parameters, tied ones once. All else (frozen parameters, buffers,
    integers) is left as it is in the model. Snapshots are added in the order of the steps, and the sum is saved as it
    is: an interrupted run has the same average to the last bit.
    """

    def __init__(self) -> None:
        self._count = 0
        self._sums: dict[str, Tensor] = {}

    @property
    def count(self) -> int:
        """How many snapshots have been added."""
        return self._count

    @torch.no_grad()
    def add(self, model: nn.Module) -> None:
        """Add the weights as they are now.

        Raises:
            BertlineError: the snapshots before were of a model with other parameters.
        """
        if self._count:
            for parameter, sums in self._paired(model):
                sums.add_(parameter)
        else:
            self._sums = {name: value.detach().to(torch.float32, copy=True) for name, value in _averaged(model).items()}
        self._count += 1

    @torch.no_grad()
    def average_into(self, model: nn.Module) -> None:
        """Replace the weights of a model of the same shape by the mean of the snapshots.

        Raises:
            ValueError: there are none.
            BertlineError: the snapshots were of a model with other parameters.
        """
        if not self._count:
            raise ValueError("no weights have been added to the average")
        for parameter, sums in self._paired(model):
            parameter.copy_(sums / self._count)

    def tensors(self) -> dict[str, Tensor]:
        """All there is to save: the count, and the sums themselves, not copies."""
        return {_COUNT: torch.tensor(self._count), **{_SUM + name: value for name, value in self._sums.items()}}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on, to the bit, from what `tensors` gave."""
        self._count = int(tensors[_COUNT])
        self._sums = {
            name.removeprefix(_SUM): value.clone() for name, value in tensors.items() if name.startswith(_SUM)
        }

    def _paired(self, model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        """Each parameter with its sum, which is moved to the parameter's device."""
        parameters = _averaged(model)
        shapes = ({name: value.shape for name, value in found.items()} for found in (parameters, self._sums))
        mine, summed = shapes
        if mine != summed:
            differing = ", ".join(sorted(mine.keys() ^ summed.keys())) or "the shapes"
            what = f"the model is not the one whose weights were averaged ({differing})"
            fix = "Remove the checkpoints of this run and start it anew"
            raise BertlineError(what, where="the averaged weights", fix=fix)
        for name, parameter in parameters.items():
            self._sums[name] = self._sums[name].to(parameter.device)
            yield parameter, self._sums[name]


def _averaged(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.is_floating_point()
    }
