"""``12_*_activations.h5``: sums and counts of every unit and layer (docs/science.md §2).

Layout::

    /activations/layer_L/{unit}     float32 [width]   Σ|readout| over the unit's prompts
    /firing_counts/layer_L/{unit}   int32 [width]     #(|readout| > 0)
    /n_prompts/{unit}               int64 scalar
    /metadata                       attributes model_id, n_layers, n_pairs, width, input_file,
                                    provenance, format_version; datasets ast_nodes, builtin_objs

A unit is a pair (``{ast}__{builtin}``) or a concept (``ast__{node}``, ``builtin__{name}``). Files
of the release lack ``width``, ``provenance`` and ``format_version``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from atlas_assets.files.locations import Source, label
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.concepts import inventory, split_concept
from atlas_assets.storage.codec import instance_of, within
from atlas_assets.storage.hdf5.metadata import (
    Hdf5Codec,
    concept_lists,
    provenance_attributes,
    require_count,
    whole_number,
)
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.writer import Hdf5Writer
from atlas_assets.storage.provenance import Provenance


@dataclass(frozen=True)
class ActivationsFile(Hdf5Codec[Activations]):
    """Activations as HDF5.

    Attributes:
        units: what the units are.
        input_file: published name of the prompts they were computed from.
    """

    units: Literal["pairs", "concepts"]
    input_file: str

    def check(self, value: Activations, *, where: str) -> None:
        """Checks the units' names; `Activations` itself checks the rest when it is made."""
        instance_of(value, Activations, where=where)
        with within(where):
            self._name_lists(value)

    def payload_digest(self, value: Activations) -> str:
        """SHA-256 (hex) over names, prompt counts, sums and counts."""
        return value.digest()

    def describe(self, value: Activations) -> dict[str, int | float | str]:
        """Numbers of units, layers, neurons and prompts; share of neurons that ever fire."""
        firing = np.count_nonzero(value.counts) / max(1, value.counts.size)
        return {
            self.units: len(value.names),
            "layers": value.n_layers,
            "width": value.width,
            "prompts": int(value.n_prompts.sum()),
            "share_of_neurons_firing": round(float(firing), 4),
        }

    def encode(self, value: Activations, provenance: Provenance) -> bytes:
        """Returns the bytes of an HDF5 file that holds the activations and their provenance."""
        model = provenance.lineage.model if provenance.lineage else None
        writer = Hdf5Writer()
        writer.vectors("activations", value.names, value.sums)
        writer.vectors("firing_counts", value.names, value.counts)
        writer.scalars("n_prompts", value.names, value.n_prompts)
        attributes: dict[str, str | int | float] = {
            "model_id": model.model_id if model else "unknown",
            "n_layers": value.n_layers,
            "n_pairs": len(value.names),
            "width": value.width,
            "input_file": self.input_file,
            **provenance_attributes(provenance),
        }
        writer.metadata(attributes, self._name_lists(value))
        return writer.finish()

    def decode(self, source: Source, *, part: str | None = None) -> Activations:  # noqa: ARG002
        """Reads the activations of a file and checks every value."""
        with Hdf5Reader(source) as reader:
            size = {
                "n_layers": whole_number(reader, "n_layers"),
                "width": whole_number(reader, "width"),
            }
            names, sums = reader.vectors("activations", np.float32, **size)
            also, counts = reader.vectors("firing_counts", np.int32, **size)
            for name in sorted(set(names) ^ set(also)):
                lacking = "firing_counts" if name in names else "activations"
                reader.fail(f"/{lacking}/layer_0/{name}", "a dataset", "none of that name")
            if sums.shape != counts.shape:
                reader.fail("/firing_counts", f"shape {sums.shape}", f"shape {counts.shape}")
            require_count(reader, "activations", len(names))
            n_prompts = reader.scalars("n_prompts", names)
            if n_prompts.size and n_prompts.max() > np.iinfo(np.int32).max:
                reader.fail("/n_prompts", "numbers of at most 32 bits", str(n_prompts.max()))
        with within(label(source)):
            value = Activations(names, n_prompts.astype(np.int32), sums, counts)
            self._name_lists(value)
        return value

    def _name_lists(self, value: Activations) -> dict[str, tuple[str, ...]]:
        """The concepts that the units are made of, as the release lists them.

        Raises:
            StimulusError: a name is not that of a unit of this kind.
        """
        if self.units == "pairs":
            ast_nodes, builtins = inventory(value.names)
            return {"ast_nodes": ast_nodes, "builtin_objs": builtins}
        for name in value.names:
            split_concept(name)
        return concept_lists(value.names)
