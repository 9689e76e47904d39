"""The wiring of a concept's circuit, and that of one node, read from the files of an atlas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from atlas_assets.atlas.concept_names import find_concept
from atlas_assets.atlas.open import require_file
from atlas_assets.errors import ArtifactError, SettingsError, expect
from atlas_assets.stages.circuits.wiring import HIDDEN, NOT_APPLICABLE, READOUT, VALUE, WIRED
from atlas_assets.storage.store import AtlasStore

_CIRCUIT = ("definition", "concept")


@dataclass(frozen=True)
class Wired:
    """The wiring of one circuit.

    Attributes:
        concept: the full name of the concept.
        size: its numbers of ``readouts``, ``hidden``, ``values`` and ``edges``.
        layers: the same per layer, the edges as ``written`` (to its neurons) and ``read`` (by its
            hidden units and value channels).
        edges: the edges, sorted: the columns of source and target, and ``weight``.
    """

    concept: str
    size: dict[str, int]
    layers: list[dict[str, int]]
    edges: pl.DataFrame


def wiring_of(store: AtlasStore, typed: str, definition: str) -> Wired:
    """Return the wiring of the circuit of the concept that a typed name means.

    Raises:
        MissingArtifactError: the atlas has no wiring.
        ArtifactError: it is damaged, or wiring is not applicable.
        SettingsError: there is no such concept, or the definition is not wired.
    """
    counted = _counted(store)
    name = find_concept(typed, tuple(counted["concept"].unique().sort()))
    expect(
        definition in WIRED,
        SettingsError,
        "the circuits by that definition are not wired",
        where="--definition",
        expected=" or ".join(WIRED),
        found=repr(definition),
        remedy="name one of those",
    )
    row = counted.row(by_predicate=_is(definition=definition, concept=name), named=True)
    edges = store.read("circuit_wiring").filter(_is(definition=definition, concept=name))
    edges = edges.drop(_CIRCUIT)
    size = {part: row[part] for part in ("readouts", "hidden", "values", "edges")}
    n_layers = store.read("masks")["layer"].n_unique()
    return Wired(name, size, [_layer(edges, layer) for layer in range(n_layers)], edges)


def _is(**values: Any) -> pl.Expr:
    return pl.all_horizontal(pl.col(column) == value for column, value in values.items())


def _counted(store: AtlasStore) -> pl.DataFrame:
    require_file(store, "circuit_edges")
    require_file(store, "circuit_wiring")
    counted: pl.DataFrame = store.read("circuit_edges")
    expect(
        not counted.is_empty(),
        ArtifactError,
        f"there is no wiring: {NOT_APPLICABLE}",
        where=str(store.path("circuit_wiring")),
        expected="an atlas of what the MLPs of a weight-sparse model give",
        found="one of another",
        remedy="look into another folder (ATLAS_DATA_DIR and ATLAS_NAME)",
    )
    return counted


def _layer(edges: pl.DataFrame, layer: int) -> dict[str, int]:
    into, out_of = edges.filter(target_layer=layer), edges.filter(source_layer=layer)
    ends = pl.concat(
        [
            into.select(kind="target_kind", index="target_index"),
            out_of.select(kind="source_kind", index="source_index"),
        ]
    ).unique()
    return {
        "layer": layer,
        **{
            part: ends.filter(kind=kind).height
            for part, kind in (("readouts", READOUT), ("hidden", HIDDEN), ("values", VALUE))
        },
        "written": into.filter(target_kind=READOUT).height,
        "read": into.filter(pl.col("target_kind") != READOUT).height,
    }


@dataclass(frozen=True)
class Node:
    """What is known of one neuron, hidden unit or value channel.

    Attributes:
        held_by: per definition, the concepts whose circuits, or the wiring of whose circuits, hold
            it.
        written_by, read_by: ``layer``, ``kind``, ``index`` and ``weight`` of what is at the other
            end of its edges, and the number of ``circuits`` that have the edge; the greatest
            |weight| first.
        largest: the largest index that a node of its kind has in the wiring, at any layer; None
            where there is none. How many hidden units and value channels the model has, an atlas
            does not say.
    """

    held_by: dict[str, list[str]]
    written_by: pl.DataFrame
    read_by: pl.DataFrame
    largest: int | None


def node_of(store: AtlasStore, kind: str, layer: int, index: int) -> Node:
    """Return what writes and reads a node in the circuits that are wired, and which hold it.

    Raises:
        MissingArtifactError, ArtifactError: as `wiring_of`.
        SettingsError: the model has no such layer or neuron.
    """
    _counted(store)
    _require_place(store, kind, layer, index)
    wiring: pl.DataFrame = store.read("circuit_wiring")
    ends = {"layer": layer, "kind": kind, "index": index}
    reads = wiring.filter(_is(**{f"source_{name}": value for name, value in ends.items()}))
    writes = wiring.filter(_is(**{f"target_{name}": value for name, value in ends.items()}))
    if kind == READOUT:
        held_by = {
            str(definition): store.read("circuits", definition)
            .filter(layer=layer, neuron=index)["concept"]
            .to_list()
            for definition in store.definitions
            if store.exists("circuits", definition)
        }
    else:
        both = pl.concat([reads, writes]).select(_CIRCUIT).unique().sort(_CIRCUIT)
        held_by = {name: both.filter(definition=name)["concept"].to_list() for name in WIRED}
    found = pl.concat(
        wiring.filter(_is(**{f"{end}_kind": kind})).select(index=f"{end}_index")
        for end in ("source", "target")
    )
    largest = None if found.is_empty() else int(found["index"].max())  # type: ignore[arg-type]
    return Node(held_by, _others(writes, "source"), _others(reads, "target"), largest)


def _require_place(store: AtlasStore, kind: str, layer: int, index: int) -> None:
    masks: pl.DataFrame = store.read("masks")
    n_layers, width = masks["layer"].n_unique(), int(masks["width"][0])
    fits = layer < n_layers and (kind != READOUT or index < width)
    of_neurons = f", neurons 0 to {width - 1}" if kind == READOUT else ""
    expect(
        fits,
        SettingsError,
        "the model has no such place",
        where="LAYER INDEX",
        expected=f"layers 0 to {n_layers - 1}{of_neurons}",
        found=f"{layer} {index}",
        remedy="correct it",
    )


def _others(edges: pl.DataFrame, end: str) -> pl.DataFrame:
    names = ("layer", "kind", "index")
    other = edges.select(*(pl.col(f"{end}_{name}").alias(name) for name in names), "weight")
    counted = other.group_by(*names, "weight").agg(circuits=pl.len().cast(pl.Int64))
    return counted.sort(-pl.col("weight").abs(), *names)
