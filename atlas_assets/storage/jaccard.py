"""Jaccard matrices of all layers as HDF5.

Layout::

    /jaccard/layer_L/{ast,builtin}   float64 [n, n], symmetric
    /metadata                        epsilon, consistency_thresh, n_layers, provenance,
                                     format_version; datasets ast_nodes, builtin_objs: the order of
                                     rows and columns (of own prompts: group own, own_concepts)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from atlas_assets.errors import unsound
from atlas_assets.stages.activations.activations import payload_digest
from atlas_assets.stages.analyses.ockham import JaccardMatrices
from atlas_assets.stages.concepts import Kind, concept_name, of_kind, split_concept
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.hdf5.metadata import (
    CONSISTENCY_SPELLINGS,
    LISTS,
    Hdf5Codec,
    Metadata,
    read_setting,
    whole_number,
)
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.writer import METADATA, Array, Hdf5Writer
from atlas_assets.storage.provenance import Provenance

_GROUP = "jaccard"
_unsound = partial(unsound, "the Jaccard matrices are not sound")


@dataclass(frozen=True)
class JaccardMatricesFile(Hdf5Codec[JaccardMatrices]):
    """Jaccard matrices as HDF5, of the one setting that the file is about by definition."""

    holds = JaccardMatrices
    setting: Setting

    def check(self, value: JaccardMatrices, *, where: str) -> None:
        """Refuse matrices that are no similarities, or not of as many layers for both types."""
        super().check(value, where=where)
        if len({len(matrices) for matrices in value.values.values()}) != 1:
            raise _unsound(where, "as many layers for both types", "different numbers")
        for kind, names in value.names.items():
            matrices = value.values[kind]
            if list(names) != sorted({*names}) or any(split_concept(n)[0] != kind for n in names):
                raise _unsound(f"{where}, {kind}", f"{kind} concepts, sorted, each once", "others")
            if matrices.shape[1:] != (len(names), len(names)):
                raise _unsound(f"{where}, {kind}", f"{len(names)} rows", f"{matrices.shape}")
            if not _are_similarities(matrices):
                raise _unsound(f"{where}, {kind}", "symmetric values from 0 to 1", "others")

    def payload_digest(self, value: JaccardMatrices) -> str:
        """Return the SHA-256 (hex) over names and matrices."""
        names = tuple(name for of_kind in value.names.values() for name in of_kind)
        return payload_digest(names, {str(kind): of for kind, of in value.values.items()})

    def describe(self, value: JaccardMatrices) -> dict[str, int | float | str]:
        """Return numbers of concepts of either type, and of layers."""
        return {
            "setting": str(self.setting),
            **{f"n_{kind}": len(names) for kind, names in value.names.items()},
            "layers": value.n_layers,
        }

    def fill(self, writer: Hdf5Writer, value: JaccardMatrices, provenance: Provenance) -> Metadata:  # noqa: ARG002
        """Add the matrices of all layers to a file."""
        writer.matrices(_GROUP, {})
        for layer in range(value.n_layers):
            matrices: dict[str, Array] = {kind: of[layer] for kind, of in value.values.items()}
            writer.matrices(f"{_GROUP}/layer_{layer}", matrices)
        attributes = {
            "epsilon": self.setting.epsilon,
            CONSISTENCY_SPELLINGS[0]: self.setting.consistency,
            "n_layers": value.n_layers,
        }
        return attributes, {LISTS[kind]: of_kind(value.names[kind], kind) for kind in value.names}

    def extract(self, reader: Hdf5Reader, part: str | None) -> JaccardMatrices:  # noqa: ARG002
        """Read the matrices of a file; refuse a file that names another setting."""
        found = read_setting(reader)
        if found != self.setting:
            reader.fail(f"/{METADATA} epsilon", str(self.setting), str(found))
        own = reader.name_list(LISTS["own"]) is not None
        kinds: tuple[Kind, ...] = ("own",) if own else ("ast", "builtin")
        value = JaccardMatrices(
            {kind: _names(reader, kind) for kind in kinds},
            {kind: _matrices(reader, kind) for kind in kinds},
        )
        self.check(value, where=reader.label)
        return value


def _names(reader: Hdf5Reader, kind: Kind) -> tuple[str, ...]:
    listed = reader.name_list(LISTS[kind])
    if listed is None:
        reader.fail(f"/{METADATA}/{LISTS[kind]}", "a list of names", "none")
    return tuple(concept_name(kind, name) for name in listed)


def _matrices(reader: Hdf5Reader, kind: Kind) -> Array:
    n_layers = whole_number(reader, "n_layers")
    if not n_layers:
        reader.fail(f"/{METADATA} n_layers", "at least one layer", str(n_layers))
    matrices: list[Array] = []
    for layer in range(n_layers):
        key = f"{_GROUP}/layer_{layer}/{kind}"
        matrix = reader.matrix(key)
        if matrix is None:
            reader.fail(f"/{key}", "a matrix", "none")
        if matrices and matrix.shape != matrices[0].shape:
            reader.fail(f"/{key}", f"shape {matrices[0].shape}", f"{matrix.shape}")
        matrices.append(matrix)
    return np.stack(matrices)


def _are_similarities(matrices: Array) -> bool:
    in_range = np.isfinite(matrices) & (matrices >= 0) & (matrices <= 1)
    return bool(in_range.all() and np.array_equal(matrices, matrices.swapaxes(1, 2)))
