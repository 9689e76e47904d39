"""Parts of circuits against a scan of every size, one prompt at a time, on losses made by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from atlas_assets.stages.circuits import pruning
from atlas_assets.stages.circuits.samples import Sample
from atlas_assets.stages.masks.masks import Masks

CONCEPTS = ("ast__A", "ast__B", "builtin__c")
LAYERS, WIDTH = 2, 16
#: prompts of each concept
EACH = 3


def sample(prefix: str) -> Sample:
    n = EACH * len(CONCEPTS)
    texts = tuple(f"{prefix} {number}" for number in range(n))
    concept = np.repeat(np.arange(len(CONCEPTS)), EACH)
    return Sample(CONCEPTS, concept, ("A__c",) * n, np.zeros(n, dtype=np.int64), texts)


class Network:
    """A prompt loses what each closed neuron weighs for its concept, and a little of its own."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights, self.rounds = weights, 0

    def loss(self, text: str, gate: Any) -> float:
        number = int(text.split()[1])
        weigh = self.weights[number // EACH] * (1 + number % EACH)
        closed = [place for place in np.ndindex(LAYERS, WIDTH) if not gate[place]]
        return 1.0 + number / 10 + math.fsum(float(weigh[place]) for place in closed)

    def __call__(self, texts: Any, gates: Any, runs: Any, _means: Any) -> Any:
        self.rounds += 1
        return np.array([self.loss(texts[text], gates[gate]) for text, gate in runs])

    def faithfulness(self, texts: list[str], kept: set[tuple[int, ...]]) -> float:
        """F of what is kept, one prompt at a time."""

        def rise(some: set[tuple[int, ...]]) -> float:
            gate = {place: place in some for place in np.ndindex(LAYERS, WIDTH)}
            every = dict.fromkeys(gate, True)
            return math.fsum(self.loss(text, gate) - self.loss(text, every) for text in texts)

        return 1 - rise(kept) / rise(set())


def found(weights: np.ndarray, bits: np.ndarray, scores: np.ndarray) -> tuple[Network, Any]:
    network, means = Network(weights), np.zeros((LAYERS, WIDTH))
    judges = [pruning.Judge(network, sample(half), means) for half in ("sought", "test")]
    table = pruning.pruned("mine", Masks(CONCEPTS, bits), scores, *judges)
    pruning.SCHEMA.check(table, where="pruned_circuits")
    return network, table


def places(neurons: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, each.split(":"))) for each in neurons.split()]


@pytest.mark.parametrize("seed", range(3))
def test_a_part_is_the_first_that_a_scan_of_every_size_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=(3, LAYERS, WIDTH)) ** 2
    bits = rng.random(weights.shape) < 0.5
    scores = weights + rng.normal(scale=0.2, size=weights.shape)
    network, table = found(weights, bits, scores)
    for number, row in enumerate(table.rows(named=True)):
        circuit = [tuple(place) for place in np.argwhere(bits[number]).tolist()]
        circuit.sort(key=lambda place: -scores[number][place])
        texts = [f"sought {EACH * number + each}" for each in range(EACH)]
        whole = network.faithfulness(texts, set(circuit))
        assert row["size"] == len(circuit)
        assert row["faithfulness_sought"] == pytest.approx(whole)
        for size in itertools.count(1):  # every neuron of this network costs something
            part = circuit[:size]
            if network.faithfulness(texts, set(part)) >= 0.9 * whole:
                break
        assert row["kept"] == size < len(circuit)
        assert places(row["neurons"]) == part
        assert row["kept_sought"] == pytest.approx(network.faithfulness(texts, set(part)))
        held_out = [text.replace("sought", "test") for text in texts]
        assert row["kept_test"] == pytest.approx(network.faithfulness(held_out, set(part)))
        assert row["faithfulness_test"] == pytest.approx(
            network.faithfulness(held_out, set(circuit))
        )
        assert row["n_test"] == EACH


def test_neurons_that_cost_nothing_are_left_out_where_attribution_tells_them() -> None:
    """Three neurons of a circuit of all matter; shuffled attributions find a larger part."""
    weights = np.zeros((3, LAYERS, WIDTH))
    weights[:, 1, 4:7] = 1.0
    bits = np.ones(weights.shape, dtype=np.bool_)
    network, table = found(weights, bits, weights)
    assert table["kept"].to_list() == [3, 3, 3]
    assert table["kept_test"].to_list() == [1.0] * 3
    assert network.rounds <= 2 + 2 + 5 + 2  # whole and none, circuits, halvings, parts
    order = np.random.default_rng(0).permutation(LAYERS * WIDTH)
    shuffled = weights.reshape(3, -1)[:, order].reshape(weights.shape)
    _, table = found(weights, bits, shuffled)
    assert min(table["kept"]) > 10


def test_circuits_that_are_empty_or_not_faithful_have_no_part() -> None:
    weights = np.ones((3, LAYERS, WIDTH))
    weights[1, 0] = -0.5  # on the whole all MLPs help, and the circuit alone does harm
    bits = np.zeros(weights.shape, dtype=np.bool_)
    bits[1, 0, :4] = bits[2, 1, 3] = True
    _, table = found(weights, bits, weights)
    assert table["kept"].to_list() == [None, None, 1]
    assert table["neurons"].to_list() == [None, None, "1:3"]
    assert table["kept_test"].to_list()[:2] == [None, None]
    assert table["faithfulness_sought"][1] < 0
