"""The data of the page, unpacked by plain loops and held to the files it is of."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_assets.stages.circuits.ablation import EXACT
from atlas_assets.stages.circuits.quality import LEAST_CLUSTERS, LEAST_PROMPTS
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.report import explorer
from atlas_assets.stages.report.explorer import explorer_data, leaf_order, packed
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.stages.report.test_page import fill, making_of, page_of, store_at
from atlas_assets_tests.storage.samples import CONCEPTS, checkers, objects


def unpacked(told: dict[str, str], n: int, size: int) -> list[set[int]]:
    """The neurons of every circuit, octet by octet."""
    if "bits" in told:
        octets = base64.b64decode(told["bits"])
        places = [
            8 * i + bit
            for i, octet in enumerate(octets)
            for bit in range(8)
            if octet >> (7 - bit) & 1
        ]
        return [{place % size for place in places if place // size == unit} for unit in range(n)]
    octets = base64.b64decode(told["gaps"])
    numbers, value, shift = [], 0, 0
    for octet in octets:
        value |= (octet & 127) << shift
        shift += 7
        if octet < 128:
            numbers.append(value)
            value = shift = 0
    found = []
    while numbers:
        neuron, circuit = -1, set()
        for gap in take(numbers):
            neuron += gap
            circuit.add(neuron)
        found.append(circuit)
    return found


def take(numbers: list[int]) -> list[int]:
    """The numbers of one circuit, taken from the front."""
    n = numbers.pop(0)
    taken = numbers[:n]
    del numbers[:n]
    return taken


def neurons_of(masks: Masks) -> list[set[int]]:
    flat = masks.bits.reshape(len(masks.names), -1)
    return [set(np.flatnonzero(circuit).tolist()) for circuit in flat]


@given(
    share=st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 300)),
    seed=st.integers(0, 9),
)
def test_circuits_unpack_to_what_they_were(
    share: float, shape: tuple[int, int, int], seed: int
) -> None:
    bits = np.random.default_rng(seed).random(shape) < share
    masks = Masks(tuple(f"ast__{i}" for i in range(shape[0])), bits)
    told = packed(bits)
    assert unpacked(told, shape[0], shape[1] * shape[2]) == neurons_of(masks)
    assert len(next(iter(told.values()))) <= 4 * (bits.size // 24 + 1) + 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> AtlasStore:
    return fill(store_at(tmp_path_factory.mktemp("atlas")))


@pytest.fixture(scope="module")
def data(store: AtlasStore) -> dict[str, Any]:
    found = explorer_data(making_of(store), page_of(store))
    return json.loads(json.dumps(found, allow_nan=False))


def test_every_definition_and_setting_is_there(data: dict[str, Any], store: AtlasStore) -> None:
    keys = [each["key"] for each in data["definitions"]]
    assert keys == ["published", "matched", "published@0.001,0.8"]
    like = objects(REFERENCE).universal
    assert tuple(data["concepts"]) == like.names
    assert (data["layers"], data["width"]) == (like.n_layers, like.width)
    size = like.n_layers * like.width
    for each in data["definitions"]:
        setting = STANDALONE if "@" in each["key"] else REFERENCE
        masks = objects(setting).universal if each["name"] == "published" else objects().universal
        assert unpacked(each["circuits"], len(like.names), size) == neurons_of(masks)
        assert sorted(each["order"]) == list(range(len(like.names)))


def test_keywords_and_tables_are_those_of_the_files(
    data: dict[str, Any], store: AtlasStore
) -> None:
    for each in data["checkers"]:
        masks = checkers(REFERENCE if each["epsilon"] == 0.5 else STANDALONE).masks
        size = masks.n_layers * masks.width
        assert tuple(each["concepts"]) == CONCEPTS
        assert unpacked(each["circuits"], len(CONCEPTS), size) == neurons_of(masks)
    assert len(data["checkers"]) == 2
    for key, name in explorer._TABLES.items():
        table, told = store.read(key), data["tables"][name]
        assert told["columns"] == table.columns
        for row, shown in zip(table.rows(), told["rows"], strict=True):
            for value, cell in zip(row, shown, strict=True):
                assert cell == (round(value, 4) if isinstance(value, float) else value)
    assert {claim["id"] for claim in data["claims"]} == {c.id for c in page_of(store).claims}


def test_neighbours_in_the_order_are_alike() -> None:
    bits = np.zeros((5, 2, 8), dtype=np.bool_)
    bits[[0, 3], 0, :4] = bits[[1, 4], 1, 4:] = True
    order = leaf_order(Masks(tuple("abcde"), bits))
    assert order[-1] == 2  # without a neuron
    assert {frozenset(order[:2]), frozenset(order[2:4])} == {frozenset({0, 3}), frozenset({1, 4})}
    assert leaf_order(Masks(("a",), bits[:1])) == [0]


def test_what_is_too_large_is_left_out_and_said_to_be(
    store: AtlasStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "MOST_CHARACTERS", 150)
    found = explorer_data(making_of(store), page_of(store))
    kept = [each["key"] for each in found["definitions"]]
    assert kept == ["published"]
    assert found["left_out"] == ["matched", "published@0.001,0.8"]


def test_without_circuits_the_masks_of_the_sweep_are_shown(
    store: AtlasStore, tmp_path: Path
) -> None:
    shutil.copytree(str(store.root), tmp_path / "atlas")
    store = store_at(tmp_path / "atlas")
    for definition in store.definitions:
        Path(str(store.path("circuits", definition))).unlink()
    Path(str(store.path("circuit_quality"))).unlink()
    found = explorer_data(making_of(store), page_of(store))
    keys = [each["key"] for each in found["definitions"]]
    assert keys == ["published", "published@0.001,0.8"]
    assert "quality" not in found["tables"]


def test_what_intervals_take_is_told_by_the_data(store: AtlasStore) -> None:
    found = explorer_data(making_of(store), page_of(store))["intervals"]
    assert found == {"prompts": LEAST_PROMPTS, "clusters": LEAST_CLUSTERS, "validated": EXACT.own}
