"""``atlas show`` against what h5py and the published table say, and what a typed name means."""

from __future__ import annotations

from pathlib import Path

import click
import h5py
import numpy as np
import pytest

from atlas_assets import io
from atlas_assets.atlas.concept_names import find_concept
from atlas_assets.cli.app import atlas
from atlas_assets.cli.options import complete_concept
from atlas_assets.errors import SettingsError
from atlas_assets.storage.codecs import codec_named
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import NAME
from atlas_assets_tests.storage.samples import LAYERS, WIDTH


def test_the_circuit_of_a_concept(made: Path, call: Call) -> None:
    document = call(made, "show", "For", "--json").json
    assert document["schema"] == "atlas.show/1"
    assert (document["concept"], document["type"]) == ("ast__For", "ast")
    assert (document["epsilon"], document["consistency"]) == (0.5, 0.8)
    assert (document["model"], document["readout"]) == ("embedded", "last_token")
    assert document["width"] == WIDTH
    with h5py.File(made / NAME / "13_object_masks_eps0.5_cons0.8.h5") as file:
        for layer, record in enumerate(document["layers"]):
            bits = file[f"universal_masks/layer_{layer}/ast__For"][:]
            assert record["layer"] == layer
            assert record["neurons"] == np.flatnonzero(bits).tolist()
            assert record["size"] == bits.sum()
            assert record["size"] or record["nearest"] is None
    assert len(document["layers"]) == LAYERS


def test_the_decomposition_is_that_of_the_published_table(made: Path, call: Call) -> None:
    document = call(made, "show", "list", "-e", "0.1", "--json").json
    table = io.load_target_checker(eps=0.1, data_root=made / NAME)
    row = table.filter(target="builtin__list").row(0)[1:]
    assert document["decomposition"] == "available"
    for record, cell in zip(document["layers"], row, strict=True):
        parts = record["decomposition"]
        shown = f"{parts['concept_only']} / {parts['shared']} / {parts['token_only']}"
        assert shown == cell
        if record["size"]:
            assert parts["concept_fraction"] == round(parts["concept_only"] / record["size"], 4)
            assert parts["concept_fraction"] + parts["token_fraction"] == pytest.approx(1, abs=1e-4)


def test_nearest_concepts(made: Path, call: Call) -> None:
    masks = io.load_universal_masks(data_root=made / NAME)
    own = masks.pop("ast__If")
    scores = {
        name: len(own[1] & layers[1]) / len(own[1] | layers[1]) if own[1] | layers[1] else 0.0
        for name, layers in masks.items()
    }
    document = call(made, "show", "If", "--layer", "1", "--nearest", "3", "--json").json
    expected = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    assert [(n["concept"], n["jaccard"]) for n in document["nearest"]] == expected[:3]
    assert document["nearest_at"] == "layer 1"
    assert [record["layer"] for record in document["layers"]] == [1]
    best = document["layers"][0]["nearest"]
    assert best == document["nearest"][0]


def test_the_text_is_a_table_of_at_most_100_columns(made: Path, call: Call) -> None:
    shown = call(made, "show", "For")
    assert shown.code == 0
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0] == "ast__For: AST node at ε=0.5, C=0.8"
    assert max(map(len, lines)) <= 100
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("layer"))
    assert [line.split()[0] for line in lines[start + 1 : start + 1 + LAYERS]] == list("012345")
    assert "nearest concepts (mean over layers)" in lines
    told = (
        "in 2 of 6 layers this circuit has no neuron, which counts as 0: no similarity exceeds 0.67"
    )
    assert told in " ".join(shown.out.split())
    assert "counts as 0" not in call(made, "show", "For", "--layer", "3").out
    neurons = call(made, "show", "Import", "--layer", "5").out
    listed = neurons[neurons.index("\nneurons\n") :].split()[1:]
    masks = io.load_universal_masks(data_root=made / NAME)
    assert set(map(int, listed)) == masks["ast__Import"][5]


