"""``12_*_activations.h5``: sums and counts of every unit and layer (docs/science.md §2).

Layout::

    /activations/layer_L/{unit}     float32 [width]   Σ|readout| over the unit's prompts
    /firing_counts/layer_L/{unit}   int32 [width]     #(|readout| > 0)
    /n_prompts/{unit}               int64 scalar
    /metadata                       attributes model_id, n_layers, n_pairs, width, input_file,
                                    provenance, format_version; datasets ast_nodes, builtin_objs

Where the activations are so many that they come in blocks of units (`stored.are_large`), there is
one dataset per layer instead, and ``/metadata/units`` names the rows::

    /activations/layer_L            float32 [units, width]
    /firing_counts/layer_L          int32 [units, width]

A unit is a pair (``{ast}__{builtin}``) or a concept (``ast__{node}``, ``builtin__{name}``). Those
of own prompts are ``own__{concept}__{unit}`` and ``own__{concept}``, and the only list is
``own_concepts``. Files of the release lack ``width``, ``provenance`` and ``format_version``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atlas_assets.errors import within
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.stored import (
    AnyActivations,
    StoredActivations,
    are_large,
)
from atlas_assets.stages.concepts import pairs_of_concepts
from atlas_assets.storage.hdf5.metadata import (
    UNITS,
    Hdf5Codec,
    Metadata,
    concept_lists,
    read_stacked,
    read_vectors,
    require_count,
)
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.stacked import Stacked
from atlas_assets.storage.hdf5.writer import Hdf5Writer
from atlas_assets.storage.provenance import Provenance


@dataclass(frozen=True)
class ActivationsFile(Hdf5Codec[AnyActivations]):
    """Activations as HDF5; those that are so large are not in memory when they are read.

    Attributes:
        units: what the units are.
        input_file: the published name of the prompts that they were computed from.
    """

    holds = Activations
    units: Literal["pairs", "concepts"]
    input_file: str

    def check(self, value: AnyActivations, *, where: str) -> None:
        """Refuse units of another kind; `Activations` itself checks the rest when it is made."""
        if not isinstance(value, StoredActivations):
            super().check(value, where=where)
        with within(where):
            self._name_lists(value)

    def streams(self, value: AnyActivations) -> bool:
        """Whether they come in blocks."""
        return isinstance(value, StoredActivations) or are_large(value)

    def describe(self, value: AnyActivations) -> dict[str, int | float | str]:
        """Return numbers of units, layers, neurons, prompts; share of neurons that ever fire."""
        firing = sum(int(np.count_nonzero(block.counts)) for block in value.blocks())
        firing_share = firing / max(1, math.prod(value.counts.shape))
        return {
            self.units: len(value.names),
            "layers": value.n_layers,
            "width": value.width,
            "prompts": int(value.n_prompts.sum()),
            "share_of_neurons_firing": round(firing_share, 4),
        }

    def fill(self, writer: Hdf5Writer, value: AnyActivations, provenance: Provenance) -> Metadata:
        """Add sums, counts and numbers of prompts to a file."""
        model = provenance.lineage.model if provenance.lineage else None
        lists = self._name_lists(value)
        if isinstance(value, StoredActivations) or self.streams(value):
            writer.stacked("activations", value.sums)
            writer.stacked("firing_counts", value.counts)
            lists[UNITS] = value.names
        else:
            writer.vectors("activations", value.names, value.sums)
            writer.vectors("firing_counts", value.names, value.counts)
        writer.scalars("n_prompts", value.names, value.n_prompts)
        attributes: dict[str, Any] = {
            "model_id": model.model_id if model else "unknown",
            "n_layers": value.n_layers,
            "n_pairs": len(value.names),
            "width": value.width,
            "input_file": self.input_file,
        }
        return attributes, lists

    def extract(self, reader: Hdf5Reader, part: str | None) -> AnyActivations:  # noqa: ARG002
        """Read the activations of a file and check every value; of large ones, when it is read."""
        stored = read_stacked(reader, "activations", np.float32)
        if stored is not None:
            return self._stored(reader, *stored)
        names, sums = read_vectors(reader, "activations", np.float32)
        also, counts = read_vectors(reader, "firing_counts", np.int32)
        for name in sorted(set(names) ^ set(also)):
            lacking = "firing_counts" if name in names else "activations"
            reader.fail(f"/{lacking}/layer_0/{name}", "a dataset", "none of that name")
        if sums.shape != counts.shape:
            reader.fail("/firing_counts", f"shape {sums.shape}", f"shape {counts.shape}")
        require_count(reader, "activations", len(names))
        value = Activations(names, _n_prompts(reader, names), sums, counts)
        self._name_lists(value)
        return value

    def _stored(
        self, reader: Hdf5Reader, names: tuple[str, ...], sums: Stacked
    ) -> StoredActivations:
        counted = read_stacked(reader, "firing_counts", np.int32)
        if counted is None:
            reader.fail("/firing_counts/layer_0", "a dataset, as in /activations", "a group")
        n_prompts = _n_prompts(reader, names)
        value = StoredActivations(names, n_prompts, sums, counted[1], where=reader.label)
        self._name_lists(value)
        return value

    def _name_lists(self, value: AnyActivations) -> dict[str, tuple[str, ...]]:
        """The concepts that the units are made of, as the release lists them.

        Raises:
            StimulusError: a name is not that of a unit of this kind.
        """
        return concept_lists(
            pairs_of_concepts(value.names) if self.units == "pairs" else value.names
        )


def _n_prompts(reader: Hdf5Reader, names: tuple[str, ...]) -> npt.NDArray[np.int32]:
    n_prompts = reader.scalars("n_prompts", names)
    if n_prompts.size and n_prompts.max() > np.iinfo(np.int32).max:
        reader.fail("/n_prompts", "numbers of at most 32 bits", str(n_prompts.max()))
    return n_prompts.astype(np.int32)
