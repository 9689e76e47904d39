"""The mask files: what plain h5py sees, round trips, release files, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5s, h5t
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError, ForeignArtifactError
from atlas_assets.stages.concepts import of_kind
from atlas_assets.stages.masks.masks import (
    CheckerMasks,
    Masks,
    ObjectMasks,
    checker_masks,
    object_masks,
)
from atlas_assets.stages.setting import STANDALONE, Setting
from atlas_assets.storage.codec import Codec
from atlas_assets.storage.masks import CheckerMasksFile, UniversalMasksFile
from atlas_assets_tests.storage.defects import (
    OBJECTS,
    Edit,
    attribute,
    edit_in_place,
    refusing,
    replaced,
    require_named,
    require_vectors,
    with_masks,
)
from atlas_assets_tests.storage.release_files import write_checker_masks, write_object_masks
from atlas_assets_tests.storage.samples import (
    LAYERS,
    SETTING,
    activations,
    checkers,
    equal,
    objects,
    provenance,
    record_of,
)

CHECKERS, STANDALONE_FILE = CheckerMasksFile(), UniversalMasksFile(STANDALONE)
NAMES_AS_BYTES = np.array(of_kind(objects().universal.names, "ast"), dtype="S")


@settings(deadline=None, max_examples=40)  # a busy machine is no failure
@given(
    epsilon=st.sampled_from([0.001, 0.1, 0.5]),
    consistency=st.sampled_from([0.2, 1.0]),
    layers=st.integers(1, 9),
    width=st.integers(1, 40),
)
def test_round_trip(epsilon: float, consistency: float, layers: int, width: int) -> None:
    value = objects(Setting(epsilon, consistency), layers=layers, width=width)
    record = record_of(OBJECTS, value)
    data = OBJECTS.encode(value, record)
    assert data == OBJECTS.encode(value, record)
    read, stored = OBJECTS.read(data)
    assert equal(read, value)
    assert stored == record
    part, _ = OBJECTS.read(data, part="universal")
    assert part.pairs is None
    assert equal(part.universal, value.universal)
    assert np.array_equal(part.matrices["ast"], value.matrices["ast"])


def test_masks_of_own_concepts_round_trip(path: Path) -> None:
    names = ("own__GROUP BY__a", "own__GROUP BY__b", "own__если__all")
    value = object_masks(activations(names), SETTING)
    OBJECTS.write(path, value, record_of(OBJECTS, value))
    read, _ = OBJECTS.read(path)
    assert equal(read, value)
    assert read.universal.names == ("own__GROUP BY", "own__если")
    layer, _ = OBJECTS.read(path, part="layer_1")
    assert layer.matrices["own"].shape == (2, 2)
    with h5py.File(path) as file:
        assert sorted(file["metrics"]) == ["jaccard_own_matrix"]
        assert file["metadata/own_concepts"].asstr()[:].tolist() == ["GROUP BY", "если"]


def test_masks_without_units_round_trip() -> None:
    value = checker_masks(activations(()), SETTING)
    read, _ = CHECKERS.read(CHECKERS.encode(value, record_of(CHECKERS, value)))
    assert equal(read, value)
    assert read.masks.bits.shape == (0, LAYERS, 16)


def test_plain_h5py_sees_the_published_layout(path: Path) -> None:
    value = objects()
    with h5py.File(with_masks(path)) as file:
        assert sorted(file) == ["metadata", "metrics", "pair_masks", "universal_masks"]
        for group, masks in (("pair_masks", value.pairs), ("universal_masks", value.universal)):
            require_vectors(file, group, masks.names, masks.bits)
        assert np.array_equal(file["metrics/jaccard_ast_matrix"][:], value.matrices["ast"])
        assert np.array_equal(file["metrics/jaccard_builtin_matrix"][:], value.matrices["builtin"])
        metadata = file["metadata"]
        numbers = {"epsilon": 0.5, "consistency_thresh": 0.8, "n_pairs": 5, "n_layers": LAYERS}
        assert {key: metadata.attrs[key] for key in numbers} == numbers
        assert metadata["ast_nodes"].asstr()[:].tolist() == list(
            of_kind(value.universal.names, "ast")
        )
        assert metadata["builtin_objs"].asstr()[:].tolist() == list(
            of_kind(value.universal.names, "builtin")
        )


def released(path: Path, codec: Codec[Any], edit: Edit, *, sparse: bool, at: Setting) -> Path:
    """A file as the release writes it, less an edit."""
    if codec is CHECKERS:
        write_checker_masks(path, checkers(at))
    else:
        write_object_masks(path, objects(at), sparse=sparse)
    edit_in_place(path, edit)
    return path


def as_it_is(file: h5py.File) -> None:
    assert file


def as_on_the_card(file: h5py.File) -> None:
    file.move("token_checker_masks", "universal_masks")


def spelt_otherwise(file: h5py.File) -> None:
    attributes = file["metadata"].attrs
    attributes["consistency_thresh"] = attributes.pop("consistency_threshold")


@pytest.mark.parametrize(
    ("codec", "edit", "sparse", "value"),
    [
        (OBJECTS, as_it_is, False, objects()),
        (OBJECTS, as_it_is, True, objects()),
        (OBJECTS, replaced("metadata/ast_nodes", NAMES_AS_BYTES), False, objects()),
        (CHECKERS, as_it_is, False, checkers()),
        (CHECKERS, spelt_otherwise, False, checkers()),
        (CHECKERS, as_on_the_card, False, checkers()),
        (STANDALONE_FILE, replaced("metadata"), True, objects(STANDALONE).universal),
    ],
)
def test_files_of_the_release_and_as_on_the_card_are_read(
    path: Path, codec: Codec[Any], edit: Edit, sparse: bool, value: object
) -> None:
    at = STANDALONE if codec is STANDALONE_FILE else SETTING
    read, record = codec.read(released(path, codec, edit, sparse=sparse, at=at), setting=at)
    assert record is None
    assert equal(read, value)


P, U = "pair_masks/layer_3/For__list", "universal_masks/layer_3/ast__For"
METRIC = "metrics/jaccard_ast_matrix"
LENGTH_ONE = np.array(["For"], dtype=h5py.string_dtype())
FOUR = np.array(["For", "If", "Import", "With"], dtype=h5py.string_dtype())


@pytest.mark.parametrize(
    ("edit", "where", "expected", "found"),
    [
        (replaced(P), P, "a dataset", "none of that name"),
        (replaced(P, np.zeros(15, bool)), P, "(16,)", "(15,)"),
        (replaced(U, np.zeros(17, bool)), U, "(16,)", "(17,)"),
        (replaced("pair_masks", np.zeros(3)), "/pair_masks", "a group", "a dataset"),
        (attribute("epsilon", "high"), "epsilon", "numbers in range", "'high'"),
        (attribute("epsilon", -1.0), "epsilon", "numbers in range", "-1.0"),
        (attribute("n_pairs", 4), "/pair_masks", "4 units", "5"),
        (replaced(METRIC, np.zeros((2, 2))), "jaccard_ast", "(3, 3)", "(2, 2)"),
        (replaced(METRIC, np.full((3, 3), np.nan)), "jaccard_ast", "between 0 and 1", ""),
        (replaced(METRIC, np.zeros(3, "i4")), "jaccard_ast", "floats", "int32"),
        (replaced("metadata/ast_nodes", LENGTH_ONE), "ast_nodes", "'If'", "not listed"),
        (replaced("metadata/ast_nodes", FOUR), "layer_0/ast__With", "a dataset", "none"),
    ],
)
def test_each_defect_is_named(
    path: Path, edit: Edit, where: str, expected: str, found: str
) -> None:
    edit_in_place(with_masks(path), edit)
    require_named(OBJECTS, path, where, expected, found)


def without_setting(file: h5py.File) -> None:
    for key in ("epsilon", "consistency_threshold"):
        del file["metadata"].attrs[key]


def of_other_units(file: h5py.File) -> None:
    for layer in file["token_checker_masks"].values():
        layer.move("ast__For", "For")


def without_one_universal(file: h5py.File) -> None:
    for layer in file["universal_masks"].values():
        del layer["ast__If"]


@pytest.mark.parametrize(
    ("codec", "edit", "match"),
    [
        (OBJECTS, without_one_universal, "universal masks"),
        (STANDALONE_FILE, attribute("n_pairs", 5), f"expected: {STANDALONE}\n  found: {SETTING}"),
        (CHECKERS, without_setting, "epsilon"),
        (CHECKERS, of_other_units, "not the name of a concept"),
    ],
)
def test_unsound_files_of_the_release_are_refused(
    path: Path, codec: Codec[Any], edit: Edit, match: str
) -> None:
    released(path, codec, edit, sparse=codec is OBJECTS, at=SETTING)
    with refusing(ArtifactError, match, path):
        codec.read(path)


def test_booleans_are_zero_or_one(path: Path) -> None:
    with h5py.File(with_masks(path), "r+") as file:
        kind = h5py.h5t.py_create(np.dtype(bool))
        file[P].id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.full(16, 7, "u1").view(bool), kind)
    with refusing(ArtifactError, "boolean", "found: 7"):
        OBJECTS.read(path)


def test_the_universal_part_alone_cannot_be_with_masks(path: Path) -> None:
    value = objects()
    part = ObjectMasks(SETTING, None, value.universal, value.matrices)
    with pytest.raises(ArtifactError, match="without their pair masks"):
        OBJECTS.write(path, part, provenance())
    with pytest.raises(ArtifactError, match="CheckerMasks"):
        CHECKERS.write(path, value, provenance())
    with pytest.raises(ArtifactError, match="not the name of a concept"):
        STANDALONE_FILE.write(path, Masks(("For",), np.zeros((1, 1, 1), bool)), provenance())
    assert not path.exists()


def test_description_counts_what_is_there() -> None:
    value = objects()
    bits = value.universal.bits.copy()
    bits[0] = False
    masks = Masks(value.universal.names, bits)
    described = CHECKERS.describe(CheckerMasks(SETTING, masks))
    assert described["concepts_without_neurons"] == 1
    assert described["mean_concept_size"] == round(bits.sum() / (len(bits) * LAYERS), 2)
    assert OBJECTS.describe(value)["pairs"] == 5


Attributes = dict[str, object]
#: how a file keeps a vector of booleans
Store = Callable[[h5py.File, str, np.ndarray], object]


def another_writer(
    store: Store,
    attributes: Attributes | None = None,
    **options: object,
) -> Edit:
    """Checker masks as another program lays them out: each vector stored so, these attributes."""

    def write(path: Path) -> None:
        with h5py.File(path, "w", **options) as file:
            masks = checkers().masks
            for name, unit in zip(masks.names, masks.bits, strict=True):
                for layer, bits in enumerate(unit):
                    store(file, f"token_checker_masks/layer_{layer}/{name}", bits)
            given = {"epsilon": 0.5, "consistency_threshold": 0.8, **(attributes or {})}
            file.create_group("metadata").attrs.update(given)

    return write


def stored_as(dtype: object, **options: object) -> Store:
    def store(file: h5py.File, key: str, bits: np.ndarray) -> object:
        return file.create_dataset(key, data=bits.astype("u1"), dtype=dtype, **options)

    return store


def enumerated(**members: int) -> Store:
    return stored_as(h5py.enum_dtype(members, "u1"))


def of_netcdf4(file: h5py.File, key: str, bits: np.ndarray) -> None:
    file.attrs["_NCProperties"] = np.bytes_("version=2,netcdf=4.9.3,hdf5=1.14.6")
    scale = file.require_dataset("neuron", bits.shape, ">f4")
    scale.make_scale("This is a netCDF dimension but not a netCDF variable.        16")
    options = {"chunks": True, "compression": "gzip", "shuffle": True, "fillvalue": 255}
    stored_as("u1", **options)(file, key, bits).dims[0].attach_scale(scale)


def as_bitfield(file: h5py.File, key: str, bits: np.ndarray) -> None:
    group, name = file.require_group(key.rpartition("/")[0]), key.rpartition("/")[2]
    dataset = h5d.create(group.id, name.encode(), h5t.STD_B8LE, h5s.create_simple(bits.shape))
    dataset.write(h5s.ALL, h5s.ALL, bits.astype("u1"), h5t.NATIVE_B8)


def as_matrix(file: h5py.File, key: str, bits: np.ndarray) -> None:
    file.require_dataset(key.rpartition("/")[0], (len(bits), 9), "u1")


def with_a_dimension(file: h5py.File, key: str, bits: np.ndarray) -> None:
    file[key] = bits
    scale = file.require_dataset(f"{key.rpartition('/')[0]}/neuron", bits.shape, ">f4")
    scale.make_scale("neuron")


def numbers(made: Callable[[np.ndarray], np.ndarray], **options: object) -> Store:
    """What is made of the numbers 0 and 1."""

    def store(file: h5py.File, key: str, bits: np.ndarray) -> None:
        file.create_dataset(key, data=made(bits.astype("i2")), **options)

    return store


ONES: Attributes = {"epsilon": [0.5], "consistency_threshold": [[0.8]], "n_layers": [[6.0]]}
SINGLE: Attributes = {"consistency_threshold": np.float32(0.8)}


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(another_writer(stored_as("u1"), ONES, userblock_size=512), id="MATLAB"),
        pytest.param(another_writer(stored_as("i4", compression="gzip"), ONES), id="rhdf5"),
        pytest.param(another_writer(enumerated(FALSE=0, TRUE=1, NA=2)), id="hdf5r"),
        pytest.param(another_writer(enumerated(false=0, true=1)), id="h5tools"),
        pytest.param(another_writer(stored_as("u1"), {"n_layers": np.int64(6)}), id="Julia"),
        pytest.param(another_writer(of_netcdf4, {**ONES, **SINGLE}), id="netCDF4"),
        pytest.param(another_writer(as_bitfield), id="PyTables"),
        pytest.param(another_writer(stored_as(">i8"), {"epsilon": np.array(0.5, ">f8")}), id="big"),
        pytest.param(another_writer(stored_as("i1"), SINGLE, libver="latest"), id="single"),
        pytest.param(another_writer(stored_as("?"), {"epsilon": np.bytes_("0.5")}), id="text"),
    ],
)
def test_files_of_other_programs_are_read(path: Path, write: Edit) -> None:
    write(path)
    for source in (path, path.read_bytes()):
        read, record = CHECKERS.read(source, setting=SETTING)
        assert record is None
        assert equal(read, checkers())


M = "token_checker_masks/layer_0/ast__For"


@pytest.mark.parametrize(
    ("write", "where", "expected", "found"),
    [
        (another_writer(numbers(lambda bits: 2 * bits)), M, "0 and 1", "2"),
        (another_writer(numbers(lambda bits: bits - 1)), M, "0 and 1", "-1"),
        (another_writer(numbers(lambda bits: 300 * bits)), M, "0 and 1", "127 or more"),
        (another_writer(numbers(lambda bits: bits + 0.0)), M, "bool values", "float64"),
        (another_writer(enumerated(FALSE=1, TRUE=0)), M, "bool values", "uint8"),
        (another_writer(enumerated(on=1, off=0)), M, "bool values", "uint8"),
        (another_writer(numbers(lambda bits: bits[:, np.newaxis])), M, "a vector", "(16, 1)"),
        (another_writer(as_matrix), "token_checker_masks/layer_0", "a group", "a dataset"),
        (another_writer(with_a_dimension), "layer_0/neuron", "bool values", "f4"),
        (another_writer(stored_as("?"), {"epsilon": [0.5, 0.5]}), "epsilon", "one value", "(2,)"),
        (another_writer(stored_as("?"), {"epsilon": "0,5"}), "epsilon", "two numbers", "'0,5'"),
        (another_writer(stored_as("?"), {"n_layers": 6.5}), "n_layers", "whole number", "6.5"),
    ],
)
def test_other_files_of_other_programs_are_told_what_to_write(
    path: Path, write: Edit, where: str, expected: str, found: str
) -> None:
    write(path)
    require_named(CHECKERS, path, where, expected, found)
    with refusing(ForeignArtifactError, "let the program that wrote it write", "docs/hub.md"):
        CHECKERS.read(path)
