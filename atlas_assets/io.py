"""Load the files of an atlas as plain Python values and polars frames.

    from atlas_assets.io import load_universal_masks
    circuits = load_universal_masks(eps=0.5, cons=0.8)
    circuits["ast__For"][4]      # the neurons of the concept's circuit in layer 4, a set of int

Names and arguments are those of the dataset card's quickstart; frames are polars (``.to_pandas()``
gives pandas). ``data_root`` is any folder with the published file names, the paper's own download
included; without it, the loaders read the atlas that the ``ATLAS_*`` variables describe and refuse
files made under other settings. A file that this atlas does not have is fetched where
``ATLAS_HUB_SOURCE`` names a repository to fetch it from; offline, that is an error within seconds.
No model is needed, and neither torch nor dagster is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
from upath import UPath

from atlas_assets.atlas.compare import AtlasDiff, compare
from atlas_assets.atlas.open import open_folder, open_in_force, require_file
from atlas_assets.errors import SettingsError, expect
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.stored import AnyActivations
from atlas_assets.stages.concepts import kinds_of, of_kind, split_pair
from atlas_assets.stages.decomposition.decomposition import tidy_target_checker
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import REFERENCE, Setting, naming_values
from atlas_assets.storage.masks import layer_part
from atlas_assets.storage.store import AtlasStore

__all__ = [
    "AtlasDiff",
    "diff",
    "load_activations",
    "load_concept_inventory",
    "load_decomposition",
    "load_modularity_scores",
    "load_pair_masks",
    "load_prompts",
    "load_summary",
    "load_target_checker",
    "load_token_independence",
    "load_universal_masks",
    "load_universal_masks_as_arrays",
]

Folder = str | Path | UPath
Stage = Literal["object", "checker"]
PromptKind = Literal["object", "checker", "token_checker"]
TokenIndependence = Literal["summary", "detail", "no_keyword"]
NeuronSets = dict[int, set[int]]
NeuronArrays = dict[int, npt.NDArray[np.bool_]]


def load_universal_masks(
    *,
    eps: float = REFERENCE.epsilon,
    cons: float = REFERENCE.consistency,
    stage: Stage = "object",
    data_root: Folder | None = None,
) -> dict[str, NeuronSets]:
    """Load the circuit of every concept: the neurons that all its pairs share (paper §5).

    Args:
        eps: the ε of the setting.
        cons: the C of the setting.
        stage: ``object`` for the universal masks; ``checker`` for the masks of the keywords alone.
        data_root: the folder of the files; default: the atlas in force. These four mean the same
            in every loader.

    Returns:
        Concept (``ast__For``, ``builtin__len``), sorted → layer → indices of its neurons, 0 to
        width − 1; an empty set where a circuit is empty.

    Raises:
        MissingArtifactError: there is no file of this setting; the settings there are named.
        ArtifactError: the file is damaged.
        SettingsError: a value is out of range.
    """
    masks = _concept_masks(eps, cons, stage, data_root)
    return dict(_neuron_sets(masks, range(masks.n_layers)))


def load_universal_masks_as_arrays(
    *,
    eps: float = REFERENCE.epsilon,
    cons: float = REFERENCE.consistency,
    stage: Stage = "object",
    data_root: Folder | None = None,
) -> dict[str, NeuronArrays]:
    """Load the circuit of every concept, as `load_universal_masks` does, in arrays.

    Returns:
        Concept, sorted → layer → bool array ``[width]``, true at the neurons of the circuit.
    """
    masks = _concept_masks(eps, cons, stage, data_root)
    return {name: dict(enumerate(unit)) for name, unit in zip(masks.names, masks.bits, strict=True)}


def load_pair_masks(
    *,
    eps: float = REFERENCE.epsilon,
    cons: float = REFERENCE.consistency,
    stage: Stage = "object",
    layer: int | None = None,
    data_root: Folder | None = None,
) -> dict[tuple[str, str], NeuronSets]:
    """Load the circuit of every pair of an AST node and a builtin.

    Args:
        eps, cons, data_root: as for `load_universal_masks`, like the errors.
        stage: only ``object`` has pairs; ``checker`` is refused (SettingsError).
        layer: only this layer; default: all.

    Returns:
        (AST node, builtin), without prefixes (``("For", "list")``), or own concept and unit, sorted
        → layer → indices of its neurons.
    """
    _one_of("stage", stage, get_args(Stage))
    expect(
        stage != "checker",
        SettingsError,
        "checker prompts are about one concept each: there are no pairs",
        where="stage",
        expected="'object'",
        found=repr(stage),
        remedy="load_universal_masks(stage='checker') gives the masks of the keywords",
    )
    part = None if layer is None else layer_part(_layer(layer))
    pairs = _read("object_masks", data_root, _at(eps, cons), part).whole_pairs()
    layers = range(pairs.n_layers) if layer is None else [layer]
    return {split_pair(name): sets for name, sets in _neuron_sets(pairs, layers)}


def load_concept_inventory(
    *,
    eps: float = REFERENCE.epsilon,
    cons: float = REFERENCE.consistency,
    stage: Stage = "object",
    data_root: Folder | None = None,
) -> tuple[list[str], list[str]]:
    """Load the names of an atlas's AST nodes and builtins, each list sorted (paper §3.2).

    The names have no prefixes. With stage ``checker``, they are the testable ones: those that have
    a keyword. Of an atlas of own prompts, they are its concepts and no builtins.
    """
    names = _concept_masks(eps, cons, stage, data_root).names
    first, *second = (list(of_kind(names, kind)) for kind in kinds_of(names))
    return first, second[0] if second else []


def load_summary(*, data_root: Folder | None = None) -> pl.DataFrame:
    """Load ``14_summary.csv``: mean concept and token fractions per setting (paper §7.2)."""
    return _frame("summary", data_root)


def load_target_checker(
    *,
    eps: float = REFERENCE.epsilon,
    cons: float = REFERENCE.consistency,
    data_root: Folder | None = None,
) -> pl.DataFrame:
    """Load ``14_target_checker_*.csv``: what of each circuit is concept, what is token.

    Returns:
        ``target``, then a column per layer (``L0``, …) of ``co / sh / to`` (paper §6);
        `atlas_assets.stages.decomposition.decomposition.parse_target_checker` gives the numbers.
    """
    return _frame("target_checker", data_root, _at(eps, cons))


def load_decomposition(
    *,
    eps: float = REFERENCE.epsilon,
    cons: float = REFERENCE.consistency,
    data_root: Folder | None = None,
) -> pl.DataFrame:
    """Load what `load_target_checker` loads as a tidy table of numbers.

    Returns:
        One row per concept and layer: ``concept``, ``type``, ``layer``, ``size`` (neurons of the
        circuit A), ``concept_only`` (A∖B), ``shared`` (A∩B), ``token_only`` (B∖A), with B the
        mask of the keyword alone, ``concept_fraction`` and ``token_fraction`` of the size.
    """
    return tidy_target_checker(load_target_checker(eps=eps, cons=cons, data_root=data_root))


def load_activations(stage: Stage = "object", *, data_root: Folder | None = None) -> Activations:
    """Load what each neuron did, per pair or, with stage ``checker``, per testable concept.

    Returns:
        ``names`` of the units, sorted; ``n_prompts`` int32 ``[units]``; ``sums`` float32 and
        ``counts`` int32 ``[units, layers, width]``: Σ|readout| and #(|readout| > 0). All of them
        are held in memory, 131 MB per 1,000 pairs at 8 layers of 2,048 neurons.
        `atlas_assets.masks` makes masks of them.
    """
    activations: AnyActivations
    activations = _read(f"{_one_of('stage', stage, get_args(Stage))}_activations", data_root)
    return activations.whole()


def load_modularity_scores(
    *, data_root: Folder | None = None, detail: bool = False
) -> pl.DataFrame:
    """Load relaxed modularity: in how many layers a concept's circuit stands apart (paper §6.1).

    The table has one row per concept, named in the column ``index``, with the number of significant
    layers for each trim; with ``detail``, one row per concept, layer and trim.
    """
    return _frame("modularity_detail" if detail else "modularity_scores", data_root)


def load_token_independence(
    *, data_root: Folder | None = None, kind: TokenIndependence = "summary"
) -> pl.DataFrame:
    """Load what of a concept's circuit its keyword alone explains (paper §6).

    ``kind`` is ``summary`` (means per concept), ``detail`` (per concept and layer) or
    ``no_keyword`` (the concepts that have no keyword).
    """
    return _frame(
        f"token_independence_{_one_of('kind', kind, get_args(TokenIndependence))}", data_root
    )


def load_prompts(kind: PromptKind = "object", *, data_root: Folder | None = None) -> pl.DataFrame:
    """Load the prompts of an atlas, one per row (paper §4).

    ``kind`` is ``object`` (``11A_object_prompts.parquet``), ``checker``
    (``11B_checker_prompts.parquet``) or ``token_checker``.
    """
    return _frame(f"{_one_of('kind', kind, get_args(PromptKind))}_prompts", data_root)


def diff(a: Folder, b: Folder, *, claims: bool = True) -> AtlasDiff:
    """Compare two atlases, the folder ``b`` with the earlier or reference ``a``, as polars frames.

    With ``claims``, the published claims are evaluated on both, which takes a few seconds.

    Raises:
        MissingArtifactError: there is no such folder.
        ArtifactError: a file is damaged.
    """
    return compare(open_folder(a), open_folder(b), claims=claims)


def _concept_masks(eps: float, cons: float, stage: str, data_root: Folder | None) -> Masks:
    setting = _at(eps, cons)
    masks: Masks
    if _one_of("stage", stage, get_args(Stage)) == "object":
        masks = _read("object_masks", data_root, setting, part="universal").universal
    else:
        masks = _read("checker_masks", data_root, setting).masks
    return masks


def _at(eps: float, cons: float) -> Setting:
    with naming_values("eps", "cons"):
        return Setting(eps, cons)


def _frame(key: str, data_root: Folder | None, setting: Setting | None = None) -> pl.DataFrame:
    frame: pl.DataFrame = _read(key, data_root, setting)
    return frame


def _read(
    key: str, data_root: Folder | None, setting: Setting | None = None, part: str | None = None
) -> Any:
    store = open_folder(data_root) if data_root is not None else _open_in_force(key, setting)
    require_file(store, key, setting)
    return store.read(key, setting, part)


def _open_in_force(key: str, setting: Setting | None) -> AtlasStore:
    """Opens the atlas in force; a file it lacks is fetched if ATLAS_HUB_SOURCE is set."""
    settings = AtlasSettings.from_env()
    store = open_in_force(settings)
    if settings.hub_source is not None and not store.exists(key, setting):
        from atlas_assets.hub.fetch import fetch_missing

        fetch_missing(settings, store, key, setting)
    return store


def _neuron_sets(masks: Masks, layers: Iterable[int]) -> Iterator[tuple[str, NeuronSets]]:
    # one int object per neuron is shared by all sets: an int of its own in every set would take
    # more memory than the sets do
    neurons = np.arange(masks.width).astype(object)
    numbers = list(layers)
    for name, unit in zip(masks.names, masks.bits, strict=True):
        yield (
            name,
            {
                layer: set(neurons[np.flatnonzero(bits)].tolist())
                for layer, bits in zip(numbers, unit, strict=True)
            },
        )


def _layer(layer: int) -> int:
    expect(
        type(layer) is int and layer >= 0,
        SettingsError,
        "the atlas has no such layer",
        where="layer",
        expected="a whole number ≥ 0",
        found=repr(layer),
        remedy="correct it, or leave it out for all layers",
    )
    return layer


def _one_of(argument: str, value: str, choices: tuple[str, ...]) -> str:
    expect(
        value in choices,
        SettingsError,
        f"no such {argument}",
        where=argument,
        expected=" or ".join(map(repr, choices)),
        found=repr(value),
        remedy="correct the argument",
    )
    return value
