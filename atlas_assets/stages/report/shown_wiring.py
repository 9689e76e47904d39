"""The wiring of the published circuits for readers: what writes and reads each neuron, and links.

A *link* leads from a neuron of an earlier layer to one of a later layer, through the hidden units
and value channels that read the one and write the other; its strength is the sum over them of
|weight read · weight written|.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from atlas_assets.stages.setting import PUBLISHED

#: of what writes or reads a neuron, the strongest that are shown
STRONGEST = 8
_SOURCE = ["source_layer", "source_kind", "source_index"]
_TARGET = ["target_layer", "target_kind", "target_index"]
_DIGITS = 3


def shown_wiring(wiring: pl.DataFrame) -> dict[str, Any] | None:
    """Return the wiring of the published circuits; ``None`` where it has no edge.

    Args:
        wiring: The table ``circuit_wiring``.

    Returns:
        ``links``: ``[layer, from, to, strength]``, the layer being that of the neuron ``to``;
        ``writers``: of neuron ``layer.neuron``, how many write it and the strongest,
        ``[layer, kind, index, weight]``; ``readers`` likewise.
    """
    edges = wiring.filter(definition=PUBLISHED).unique([*_SOURCE, *_TARGET])
    if edges.is_empty():
        return None
    written = edges.filter(target_kind="readout")
    read = edges.filter(source_kind="readout")
    return {
        "links": _links(written, read),
        "writers": _strongest(written, _TARGET, _SOURCE),
        "readers": _strongest(read, _SOURCE, _TARGET),
    }


def _links(written: pl.DataFrame, read: pl.DataFrame) -> list[list[Any]]:
    # a channel is read alike whatever layer wrote it
    reads = read.unique(["source_index", *_TARGET]).select(
        pl.col("source_index").alias("from"),
        pl.col("target_layer").alias("layer"),
        pl.col("target_kind").alias("kind"),
        pl.col("target_index").alias("unit"),
        pl.col("weight").alias("read"),
    )
    writes = written.select(
        pl.col("source_layer").alias("layer"),
        pl.col("source_kind").alias("kind"),
        pl.col("source_index").alias("unit"),
        pl.col("target_index").alias("to"),
        pl.col("weight"),
    )
    paths = writes.join(reads, on=["layer", "kind", "unit"]).sort(
        "layer", "from", "to", "kind", "unit"
    )
    links = paths.group_by("layer", "from", "to", maintain_order=True).agg(
        (pl.col("read") * pl.col("weight")).abs().sum().round_sig_figs(_DIGITS)
    )
    return [list(row) for row in links.rows()]


def _strongest(edges: pl.DataFrame, neuron: list[str], unit: list[str]) -> dict[str, list[Any]]:
    """Return how many edges each neuron has, and the strongest, by ``layer.neuron``."""
    layer, _, index = neuron
    ranked = edges.sort(layer, index, -pl.col("weight").abs(), *unit)
    found: dict[str, list[Any]] = {}
    for at, some in ranked.group_by(layer, index, maintain_order=True):
        strongest = some[:STRONGEST].select(*unit, pl.col("weight").round_sig_figs(_DIGITS))
        found[".".join(map(str, at))] = [some.height, [list(row) for row in strongest.rows()]]
    return found
