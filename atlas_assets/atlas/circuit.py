"""The circuit of one concept, read from the files of an atlas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from atlas_assets.atlas.concept_names import find_concept
from atlas_assets.atlas.open import require_file
from atlas_assets.errors import SettingsError, expect
from atlas_assets.stages.concepts import kinds_of
from atlas_assets.stages.decomposition.decomposition import counts
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import nearest
from atlas_assets.stages.rounding import fractions
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.store import AtlasStore

#: what a layer of a circuit divides into, in neurons, and as shares of its size
PARTS = ("concept_only", "shared", "token_only", "concept_fraction", "token_fraction")


@dataclass(frozen=True)
class Circuit:
    """The circuit of one concept at one setting.

    Attributes:
        concept: the full name of the concept, as ``ast__For``.
        width: neurons per layer of the model.
        layers: one record per layer: ``layer``, ``size``, ``decomposition`` (values of `PARTS`, or
            ``None``), ``nearest`` (``concept`` and ``jaccard``, or ``None``) and ``neurons``.
        not_decomposed: why there is no decomposition; ``None`` where there is one.
        nearest: the concepts with the most similar circuits, with their Jaccard, best first.
    """

    concept: str
    width: int
    layers: list[dict[str, Any]]
    not_decomposed: str | None
    nearest: list[tuple[str, float]]


def circuit_of(
    store: AtlasStore,
    typed: str,
    setting: Setting,
    *,
    layer: int | None = None,
    n_nearest: int = 8,
) -> Circuit:
    """Return the circuit of the concept that a typed name means.

    Args:
        store: the atlas.
        typed: the full name of a concept, or its bare name where that is clear.
        setting: the setting of the masks.
        layer: only this layer; ``None``: all, and similarity is the mean over layers.
        n_nearest: how many similar concepts to name.

    Raises:
        MissingArtifactError: there are no masks at the setting.
        ArtifactError: a file is damaged.
        SettingsError: there is no such concept or layer.
    """
    require_file(store, "object_masks", setting)
    universal: Masks = store.read("object_masks", setting, part="universal").universal
    name = find_concept(typed, universal.names)
    layers = _layers(layer, universal)
    parts, why_not = _decomposition(store, setting, universal, name)
    return Circuit(
        concept=name,
        width=universal.width,
        layers=[_layer_record(universal, name, at, parts) for at in layers],
        not_decomposed=why_not,
        nearest=nearest(universal, name, layer)[:n_nearest],
    )


def _layers(layer: int | None, universal: Masks) -> range:
    expect(
        layer is None or 0 <= layer < universal.n_layers,
        SettingsError,
        "the atlas has no such layer",
        where="--layer",
        expected=f"0 to {universal.n_layers - 1}",
        found=str(layer),
        remedy="correct it, or leave it out for all layers",
    )
    return range(universal.n_layers) if layer is None else range(layer, layer + 1)


def _decomposition(
    store: AtlasStore, setting: Setting, universal: Masks, concept: str
) -> tuple[list[dict[str, int | float]] | None, str | None]:
    """The decomposition of a circuit per layer, or else the reason why there is none."""
    if not store.exists("checker_masks", setting):
        return None, f"the atlas has no checker masks at {setting}"
    checker: Masks = store.read("checker_masks", setting).masks
    if concept not in checker.names:
        if kinds_of(universal.names) == ("own",):
            return None, "the concept has no checker prompts"
        return None, "no keyword gives the concept away"
    cells = counts(universal.select([concept]), checker.select([concept]))[0]
    sizes = cells[:, 0] + cells[:, 1]
    shares = [fractions(cells[:, part], sizes).tolist() for part in (0, 1)]
    layers = zip(*cells.T.tolist(), *shares, strict=True)
    return [dict(zip(PARTS, layer, strict=True)) for layer in layers], None


def _layer_record(
    universal: Masks, concept: str, layer: int, parts: list[dict[str, int | float]] | None
) -> dict[str, Any]:
    neurons = np.flatnonzero(universal.bits[universal.index(concept), layer]).tolist()
    other, score = next(iter(nearest(universal, concept, layer)), ("", 0.0))
    return {
        "layer": layer,
        "size": len(neurons),
        "decomposition": parts[layer] if parts else None,
        "nearest": {"concept": other, "jaccard": score} if score > 0 else None,
        "neurons": neurons,
    }