def test_why_there_is_no_decomposition(data: Path, call: Call) -> None:
    shown = call(data, "show", "Import")
    assert shown.code == 0
    assert "no keyword gives the concept away" in shown.out
    layers = call(data, "show", "Import", "--json").json["layers"]
    assert {record["decomposition"] for record in layers} == {None}
    (data / NAME / "13_checker_masks_eps0.5_cons0.8.h5").unlink()
    shown = call(data, "show", "For")
    assert shown.code == 0
    assert "no checker masks at ε=0.5, C=0.8" in shown.out
    assert shown.out.splitlines()[-1].endswith("lists the neurons of that layer")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("lst", 2, "builtin__list"),
        ("xyzzy", 2, "none"),
        ("While", 2, "ast__While is published, but not among this atlas's"),
        ("For --layer -1", 2, "--layer"),
        ("For --consistency 2", 2, "Invalid value for '--consistency'"),
        ("For --consistency 2", 2, "0<x<=1"),
        ("For --epsilon 0.2", 3, "ε=0.1, C=0.8; ε=0.5, C=0.8"),
        ("For --epsilon 0.2", 3, "atlas sweep --epsilon 0.2 --consistency 0.8 --write"),
        ("For --epsilon nan", 2, "where: --epsilon"),
        ("For --setting eps=-1,C=0.8", 2, "where: --setting"),
        ("For --setting 0.8|0.5", 2, "with |, C comes first"),
    ],
)
def test_what_is_not_there(made: Path, call: Call, arguments: str, code: int, told: str) -> None:
    shown = call(made, "show", *arguments.split())
    assert (shown.code, shown.out) == (code, "")
    assert told in shown.err


def test_masks_of_another_readout_are_refused(made: Path, call: Call) -> None:
    shown = call(made, "show", "For", readout="published")
    assert shown.code == 3
    assert "ATLAS_READOUT" in shown.err
    assert "Traceback" not in shown.err


def test_parts_without_a_digest_are_said_not_to_be_verified(data: Path, call: Call) -> None:
    assert "not verified" not in call(data, "show", "For").out + call(data, "status").out
    codec, path = codec_named("object_masks"), data / NAME / "13_object_masks_eps0.5_cons0.8.h5"
    value, record = codec.read(path)
    assert record is not None
    codec.write(path, value, record.model_copy(update={"format_version": 1, "parts": {}}))
    assert "its parts are not verified: an older record" in call(data, "show", "For").out
    assert "parts of 1 file are not verified: an older record" in call(data, "status").out


CONCEPTS = ("ast__Assert", "ast__Set", "ast__list", "builtin__list", "builtin__set")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *zip(CONCEPTS, CONCEPTS, strict=True),
        ("Set", "ast__Set"),
        ("set", "builtin__set"),
        ("assert", "ast__Assert"),
        ("AST__LIST", "ast__list"),
    ],
)
def test_a_concept_by_part_of_its_name(typed: str, meant: str) -> None:
    assert find_concept(typed, CONCEPTS) == meant


def test_a_name_of_two_concepts_is_refused() -> None:
    with pytest.raises(SettingsError, match="ambiguous") as caught:
        find_concept("list", CONCEPTS)
    assert "ast__list and builtin__list" in str(caught.value)
    with pytest.raises(SettingsError, match="ast__Set and builtin__set"):
        find_concept("SET", CONCEPTS)


def test_an_unknown_name_gets_each_suggestion_once() -> None:
    with pytest.raises(SettingsError, match="no such concept") as caught:
        find_concept("asert", CONCEPTS)
    assert str(caught.value.found).count("ast__Assert") == 1


def test_completion_knows_the_published_concepts() -> None:
    def completed(typed: str) -> list[str]:
        found = complete_concept(click.Context(atlas), click.Argument(["concept"]), typed)
        return [item.value for item in found]

    assert completed("ast__Fu") == ["ast__FunctionDef"]
    assert completed("Fu") == ["FunctionDef"]
    assert len(completed("ast__")) == 43
    assert completed("xyzzy") == []


def test_the_setting_is_typed_as_it_is_printed(made: Path, call: Call) -> None:
    spellings = ("ε=0.1, C=0.8", "eps=0.1,C=0.8", "eps0.1_cons0.8", "0.1,0.8")
    shown = {call(made, "show", "For", "--setting", typed).out for typed in spellings}
    assert shown == {call(made, "show", "For", "-e", "0.1").out}
    assert call(made, "show", "For", "--reference").out == call(made, "show", "For").out
    wrong = call(made, "show", "For", "--setting", "0.8|0.1")
    assert wrong.code == 2
    assert "expected: ε and C, as eps=0.5,C=0.8" in wrong.err
    assert call(made, "show", "For", "--reference", "-e", "0.1").code == 2


def test_a_remedy_that_says_materialise_is_followed_by_the_commands(data: Path, call: Call) -> None:
    masks = data / NAME / "13_object_masks_eps0.5_cons0.8.h5"
    masks.write_bytes(masks.read_bytes()[:-100])
    shown = call(data, "show", "For", "--reference")
    assert shown.code == 3
    assert "materialise" in shown.err
    assert "to materialise: `atlas build` makes everything again" in shown.err
