"""Stage 12's result: per unit and layer, how strongly and how often each neuron fired.

For a unit (a pair, or a testable concept) of n prompts and a layer of width W, with r the readout
of one prompt: ``sums = Σ|r|`` and ``counts = #(|r| > 0)`` (card, "Stage 12").
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atlas_assets.errors import ArtifactError


@dataclass(frozen=True, eq=False)
class Activations:
    """Sums and counts of all units.

    Attributes:
        names: unit names, sorted, each once.
        n_prompts: int32 ``[units]``, prompts per unit, ≥ 1.
        sums: float32 ``[units, layers, width]``, finite, ≥ 0; units of the readout.
        counts: int32 ``[units, layers, width]``, in ``0..n_prompts``.

    Raises:
        ArtifactError: a shape, dtype or value breaks the above; the message names the unit.
    """

    names: tuple[str, ...]
    n_prompts: npt.NDArray[np.int32]
    sums: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        _check_names(self.names, "activations")
        shape = self.sums.shape
        _require(len(shape) == 3, "sums", "three axes (units, layers, width)", f"shape {shape}")
        _require(
            shape[0] == len(self.names), "sums", f"{len(self.names)} units", f"{shape[0]} units"
        )
        _require(self.counts.shape == shape, "counts", f"shape {shape}", f"{self.counts.shape}")
        prompts_shape = self.n_prompts.shape
        _require(prompts_shape == shape[:1], "n_prompts", f"{shape[:1]}", f"{prompts_shape}")
        for field, array, dtype in (
            ("n_prompts", self.n_prompts, np.int32),
            ("sums", self.sums, np.float32),
            ("counts", self.counts, np.int32),
        ):
            _require(array.dtype == dtype, field, np.dtype(dtype).name, str(array.dtype))
        self._check_values()

    def _check_values(self) -> None:
        few = np.flatnonzero(self.n_prompts < 1)
        if few.size:
            unit = self.names[few[0]]
            _require(False, f"n_prompts of {unit}", "at least 1", str(self.n_prompts[few[0]]))
        # one unit at a time: a mask over all of them would be as large as the data
        for name, n, sums, counts in zip(
            self.names, self.n_prompts, self.sums, self.counts, strict=True
        ):
            sound = np.isfinite(sums) & (sums >= 0)
            _require_all(sound, f"sums of {name}", "finite values ≥ 0", sums)
            sound = (counts >= 0) & (counts <= n)
            _require_all(sound, f"counts of {name}", f"values in 0..{n} (its prompts)", counts)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return int(self.sums.shape[1])

    @property
    def width(self) -> int:
        """Neurons per layer (the model's d_model)."""
        return int(self.sums.shape[2])

    def select(self, names: tuple[str, ...]) -> Activations:
        """Some of the units.

        Args:
            names: sorted, each a unit's and each once.
        """
        if names == self.names:
            return self
        place = {name: index for index, name in enumerate(self.names)}
        where = [place[name] for name in names]
        return Activations(names, self.n_prompts[where], self.sums[where], self.counts[where])

    def digest(self) -> str:
        """SHA-256 over names, shapes and values; equal exactly when the contents are."""
        return payload_digest(
            self.names, {"n_prompts": self.n_prompts, "sums": self.sums, "counts": self.counts}
        )


def payload_digest(names: tuple[str, ...], arrays: dict[str, npt.NDArray[np.generic]]) -> str:
    """SHA-256 of named arrays and the names along their first axis (little-endian, C order)."""
    digest = hashlib.sha256("\0".join(names).encode())
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"\0{key}:{little.dtype.str}:{little.shape}\0".encode())
        digest.update(little.data if little.size else b"")
    return digest.hexdigest()


def _check_names(names: tuple[str, ...], what: str) -> None:
    if list(names) != sorted(set(names)):
        raise ArtifactError(
            f"the unit names of {what} are not sorted and unique",
            found=f"{len(names)} names, {len(set(names))} distinct",
            remedy="sort the units by name and merge duplicates before building the object",
        )


def _require_all(
    sound: npt.NDArray[np.bool_], where: str, expected: str, values: npt.NDArray[np.generic]
) -> None:
    if not sound.all():
        layer, neuron = np.argwhere(~sound)[0]
        at = f"{where}, layer {layer}, neuron {neuron}"
        _require(False, at, expected, str(values[layer, neuron]))


def _require(condition: bool, where: str, expected: str, found: str) -> None:
    if not condition:
        raise ArtifactError(
            "the activations are not sound",
            where=where,
            expected=expected,
            found=found,
            remedy="extract them again (materialise object_activations or checker_activations)",
        )
