"""Stage 12: its units, and per unit and layer, how strongly and how often each neuron fired.

For a unit (a pair, or a testable concept) of n prompts and a layer of width W, with r the readout
of one prompt: ``sums = Σ|r|`` and ``counts = #(|r| > 0)`` (card, "Stage 12").
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import ArtifactError, unsound
from atlas_assets.stages.blocks import Rows, slices_of
from atlas_assets.stages.prompts.object_prompts import names_of_pairs

#: the name of a unit → its prompts, in the order of the rows
Units = dict[str, list[str]]

_unsound = partial(unsound, "the activations are not sound")


@dataclass(frozen=True, eq=False)
class Activations:
    """The sums and counts of all units.

    Attributes:
        names: The unit names, sorted, each once.
        n_prompts: int32 ``[units]``, prompts per unit, ≥ 1.
        sums: float32 ``[units, layers, width]``, finite, ≥ 0; units of the readout.
        counts: int32 ``[units, layers, width]``, in ``0..n_prompts``.
        remark: What the record of the file says of how the network was run, if anything; no part
            of the content.

    Raises:
        ArtifactError: A shape, dtype or value breaks the above; the message names the unit.
    """

    names: tuple[str, ...]
    n_prompts: npt.NDArray[np.int32]
    sums: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int32]
    remark: str = ""

    def __post_init__(self) -> None:
        require_shapes(self.names, self.n_prompts, self.sums, self.counts)
        # one unit at a time: a mask over all of them would be as large as the data
        for name, n, sums, counts in zip(
            self.names, self.n_prompts, self.sums, self.counts, strict=True
        ):
            if n < 1:
                raise _unsound(f"n_prompts of {name}", "at least 1", str(n))
            sound = np.isfinite(sums) & (sums >= 0)
            _require_all(sound, f"sums of {name}", "finite values ≥ 0", sums)
            sound = (counts >= 0) & (counts <= n)
            _require_all(sound, f"counts of {name}", f"values in 0..{n} (its prompts)", counts)

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return int(self.sums.shape[1])

    @property
    def width(self) -> int:
        """The number of neurons per layer (the model's d_model)."""
        return int(self.sums.shape[2])

    def blocks(self) -> Iterator[Activations]:
        """Give these activations: in memory, all units are one block."""
        yield self

    def whole(self) -> Activations:
        """Return these activations, which are in memory."""
        return self

    def select(self, names: tuple[str, ...]) -> Activations:
        """Return the activations of some units, in sorted order.

        That there is no such unit is an ArtifactError.
        """
        if names == self.names:
            return self
        names = tuple(sorted(set(names)))
        place = {name: index for index, name in enumerate(self.names)}
        lacking = [name for name in names if name not in place]
        if lacking:
            raise ArtifactError(
                "the activations lack a unit",
                where=lacking[0],
                expected="units whose prompts were read",
                found=f"{len(names)} units asked for, of {len(self.names)} that there are",
                remedy="name some of these (`names`)",
            )
        where = [place[name] for name in names]
        return Activations(
            names, self.n_prompts[where], self.sums[where], self.counts[where], self.remark
        )

    def digest(self) -> str:
        """Return a SHA-256 over names, shapes and values: equal exactly for equal contents."""
        return payload_digest(
            self.names, {"n_prompts": self.n_prompts, "sums": self.sums, "counts": self.counts}
        )


def require_shapes(
    names: tuple[str, ...], n_prompts: npt.NDArray[np.int32], sums: Rows, counts: Rows
) -> None:
    """Refuse (ArtifactError) names, shapes and dtypes that `Activations` does not have."""
    if list(names) != sorted(set(names)):
        found = f"{len(names)} names, {len(set(names))} distinct"
        raise _unsound("unit names", "sorted and unique", found)
    shape = sums.shape
    if len(shape) != 3 or shape[0] != len(names):
        expected = f"three axes ({len(names)} units, layers, width)"
        raise _unsound("sums", expected, f"shape {shape}")
    for field, array, dtype, expected_shape in (
        ("n_prompts", n_prompts, np.int32, shape[:1]),
        ("sums", sums, np.float32, shape),
        ("counts", counts, np.int32, shape),
    ):
        if array.shape != expected_shape or array.dtype != dtype:
            expected = f"{np.dtype(dtype).name} of shape {expected_shape}"
            raise _unsound(field, expected, f"{array.dtype} of shape {array.shape}")


def payload_digest(
    names: tuple[str, ...], arrays: Mapping[str, npt.NDArray[np.generic] | Rows]
) -> str:
    """Return the SHA-256 of arrays, by name, and of the names along their first axis.

    Arrays of any dtype are digested as little-endian, in C order; those that are not in memory,
    block by block.
    """
    digest = hashlib.sha256("\0".join(names).encode())
    for key in sorted(arrays):
        values = arrays[key]
        little = values.dtype.newbyteorder("<")
        if isinstance(values, np.ndarray):
            values = np.ascontiguousarray(values)
            blocks: Iterable[npt.NDArray[np.generic]] = (values,)
        else:
            blocks = map(values.__getitem__, slices_of(values))
        digest.update(f"\0{key}:{little.str}:{values.shape}\0".encode())
        for block in blocks:
            block = np.ascontiguousarray(block).astype(little, copy=False)
            digest.update(block.data if block.size else b"")
    return digest.hexdigest()


def _require_all(
    sound: npt.NDArray[np.bool_], where: str, expected: str, values: npt.NDArray[np.generic]
) -> None:
    if not sound.all():
        layer, neuron = np.argwhere(~sound)[0]
        at = f"{where}, layer {layer}, neuron {neuron}"
        raise _unsound(at, expected, str(values[layer, neuron]))


def units_of_object_prompts(prompts: pl.DataFrame) -> Units:
    """Group the object prompts (stage 11A) by pair: ``"For__list"`` → its prompts."""
    return _group(names_of_pairs(prompts), prompts["prompt_text"])


def units_of_checker_prompts(prompts: pl.DataFrame) -> Units:
    """Group checker or token-checker prompts by concept: ``"ast__For"`` → its prompts."""
    return _group(prompts["object"], prompts["prompt_text"])


def _group(names: Iterable[str], texts: Iterable[str]) -> Units:
    units: Units = {}
    for name, text in zip(names, texts, strict=True):
        units.setdefault(name, []).append(text)
    return units
