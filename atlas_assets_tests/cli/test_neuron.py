"""``atlas neuron`` against the rows of the wiring and of the circuits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.cli.wired_atlas import edges_in, wire
from atlas_assets_tests.storage.samples import LAYERS, WIDTH


def test_what_writes_and_reads_a_neuron_and_which_circuits_hold_it(data: Path, call: Call) -> None:
    circuits = wire(data)
    rows = [row[2:] for row in edges_in(data).rows()]
    seen = set()
    for index in range(WIDTH):
        document = call(data, "neuron", "2", str(index), "--json").json
        assert document["schema"] == "atlas.neuron/1"
        node = (2, "readout", index)
        for side, its, other in (("written_by", 3, 0), ("read_by", 0, 3)):
            expected = Counter(
                (*row[other : other + 3], row[6]) for row in rows if row[its : its + 3] == node
            )
            found = [tuple(each.values()) for each in document[side]]
            assert {each[:4]: each[4] for each in found} == expected
            strengths = [abs(each[3]) for each in found]
            assert strengths == sorted(strengths, reverse=True)
            seen.update({(side, bool(found))})
        assert document["held_by"] == {
            definition: [
                name for name, bits in zip(masks.names, masks.bits, strict=True) if bits[2, index]
            ]
            for definition, masks in circuits.items()
        }
        assert next(iter(document["held_by"])) == "published"
    assert {("written_by", True), ("read_by", True)} <= seen


@pytest.mark.parametrize("kind", ["hidden", "value"])
def test_a_unit_is_held_by_the_circuits_whose_wiring_has_it(
    data: Path, call: Call, kind: str
) -> None:
    wire(data)
    document = call(data, "neuron", "3", "4", "-k", kind, "--json").json
    holders = {
        (row[0], row[1]) for row in edges_in(data).rows() if (3, kind, 4) in (row[2:5], row[5:8])
    }
    assert holders == {
        (definition, name) for definition, names in document["held_by"].items() for name in names
    }
    assert holders
    assert {each["kind"] for each in document["written_by"] + document["read_by"]} == {"readout"}


@pytest.mark.parametrize(
    ("kind", "called"), [("hidden", "hidden unit"), ("value", "value channel")]
)
def test_of_a_unit_in_no_circuit_it_is_said_that_the_model_may_lack_it(
    data: Path, call: Call, kind: str, called: str
) -> None:
    wire(data)
    rows = [row[2:] for row in edges_in(data).rows()]
    largest = max(end[2] for row in rows for end in (row[:3], row[3:6]) if end[1] == kind)
    lacking = call(data, "neuron", "2", "5000", "-k", kind)
    assert lacking.code == 0
    said = " ".join(lacking.out.split())
    assert f"No wired circuit has this {called}, and the atlas does not say" in said
    assert f"are numbered up to {largest}." in said
    document = call(data, "neuron", "3", "4", "-k", kind, "--json").json
    assert document["largest_index"] == largest
    assert "No wired circuit" not in call(data, "neuron", "3", "4", "-k", kind).out


def test_people_read_both_sides_and_the_concepts(data: Path, call: Call) -> None:
    circuits = wire(data)
    index = int(circuits["published"].bits[0, 1].argmax())
    called = call(data, "neuron", "1", str(index), "-n", "1")
    assert called.code == 0
    lines = called.out.splitlines()
    assert lines[0].startswith(f"neuron {index} of layer 1, in the atlas ")
    assert any(line.startswith("written by ") for line in lines)
    assert any(line.lstrip().startswith("published: ") and "ast__For" in line for line in lines)


@pytest.mark.parametrize("place", [(str(LAYERS), "0"), ("0", str(WIDTH))])
def test_a_place_that_the_model_does_not_have_is_refused(
    data: Path, call: Call, place: tuple[str, str]
) -> None:
    wire(data)
    below = call(data, "neuron", "-1", place[1], "--json")
    assert (below.code, below.json["error"]["what"][:13]) == (2, "-1 is below 0")
    called = call(data, "neuron", *place, "--json")
    expected = f"layers 0 to {LAYERS - 1}, neurons 0 to {WIDTH - 1}"
    assert (called.code, called.json["error"]["expected"]) == (2, expected)
