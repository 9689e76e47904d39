"""Files as the paper's release writes them: plain h5py, gzip, default options, no provenance."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from atlas_assets.files.locations import file_digest
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.masks.masks import CheckerMasks, ObjectMasks
from atlas_assets.storage import source_record
from atlas_assets.storage.hdf5.metadata import concept_lists
from atlas_assets.storage.source_record import PAPER_REPOSITORIES, SourceRecord


def note_fetched(folder: Path, repository: str = PAPER_REPOSITORIES[0]) -> None:
    """Note of every file that it was fetched from the repository; the paper's is the release."""
    for path in [path for path in folder.iterdir() if path.is_file()]:
        told = {"path": path.name, "sha256": file_digest(path), "size": path.stat().st_size}
        told |= {"repository": repository, "revision": "0" * 40, "on_main_branch": True}
        source_record.write(path, SourceRecord.model_validate(told))


def write_activations(path: Path, value: Activations) -> None:
    with h5py.File(path, "w") as file:
        _vectors(file, "activations", value.names, value.sums)
        _vectors(file, "firing_counts", value.names, value.counts)
        for name, n in zip(value.names, value.n_prompts, strict=True):
            file[f"n_prompts/{name}"] = int(n)
        metadata = file.create_group("metadata")
        metadata.attrs["model_id"] = "openai/circuit-sparsity"
        metadata.attrs["n_layers"] = value.n_layers
        metadata.attrs["n_pairs"] = len(value.names)
        metadata.attrs["input_file"] = "11A_object_prompts.parquet"


def write_object_masks(path: Path, value: ObjectMasks, *, sparse: bool = False) -> None:
    """With ``sparse``, without metrics, counts and name lists."""
    with h5py.File(path, "w") as file:
        _vectors(file, "pair_masks", value.pairs.names, value.pairs.bits)
        _vectors(file, "universal_masks", value.universal.names, value.universal.bits)
        metadata = file.create_group("metadata")
        metadata.attrs["epsilon"] = value.setting.epsilon
        metadata.attrs["consistency_thresh"] = value.setting.consistency
        if sparse:
            return
        metadata.attrs["n_pairs"] = len(value.pairs.names)
        metadata.attrs["n_layers"] = value.pairs.n_layers
        for key, names in concept_lists(value.universal.names).items():
            metadata.create_dataset(key, data=np.array(names, dtype=h5py.string_dtype()))
        file.create_dataset("metrics/jaccard_ast_matrix", data=value.matrices["ast"])
        file.create_dataset("metrics/jaccard_builtin_matrix", data=value.matrices["builtin"])


def write_checker_masks(path: Path, value: CheckerMasks) -> None:
    with h5py.File(path, "w") as file:
        _vectors(file, "token_checker_masks", value.masks.names, value.masks.bits)
        metadata = file.create_group("metadata")
        metadata.attrs["epsilon"] = value.setting.epsilon
        metadata.attrs["consistency_threshold"] = value.setting.consistency


def _vectors(file: h5py.File, group: str, names: tuple[str, ...], values: np.ndarray) -> None:
    for row, name in enumerate(names):
        for layer, vector in enumerate(values[row]):
            key = f"{group}/layer_{layer}/{name}"
            file.create_dataset(key, data=vector, compression="gzip")
