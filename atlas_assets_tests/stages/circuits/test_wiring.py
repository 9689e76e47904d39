"""The wiring of circuits against loops over dense matrices, and a circuit wired by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from atlas_assets.stages.circuits import wiring
from atlas_assets.stages.circuits.wiring import Entries, Weights
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.oracles import wiring_naive
from atlas_assets_tests.oracles.wiring_naive import Edge, Matrix

LAYERS, WIDTH, HIDDEN, VALUES, POSITIONS = 4, 12, 20, 8, 3
Dense = list[Mapping[str, Matrix]]


def random_matrices(seed: int, share: float = 0.3) -> Dense:
    """The matrices of every layer, most of their entries zero."""
    rng = np.random.default_rng(seed)

    def matrix(*shape: int) -> Matrix:
        return (rng.normal(size=shape) * (rng.random(shape) < share)).astype(np.float32)

    return [
        {
            "c_fc": matrix(HIDDEN, WIDTH + POSITIONS),
            "c_proj": matrix(WIDTH, HIDDEN),
            "values": matrix(VALUES, WIDTH + POSITIONS),
            "out": matrix(WIDTH, VALUES),
        }
        for _ in range(LAYERS)
    ]


def weights_of(layers: Sequence[Mapping[str, Matrix]]) -> Weights:
    """The same matrices as the product is given them."""
    reads = np.stack([np.concatenate([at["c_fc"], at["values"]])[:, :WIDTH] for at in layers])
    writes = np.stack([np.concatenate([at["c_proj"].T, at["out"].T]) for at in layers])
    share = np.count_nonzero(reads) + np.count_nonzero(writes)
    found = [Entries(*np.nonzero(each), each[np.nonzero(each)]) for each in (reads, writes)]
    return Weights(HIDDEN, VALUES, found[0], found[1], share / (2 * reads.size))


def random_circuits(seed: int, share: float = 0.3) -> Masks:
    bits = np.random.default_rng(seed).random((3, LAYERS, WIDTH)) < share
    return Masks(("ast__For", "ast__If", "builtin__len"), bits)


def edges_in(table: pl.DataFrame, concept: str, definition: str = "published") -> set[Edge]:
    its = table.filter(definition=definition, concept=concept)
    return set(its.drop("definition", "concept").rows())


@pytest.mark.parametrize("seed", range(3))
def test_every_edge_is_one_that_loops_over_dense_matrices_find(seed: int) -> None:
    layers, published, contrastive = random_matrices(seed), *map(random_circuits, (seed, seed + 9))
    circuits = {"published": published, "contrastive": contrastive}
    table = wiring.wiring(circuits, weights_of(layers))
    wiring.WIRING.check(table, where="circuit_wiring")
    assert table.equals(table.sort(wiring.WIRING.key))
    for definition, masks in circuits.items():
        for concept, circuit in zip(masks.names, masks.bits, strict=True):
            expected = wiring_naive.edges(circuit, layers)
            assert edges_in(table, concept, definition) == expected
            kinds = {(edge[1], edge[4]) for edge in expected}
            assert len(kinds) == 4  # each kind of edge is there to be compared


def test_with_shuffled_weights_the_edges_are_others() -> None:
    layers, circuits = random_matrices(1), random_circuits(1)
    weights = weights_of(layers)
    order = np.random.default_rng(0).permutation(len(weights.writes.units))
    mixed = replace(weights.writes, units=weights.writes.units[order])
    table = wiring.wiring({"published": circuits}, replace(weights, writes=mixed))
    for concept, circuit in zip(circuits.names, circuits.bits, strict=True):
        expected = wiring_naive.edges(circuit, layers)
        found = edges_in(table, concept)
        assert len(found & expected) < len(expected) / 2


def test_renumbered_hidden_units_and_channels_renumber_the_edges() -> None:
    layers, circuits = random_matrices(2), random_circuits(2)
    rng = np.random.default_rng(3)
    channels, units = rng.permutation(WIDTH), rng.permutation(HIDDEN)
    inputs = np.concatenate([channels, np.arange(WIDTH, WIDTH + POSITIONS)])
    renumbered: Dense = [
        {
            "c_fc": at["c_fc"][np.ix_(units, inputs)],
            "c_proj": at["c_proj"][np.ix_(channels, units)],
            "values": at["values"][:, inputs],
            "out": at["out"][channels],
        }
        for at in layers
    ]
    moved = Masks(circuits.names, circuits.bits[:, :, channels])
    table = wiring.wiring({"published": circuits}, weights_of(layers))
    other = wiring.wiring({"published": moved}, weights_of(renumbered))
    # place p of the renumbered network is number order[p] of the first
    back: Mapping[str, npt.NDArray[np.int64]] = {
        "readout": channels,
        "hidden": units,
        "value": np.arange(VALUES),
    }
    for concept in circuits.names:
        named = {
            (a, kind, int(back[kind][one]), b, other_kind, int(back[other_kind][two]), weight)
            for a, kind, one, b, other_kind, two, weight in edges_in(other, concept)
        }
        assert named == edges_in(table, concept) != edges_in(other, concept)


def planted() -> tuple[Dense, Masks]:
    """Neuron 3 of layer 0 is read by hidden unit 5 of layer 2, which writes neuron 7 there.

    Layer 1 writes channel 3 again for ``ast__If`` alone; a value channel copies it in layer 3.
    """
    layers: Dense = [
        {name: np.zeros_like(matrix) for name, matrix in at.items()} for at in random_matrices(0)
    ]
    layers[0]["c_proj"][3, 1] = 1.0
    layers[1]["out"][3, 4] = -2.0
    layers[2]["c_fc"][5, 3], layers[2]["c_proj"][7, 5] = 3.0, 4.0
    layers[3]["values"][6, 7], layers[3]["out"][2, 6] = 5.0, 6.0
    # what the circuits do not hold: a channel that they do not write, a position, another writer
    layers[2]["c_fc"][5, 9] = layers[2]["c_fc"][5, WIDTH] = layers[1]["c_proj"][8, 2] = 7.0
    bits = np.zeros((2, LAYERS, WIDTH), np.bool_)
    bits[:, 0, 3] = bits[:, 2, 7] = bits[:, 3, 2] = bits[1, 1, 3] = True
    return layers, Masks(("ast__For", "ast__If"), bits)


def test_a_circuit_that_is_wired_by_hand_has_those_edges_and_no_other() -> None:
    layers, circuits = planted()
    table = wiring.wiring({"published": circuits}, weights_of(layers))
    common = {
        (0, "hidden", 1, 0, "readout", 3, 1.0),
        (2, "hidden", 5, 2, "readout", 7, 4.0),
        (2, "readout", 7, 3, "value", 6, 5.0),
        (3, "value", 6, 3, "readout", 2, 6.0),
    }
    assert edges_in(table, "ast__For") == common | {(0, "readout", 3, 2, "hidden", 5, 3.0)}
    # the channel is read as the last layer that writes it leaves it
    assert edges_in(table, "ast__If") == common | {
        (1, "value", 4, 1, "readout", 3, -2.0),
        (1, "readout", 3, 2, "hidden", 5, 3.0),
    }
    names = (*circuits.names, "builtin__len")
    counted = wiring.edges(table, ["published"], names)
    wiring.EDGES.check(counted, where="circuit_edges")
    assert counted.rows() == [
        ("published", "ast__For", "ast", 3, 2, 1, 5),
        ("published", "ast__If", "ast", 4, 2, 2, 6),
        ("published", "builtin__len", "builtin", 0, 0, 0, 0),
    ]
    shown = wiring.edges_shown(counted)
    assert [row[:4] for row in shown.rows] == [
        ("published, AST nodes", f"{30**0.5:.1f}", "5", "6"),
        ("published, builtins", "–", "0", "0"),
    ]


def test_a_dense_model_has_no_wiring_and_is_said_to_have_none() -> None:
    dense = weights_of(random_matrices(0, share=0.8))
    table = wiring.wiring({"published": random_circuits(0)}, dense)
    assert table.is_empty()
    wiring.WIRING.check(table, where="circuit_wiring")
    assert "not applicable: it takes" in wiring.in_words(wiring.EDGES.polars.to_frame())


def test_circuits_without_neurons_have_no_edges() -> None:
    nothing = random_circuits(0, share=0.0)
    table = wiring.wiring({"published": nothing}, weights_of(random_matrices(0)))
    assert table.is_empty()
    assert wiring.edges(table, ["published"], nothing.names)["edges"].to_list() == [0, 0, 0]
