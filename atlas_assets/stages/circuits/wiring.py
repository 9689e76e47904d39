"""The wiring of a circuit: the non-zero weights between its nodes, in a weight-sparse model.

A circuit is a set of neurons (l, c): channel c of the residual stream, as layer l's readout writes
it. With W the weights of layer l, its graph is:

nodes   ``readout`` (l, c): the neurons of the circuit
        ``hidden`` (l, m): units of the MLP that write one: ``mlp.c_proj`` W[c, m] ≠ 0
        ``value`` (l, j): value channels of attention that write the same channel in the same layer:
        ``attn.c_proj`` W[c, j] ≠ 0
edges   hidden (l, m) → readout (l, c) of weight ``mlp.c_proj`` W[c, m], where it is not zero
        value (l, j) → readout (l, c) of weight ``attn.c_proj`` W[c, j]
        readout (k, c) → hidden (l, m) of weight ``mlp.c_fc`` W[m, c]
        readout (k, c) → value (l, j) of weight ``attn.c_attn`` W[j, c], row j of the values

with k the last layer before l that has (k, c) in the circuit: the residual stream carries a channel
on, so that what earlier layers wrote into it arrives with it, and each weight is one edge. Queries
and keys, position embeddings and channels that the circuit does not write are no nodes. The number
of edges is named after the size of a circuit in Gao et al. 2025 (arXiv:2511.13653) and not
comparable with it, as theirs are pruned.

Left out is what the attention of a layer writes and the MLP of the same layer reads. Gains of norms
are not in the weights: a channel that a norm nearly takes away has its edges all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.artifact import Artifact, Entry, Model, Needs
from atlas_assets.stages.circuits.artifacts import circuits_of
from atlas_assets.stages.circuits.statistics import Indices
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import Bits, Masks
from atlas_assets.stages.report.table import TYPE_NAMES, Cell, Table
from atlas_assets.stages.report.table import table as table_of
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.stages.setting import PUBLISHED, REFERENCE, Definition

#: the definitions whose circuits are wired
WIRED = (PUBLISHED, "contrastive")
#: the kinds of nodes, sorted
KINDS = HIDDEN, READOUT, VALUE = ("hidden", "readout", "value")
#: weights of which more than this share is not zero draw no circuit: everything is wired
DENSE = 0.5
NOT_APPLICABLE = (
    "not applicable: it takes the outputs of MLPs (ATLAS_SITE mlp_out) in a circuitgpt of whose "
    f"weights at most {DENSE:.0%} are not zero; in a dense model everything is wired to everything"
)


def _node(end: str) -> tuple[Column, ...]:
    return (
        col.count(f"{end}_layer", f"layer of the {end}, from 0"),
        Column(f"{end}_kind", pl.String(), f"what the {end} is", allowed=KINDS),
        col.count(f"{end}_index", "its neuron, hidden unit or value channel in the layer, from 0"),
    )


WIRING = TableSchema(
    columns=(
        col.text("definition", "definition of a circuit"),
        col.concept("concept", "concept"),
        *_node("source"),
        *_node("target"),
        Column("weight", pl.Float64(), "the weight, not zero"),
    ),
    key=(
        *("definition", "concept", "source_layer", "source_kind", "source_index"),
        *("target_layer", "target_kind", "target_index"),
    ),
)
EDGES = TableSchema(
    columns=(
        col.text("definition", "definition of a circuit"),
        col.concept("concept", "concept"),
        col.KIND,
        col.count("readouts", "neurons of the circuit that an edge begins or ends at"),
        col.count("hidden", "hidden units of MLPs among its nodes"),
        col.count("values", "value channels of attention among its nodes"),
        col.count("edges", "edges: non-zero weights between its nodes"),
    ),
    key=("definition", "concept"),
)


@dataclass(frozen=True, eq=False)
class Entries:
    """Non-zero weights between a unit of a layer and a channel of the residual stream.

    Attributes:
        layers, units, channels: int64 ``[entries]``.
        weights: float32 ``[entries]``.
    """

    layers: Indices
    units: Indices
    channels: Indices
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Weights:
    """The non-zero weights of a network's blocks.

    The units of a layer are the hidden units of its MLP, then the value channels of its attention.

    Attributes:
        hidden, values: How many units of each kind a layer has.
        reads: What the units read of the channels that enter their part of the block.
        writes: What they write into the channels.
        share: The share of all entries of those matrices that is not zero.
    """

    hidden: int
    values: int
    reads: Entries
    writes: Entries
    share: float


def edges_of(circuit: Bits, weights: Weights) -> tuple[Indices, npt.NDArray[np.float32]]:
    """Return the edges of a circuit, sorted, and their weights, float32 ``[edges]``.

    Args:
        circuit: bool ``[layers, width]``.
        weights: The network's.

    Returns:
        int64 ``[edges, 6]``: layer, kind (a place in ``KINDS``) and index of source and target.
    """
    writes, reads = weights.writes, weights.reads
    written = np.flatnonzero(circuit[writes.layers, writes.channels])
    nodes = np.zeros((len(circuit), weights.hidden + weights.values), dtype=np.bool_)
    nodes[writes.layers[written], writes.units[written]] = True
    left_by = _last_layer_before(circuit)[reads.layers, reads.channels]
    read = np.flatnonzero(nodes[reads.layers, reads.units] & (left_by >= 0))
    into = _ends(weights, writes, written, writes.layers[written])
    out_of = _ends(weights, reads, read, left_by[read])
    edges = np.concatenate([np.hstack(into), np.hstack(out_of[::-1])])
    node = (len(circuit), len(KINDS), max(circuit.shape[1], *nodes.shape))
    order = np.argsort(np.ravel_multi_index(tuple(edges.T), node * 2))
    found = np.concatenate([writes.weights[written], reads.weights[read]])
    return edges[order], found[order]


def _last_layer_before(circuit: Bits) -> Indices:
    """Return the last layer below each in which the circuit has the channel, −1 where none has."""
    found = np.full(circuit.shape, -1, dtype=np.int64)
    for layer in range(1, len(circuit)):
        found[layer] = np.where(circuit[layer - 1], layer - 1, found[layer - 1])
    return found


def _ends(
    weights: Weights, entries: Entries, chosen: Indices, layers: Indices
) -> tuple[Indices, Indices]:
    """Return unit and readout of the chosen entries, int64 ``[chosen, 3]`` each.

    The readouts are of ``layers``.
    """
    units = entries.units[chosen]
    is_hidden = units < weights.hidden
    kinds = np.where(is_hidden, KINDS.index(HIDDEN), KINDS.index(VALUE))
    units = np.where(is_hidden, units, units - weights.hidden)
    readouts = np.full(len(chosen), KINDS.index(READOUT))
    return (
        np.stack([entries.layers[chosen], kinds, units], axis=1),
        np.stack([layers, readouts, entries.channels[chosen]], axis=1),
    )


def wiring(circuits: Mapping[str, Masks], weights: Weights) -> pl.DataFrame:
    """Return the edges of all circuits of some definitions: columns ``WIRING``, sorted by its key.

    Weights of which more than `DENSE` is not zero give no edge.
    """
    if weights.share > DENSE:
        return WIRING.polars.to_frame()
    named, edges, found = [], [np.zeros((0, 6), np.int64)], [np.zeros(0, np.float32)]
    for definition, masks in sorted(circuits.items()):
        for concept, circuit in zip(masks.names, masks.bits, strict=True):
            of_one, its_weights = edges_of(circuit, weights)
            named.append((definition, concept, len(its_weights)))
            edges.append(of_one)
            found.append(its_weights)
    ends, kinds = np.concatenate(edges).T, pl.Series(KINDS)
    numbers = np.repeat(np.arange(len(named)), [n for *_, n in named])
    columns = {
        "definition": pl.Series([name for name, _, _ in named], dtype=pl.String()).gather(numbers),
        "concept": pl.Series([name for _, name, _ in named], dtype=pl.String()).gather(numbers),
        **dict(zip(WIRING.key[2:], ends, strict=True)),
        "source_kind": kinds.gather(ends[1]),
        "target_kind": kinds.gather(ends[4]),
        "weight": np.concatenate(found).astype(np.float64),
    }
    return pl.DataFrame(columns, schema=WIRING.polars)


def edges(table: pl.DataFrame, definitions: Iterable[str], names: Sequence[str]) -> pl.DataFrame:
    """Return how many nodes and edges each circuit has: columns ``EDGES``, sorted by its key.

    Args:
        table: Columns ``WIRING``, not empty.
        definitions: The definitions of the circuits.
        names: The concepts; those without an edge count as well.
    """
    circuits = pl.DataFrame(
        [(d, name, split_concept(name)[0]) for d in sorted(definitions) for name in sorted(names)],
        schema=("definition", "concept", "type"),
        orient="row",
    )
    # one circuit at a time: counted together, all edges would be in memory several times over
    rows = [
        (*circuit, *its.select(*map(_different, _COUNTED)).row(0), its.height)
        for circuit, its in table.group_by("definition", "concept")
    ]
    columns = {name: EDGES.polars[name] for name in EDGES.polars if name != "type"}
    counted = pl.DataFrame(rows, schema=columns, orient="row")
    found = circuits.join(counted, on=("definition", "concept"), how="left")
    return found.with_columns(pl.col(*_COUNTED.values(), "edges").fill_null(0)).select(
        EDGES.polars.names()
    )


_COUNTED = {READOUT: "readouts", HIDDEN: "hidden", VALUE: "values"}


def _different(kind: str) -> pl.Expr:
    """Count the nodes of a kind at either end of the edges."""
    at = [
        (pl.col(f"{end}_layer") * 2**32 + pl.col(f"{end}_index")).filter(
            pl.col(f"{end}_kind") == kind
        )
        for end in ("source", "target")
    ]
    return at[0].append(at[1]).n_unique().cast(pl.Int64).alias(kind)


def _wiring(making: Making) -> pl.DataFrame:
    weights = making.model.weights()
    if weights is None or weights.share > DENSE:
        making.warn(f"circuit_wiring has no edge: {NOT_APPLICABLE}")
        return WIRING.polars.to_frame()
    found = wiring(circuits_of(making, map(Definition, WIRED)), weights)
    making.note(share_of_weights_that_is_not_zero=weights.share)
    return found


def _edges(making: Making) -> pl.DataFrame:
    table: pl.DataFrame = making.read("circuit_wiring")
    names = making.any_universal().names
    return EDGES.polars.to_frame() if table.is_empty() else edges(table, WIRED, names)


def geometric_mean(edges: pl.Series) -> float | None:
    """Return the geometric mean of numbers of edges, of circuits that have any."""
    some = edges.filter(edges > 0).to_numpy()
    return float(np.exp(np.log(some).mean())) if len(some) else None


def edges_shown(counted: pl.DataFrame) -> Table:
    """Return the geometric mean of the edges of each definition and type for the report."""
    rows: list[list[Cell]] = []
    published_first = counted.sort(pl.col("definition") != PUBLISHED, maintain_order=True)
    grouped = published_first.group_by("definition", "type", maintain_order=True)
    for (definition, kind), some in grouped:
        n_edges = some["edges"].to_numpy()
        row: list[Cell] = [f"{definition}, {TYPE_NAMES[str(kind)]}", geometric_mean(some["edges"])]
        row += [int(n_edges.min()), int(n_edges.max())]
        rows.append(row + [float(some[column].to_numpy().mean()) for column in _COUNTED.values()])
    headers = ["definition", "edges", "fewest", "most", "neurons", "hidden units", "value channels"]
    return table_of(
        "Wiring of circuits",
        headers,
        rows,
        places=1,
        note="Edges: non-zero weights between the neurons of a circuit and the hidden units and "
        "value channels that write them, the geometric mean over concepts; nodes: means.",
    )


def in_words(counted: pl.DataFrame) -> str:
    """Return what is to be said where there is no wiring; else nothing."""
    return f"Wiring of circuits: {NOT_APPLICABLE}." if counted.is_empty() else ""


CIRCUIT_WIRING = Artifact(
    key="circuit_wiring",
    title="Wiring of circuits",
    filename="circuit_wiring.parquet",
    content=WIRING,
    description="The edges of the published and the contrastive circuits in a weight-sparse model: "
    "the non-zero weights from hidden units of MLPs and value channels of attention to the neurons "
    "of the circuit that they write, and from those neurons to the hidden units and value channels "
    "of later layers that read them. Not applicable to dense models: no row.",
    compute=_wiring,
    inputs=("masks", "circuits"),
    completes=("circuits",),
    model=Model.NETWORK,
    setting=REFERENCE,
    needs=Needs.GRID,
)
CIRCUIT_EDGES = Artifact(
    key="circuit_edges",
    title="Edges of circuits",
    filename="circuit_edges.csv",
    content=EDGES,
    description="How many nodes and edges the wiring of each circuit has; the geometric mean of "
    "the edges over concepts is named after the measure of Gao et al. 2025 and not comparable with "
    "it: these circuits are not pruned. Not applicable to dense models: no row.",
    compute=_edges,
    inputs=("masks", "circuit_wiring"),
    setting=REFERENCE,
    needs=Needs.GRID,
    entries=(Entry("circuits", edges_shown, rank=1), Entry("circuits", sentence=in_words, rank=1)),
)
