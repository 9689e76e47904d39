"""Files as the paper's release writes them: plain h5py, gzip, default options, no provenance."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, ObjectMasks


def write_activations(path: Path, value: Activations) -> None:
    with h5py.File(path, "w") as file:
        for row, name in enumerate(value.names):
            for layer in range(value.n_layers):
                key = f"layer_{layer}/{name}"
                for group, vectors in (
                    ("activations", value.sums),
                    ("firing_counts", value.counts),
                ):
                    file.create_dataset(
                        f"{group}/{key}", data=vectors[row, layer], compression="gzip"
                    )
            file.create_dataset(f"n_prompts/{name}", data=int(value.n_prompts[row]))
        metadata = file.create_group("metadata")
        metadata.attrs["model_id"] = "openai/circuit-sparsity"
        metadata.attrs["n_layers"] = value.n_layers
        metadata.attrs["n_pairs"] = len(value.names)
        metadata.attrs["input_file"] = "11A_object_prompts.parquet"


def write_object_masks(path: Path, value: ObjectMasks, *, sparse: bool = False) -> None:
    """With ``sparse``, without metrics, counts and name lists."""
    assert value.pairs is not None
    with h5py.File(path, "w") as file:
        _vectors(file, "pair_masks", value.pairs)
        _vectors(file, "universal_masks", value.universal)
        metadata = file.create_group("metadata")
        metadata.attrs["epsilon"] = value.setting.epsilon
        metadata.attrs["consistency_thresh"] = value.setting.consistency
        if sparse:
            return
        metadata.attrs["n_pairs"] = len(value.pairs.names)
        metadata.attrs["n_layers"] = value.pairs.n_layers
        for key, names in (("ast_nodes", value.ast_nodes), ("builtin_objs", value.builtins)):
            metadata.create_dataset(key, data=np.array(names, dtype=h5py.string_dtype()))
        file.create_dataset("metrics/jaccard_ast_matrix", data=value.jaccard_ast)
        file.create_dataset("metrics/jaccard_builtin_matrix", data=value.jaccard_builtin)


def write_checker_masks(path: Path, value: CheckerMasks) -> None:
    with h5py.File(path, "w") as file:
        _vectors(file, "token_checker_masks", value.masks)
        metadata = file.create_group("metadata")
        metadata.attrs["epsilon"] = value.setting.epsilon
        metadata.attrs["consistency_threshold"] = value.setting.consistency


def _vectors(file: h5py.File, group: str, masks: Masks) -> None:
    for row, name in enumerate(masks.names):
        for layer in range(masks.n_layers):
            file.create_dataset(
                f"{group}/layer_{layer}/{name}", data=masks.bits[row, layer], compression="gzip"
            )
