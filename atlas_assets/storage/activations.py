"""``12_*_activations.h5``: sums and counts of every unit and layer (docs/science.md §2).

Layout::

    /activations/layer_L/{unit}     float32 [width]   Σ|readout| over the unit's prompts
    /firing_counts/layer_L/{unit}   int32 [width]     #(|readout| > 0)
    /n_prompts/{unit}               int64 scalar
    /metadata                       attributes model_id, n_layers, n_pairs, width, input_file,
                                    provenance, format_version; datasets ast_nodes, builtin_objs

A unit is a pair (``{ast}__{builtin}``) or a concept (``ast__{node}``, ``builtin__{name}``). Those
of own prompts are ``own__{concept}__{unit}`` and ``own__{concept}``, and the only list is
``own_concepts``. Files of the release lack ``width``, ``provenance`` and ``format_version``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.concepts import pairs_of_concepts
from atlas_assets.storage.codec import within
from atlas_assets.storage.hdf5.metadata import (
    Hdf5Codec,
    Metadata,
    concept_lists,
    read_vectors,
    require_count,
)
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.writer import Hdf5Writer
from atlas_assets.storage.provenance import Provenance


@dataclass(frozen=True)
class ActivationsFile(Hdf5Codec[Activations]):
    """Activations as HDF5.

    Attributes:
        units: what the units are.
        input_file: the published name of the prompts that they were computed from.
    """

    holds = Activations
    units: Literal["pairs", "concepts"]
    input_file: str

    def check(self, value: Activations, *, where: str) -> None:
        """Refuse units of another kind; `Activations` itself checks the rest when it is made."""
        super().check(value, where=where)
        with within(where):
            self._name_lists(value)

    def describe(self, value: Activations) -> dict[str, int | float | str]:
        """Return numbers of units, layers, neurons, prompts; share of neurons that ever fire."""
        firing = np.count_nonzero(value.counts) / max(1, value.counts.size)
        return {
            self.units: len(value.names),
            "layers": value.n_layers,
            "width": value.width,
            "prompts": int(value.n_prompts.sum()),
            "share_of_neurons_firing": round(float(firing), 4),
        }

    def fill(self, writer: Hdf5Writer, value: Activations, provenance: Provenance) -> Metadata:
        """Add sums, counts and numbers of prompts to a file."""
        model = provenance.lineage.model if provenance.lineage else None
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
        return attributes, self._name_lists(value)

    def extract(self, reader: Hdf5Reader, part: str | None) -> Activations:  # noqa: ARG002
        """Read the activations of a file and check every value."""
        names, sums = read_vectors(reader, "activations", np.float32)
        also, counts = read_vectors(reader, "firing_counts", np.int32)
        for name in sorted(set(names) ^ set(also)):
            lacking = "firing_counts" if name in names else "activations"
            reader.fail(f"/{lacking}/layer_0/{name}", "a dataset", "none of that name")
        if sums.shape != counts.shape:
            reader.fail("/firing_counts", f"shape {sums.shape}", f"shape {counts.shape}")
        require_count(reader, "activations", len(names))
        n_prompts = reader.scalars("n_prompts", names)
        if n_prompts.size and n_prompts.max() > np.iinfo(np.int32).max:
            reader.fail("/n_prompts", "numbers of at most 32 bits", str(n_prompts.max()))
        value = Activations(names, n_prompts.astype(np.int32), sums, counts)
        self._name_lists(value)
        return value

    def _name_lists(self, value: Activations) -> dict[str, tuple[str, ...]]:
        """The concepts that the units are made of, as the release lists them.

        Raises:
            StimulusError: a name is not that of a unit of this kind.
        """
        return concept_lists(
            pairs_of_concepts(value.names) if self.units == "pairs" else value.names
        )
