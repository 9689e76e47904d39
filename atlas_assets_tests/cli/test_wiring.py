"""``atlas wiring`` against the rows of the file, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.cli.wired_atlas import edges_in, wire
from atlas_assets_tests.storage.samples import LAYERS


@pytest.mark.parametrize("definition", ["published", "contrastive"])
def test_the_wiring_of_a_concept_is_that_of_the_file(
    data: Path, call: Call, definition: str
) -> None:
    wire(data)
    document = call(data, "wiring", "For", "-d", definition, "--json").json
    assert document["schema"] == "atlas.wiring/1"
    assert (document["concept"], document["definition"]) == ("ast__For", definition)
    rows = edges_in(data).filter(definition=definition, concept="ast__For")
    assert document["edges"] == rows.drop("definition", "concept").rows(named=True) != []
    ends = {row[at : at + 3] for row in rows.rows() for at in (2, 5)}
    n_of = {kind: sum(kind == end[1] for end in ends) for kind in ("readout", "hidden", "value")}
    size = document["size"]
    assert list(size.values()) == [n_of["readout"], n_of["hidden"], n_of["value"], rows.height]
    assert [layer["layer"] for layer in document["layers"]] == list(range(LAYERS))
    for name, count in size.items():
        parts = ("written", "read") if name == "edges" else (name,)
        assert sum(layer[part] for layer in document["layers"] for part in parts) == count
    assert document["layers"][0]["read"] == 0


def test_people_read_the_strongest_edges(data: Path, call: Call) -> None:
    wire(data)
    called = call(data, "wiring", "ast__For", "-n", "2")
    assert called.code == 0
    rows = edges_in(data).filter(definition="published", concept="ast__For")
    strongest = rows.sort(-rows["weight"].abs())["weight"]
    assert f"{rows.height} edges between" in called.out
    assert all(f"{weight:.4f}" in called.out for weight in strongest[:2])
    assert f"{strongest[2]:.4f}" not in called.out
    assert "readout" not in called.out.partition("\n")[2]


def test_what_is_not_wired_is_refused(data: Path, call: Call) -> None:
    called = call(data, "wiring", "For", "--json")
    assert (called.code, called.json["error"]["what"]) == (3, "the atlas has no circuit_edges")
    assert "atlas build" in called.json["error"]["remedy"]
    wire(data)
    called = call(data, "wiring", "For", "-d", "matched", "--json")
    assert (called.code, called.json["error"]["expected"]) == (2, "published or contrastive")
    called = call(data, "wiring", "Fro", "--json")
    assert (called.code, called.json["error"]["found"]) == (2, "the nearest: ast__For")


@pytest.mark.parametrize("arguments", [("wiring", "For"), ("neuron", "1", "2")])
def test_of_a_dense_model_wiring_is_not_applicable(
    data: Path, call: Call, arguments: tuple[str, ...]
) -> None:
    wire(data, share=0.9)
    called = call(data, *arguments, "--json")
    assert called.code == 3
    assert "not applicable: it takes" in called.json["error"]["what"]
