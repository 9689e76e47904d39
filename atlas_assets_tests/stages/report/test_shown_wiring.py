"""The wiring that is shown, held to the edges summed by plain loops."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.circuits.wiring import WIRING
from atlas_assets.stages.report.shown_wiring import STRONGEST, shown_wiring


def wiring(seed: int = 0) -> pl.DataFrame:
    """Two concepts that share edges: units 0 to 11 of three layers, channels 0 to 3."""
    rng, edges = np.random.default_rng(seed), {}
    for layer in range(3):
        for unit in range(12):
            kind = "hidden" if unit % 3 else "value"
            for channel in rng.choice(4, 2, replace=False).tolist():
                source, target = (layer, kind, unit), (layer, "readout", channel)
                edges[(*source, *target)] = round(float(rng.normal()), 4)
                if layer:
                    before = (layer - 1, "readout", (channel + 1) % 4)
                    edges[(*before, *source)] = round(float(rng.normal()), 4)
    rows = [
        ("published", concept, *ends, weight)
        for concept in ("ast__For", "ast__If")
        for ends, weight in edges.items()
        if concept == "ast__For" or ends[0] != 1
    ]
    rows.append(("contrastive", "ast__For", 0, "hidden", 99, 0, "readout", 99, 9.0))
    return pl.DataFrame(rows, schema=WIRING.polars, orient="row")


def test_links_go_through_every_unit_that_reads_the_one_and_writes_the_other() -> None:
    edges = {row[2:8]: row[8] for row in wiring().rows() if row[0] == "published"}
    expected: dict[tuple[int, int, int], float] = defaultdict(float)
    for (*source, layer, kind, to), weight in edges.items():
        if kind != "readout":
            continue
        for (_, _, from_, *reader), read in edges.items():
            if reader == source:
                expected[layer, from_, to] += abs(weight * read)
    found = shown_wiring(wiring())
    assert found is not None
    links = {(layer, from_, to): strength for layer, from_, to, strength in found["links"]}
    assert links == pytest.approx(dict(expected), rel=6e-3)
    assert list(links) == sorted(links)


def test_the_strongest_writers_and_readers_come_first() -> None:
    found = shown_wiring(wiring())
    assert found is not None
    edges = {row[2:8]: row[8] for row in wiring().rows() if row[0] == "published"}
    for name, (n, units) in found["writers"].items():
        layer, neuron = map(int, name.split("."))
        of = [w for ends, w in edges.items() if ends[3:] == (layer, "readout", neuron)]
        assert n == len(of)
        strongest = sorted(map(abs, of), reverse=True)[:STRONGEST]
        assert [abs(unit[3]) for unit in units] == pytest.approx(strongest, rel=6e-3)
    assert "99" not in {name.split(".")[1] for name in found["writers"]}
    assert all(name.split(".")[0] != "2" for name in found["readers"])


def test_without_edges_there_is_none() -> None:
    assert shown_wiring(WIRING.polars.to_frame()) is None
