"""Sums and counts per unit, added up on the network's device as the readouts come.

In float64, and rounded to float32 once, so that neither memory nor the result depends on how the
prompts fall into batches (beyond the float tolerance of the network itself).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.errors import ModelError
from atlas_assets.extraction.batching import placed
from atlas_assets.extraction.passes import Doubles
from atlas_assets.extraction.prompts import IntArray
from atlas_assets.models.loaded import LoadedModel


class Reduction:
    """Adds readouts up without waiting for the device.

    Args:
        model: gives layers, width and device.
        units: how many units there are.
        runs: how many readouts are taken in all.
        thresholds: float32 ``[levels, layers]``; a neuron counts as firing at a level where
            |readout| is above that of the layer. By default there is one level, of zeros.
    """

    def __init__(
        self,
        model: LoadedModel,
        units: int,
        runs: int,
        thresholds: npt.NDArray[np.float32] | None = None,
    ) -> None:
        if thresholds is None:
            thresholds = np.zeros((1, model.n_layers), np.float32)
        self._shape = (units, model.n_layers, model.width)
        neurons = model.n_layers * model.width
        self._device = model.device
        self._thresholds = placed(thresholds, model.device)[:, None, :, None]
        self._sums = torch.zeros((units, neurons), dtype=torch.float64, device=model.device)
        counts = (len(thresholds), units, neurons)
        self._counts = torch.zeros(counts, dtype=torch.int32, device=model.device)
        self._unsound = torch.zeros((runs, model.n_layers), dtype=torch.bool, device=model.device)

    def add(
        self, readouts: torch.Tensor, weights: Doubles, units: IntArray, runs: IntArray
    ) -> None:
        """Add the readouts of one batch to the sums of the units that hold its prompts.

        Args:
            readouts: float32 ``[batch, layers, width]``.
            weights: ``[some units, batch]``, how often each of them counts each prompt.
            units: int64 ``[some units]``, which these are, each once.
            runs: int64 ``[batch]``, the prompts' numbers among all that are run.
        """
        strength = readouts.abs()
        self._unsound[self._put(runs)] = ~torch.isfinite(strength).all(dim=2)
        share, where = self._put(weights), self._put(units)
        # products with whole-number weights: one float64 rounding per term; counts are exact in
        # float32 too, since those of a batch stay below 2²⁴
        self._sums[where] += share @ strength.flatten(1).double()
        times = share.float()
        for level, threshold in enumerate(self._thresholds):
            fires = (strength > threshold).flatten(1).float()
            self._counts[level, where] += (times @ fires).int()

    def require_finite(self, where: Callable[[int], str]) -> None:
        """Wait for the device and refuse readouts that were not finite.

        Args:
            where: names unit and prompt of a run, for the message.

        Raises:
            ModelError: a readout was not; the message names unit, prompt and layer.
        """
        unsound = np.argwhere(self._unsound.cpu().numpy())
        if unsound.size:
            run, layer = unsound[0].tolist()
            place = f"{where(run)}, layer {layer}"
            raise _not_finite("the network's readout", "finite activations", place)

    def finish(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Round the sums to float32, once, and return them and the counts on the host.

        Counts are int32 ``[levels, units, layers, width]``.
        """
        sums = self._sums.float().cpu().numpy().reshape(self._shape)
        return sums, self._counts.cpu().numpy().reshape(len(self._counts), *self._shape)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return what has been added up so far: ``sums`` in float64 and ``counts``."""
        return {
            "sums": self._sums.cpu().numpy().reshape(self._shape),
            "counts": self._counts.cpu().numpy().reshape(len(self._counts), *self._shape),
        }

    def resume(self, sums: Doubles, counts: npt.NDArray[np.int32]) -> None:
        """Go on from the sums and counts that an earlier `state` returned."""
        self._sums.copy_(torch.from_numpy(sums).view(self._sums.shape))
        self._counts.copy_(torch.from_numpy(counts).view(self._counts.shape))

    def _put(self, array: npt.NDArray[np.generic]) -> torch.Tensor:
        return placed(array, self._device)


def require_finite_losses(losses: Doubles, where: Callable[[int], str]) -> None:
    """Refuse losses that are NaN or infinite, as `Reduction.require_finite` does readouts."""
    unsound = np.flatnonzero(~np.isfinite(losses))
    if unsound.size:
        place = where(int(unsound[0]))
        raise _not_finite("the loss of a prompt", "a finite number of nats", place)


def _not_finite(what: str, expected: str, where: str) -> ModelError:
    return ModelError(
        f"{what} is not finite",
        where=where,
        expected=expected,
        found="NaN or infinity",
        remedy="use a wider dtype (ATLAS_DTYPE=bfloat16 or float32), or check the checkpoint",
    )
