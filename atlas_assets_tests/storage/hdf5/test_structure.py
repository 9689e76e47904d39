"""Files whose structure would bring in content from elsewhere, or more than they can hold."""

from __future__ import annotations

import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from atlas_assets.errors import ArtifactError
from atlas_assets.hub.hdf5_layout import hdf5_layout
from atlas_assets.stages.masks.packed import object_masks_of
from atlas_assets.storage.activations import ActivationsFile
from atlas_assets.storage.codecs import codec_named
from atlas_assets.storage.masks import ObjectMasksFile
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.release_files import write_activations, write_object_masks
from atlas_assets_tests.storage.samples import (
    SETTING,
    WIDTH,
    activations,
    equal,
    in_blocks,
    objects,
    provenance,
    record_of,
    sample,
)

MASKS, ACTIVATIONS = ObjectMasksFile(), ActivationsFile("pairs", "11A_object_prompts.parquet")
PAIR, UNIVERSAL = "pair_masks/layer_3/For__list", "universal_masks/layer_3/ast__For"
MATRIX, NAMES, COUNT = "metrics/jaccard_ast_matrix", "metadata/ast_nodes", "n_prompts/For__len"
UNITS = "metadata/units"
#: of a local file that must not find its way into an atlas
SECRET = b"\1" * 4096
Edit = Callable[[h5py.File, str], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where to put a file, beside files that must not be read."""
    (tmp_path / "secret").write_bytes(SECRET)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["masks"] = np.ones(WIDTH, bool)
    return tmp_path / "x.h5"


@cache
def sound(kind: str) -> bytes:
    """The bytes of a file of ours, with a dataset per layer or not, or as the release writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        if kind == "ours":
            MASKS.write(path, objects(), record_of(MASKS, objects()))
        elif kind == "packed":
            packed = object_masks_of(in_blocks(), SETTING)
            MASKS.write(path, packed, record_of(MASKS, packed))
        elif kind == "foreign":
            write_object_masks(path, objects())
        elif kind == "by layer":
            ACTIVATIONS.write(path, in_blocks(), record_of(ACTIVATIONS, in_blocks()))
        else:
            write_activations(path, activations())
        return path.read_bytes()


def edited(path: Path, kind: str, edit: Edit, key: str) -> Path:
    path.write_bytes(sound(kind))
    with h5py.File(path, "r+") as file:
        edit(file, key)
    return path


def replaced(file: h5py.File, key: str) -> tuple[h5py.Group, bytes, h5py.Datatype, tuple[int, ...]]:
    """Removes a dataset; gives where it was, its name, type and shape."""
    dataset = file[key]
    found = dataset.parent, key.rpartition("/")[2].encode(), dataset.id.get_type(), dataset.shape
    del file[key]
    return found


def external_storage(file: h5py.File, key: str) -> None:
    parent, name, kind, shape = replaced(file, key)
    creation = h5p.create(h5p.DATASET_CREATE)
    secret = Path(file.filename).with_name("secret")
    creation.set_external(str(secret).encode(), 0, len(SECRET))
    if isinstance(kind, h5t.TypeStringID):
        kind = h5t.C_S1.copy()
        kind.set_size(16)
    h5d.create(parent.id, name, kind, h5s.create_simple(shape or (1,)), creation)


def virtual(file: h5py.File, key: str) -> None:
    parent, name, kind, shape = replaced(file, key)
    layout = h5py.VirtualLayout(shape, kind.dtype)
    layout[...] = h5py.VirtualSource("secret.h5", "masks", shape)
    parent.create_virtual_dataset(name.decode(), layout)


def external_link(file: h5py.File, key: str) -> None:
    del file[key]
    file[key] = h5py.ExternalLink("secret.h5", "/masks")


def soft_link(file: h5py.File, key: str) -> None:
    file.move(key, "elsewhere")
    file[key] = h5py.SoftLink("/elsewhere")


def of_its_group(edit: Edit) -> Edit:
    """The same done to the group of a dataset."""
    return lambda file, key: edit(file, key.rpartition("/")[0])


def unknown_filter(file: h5py.File, key: str) -> None:
    parent, name, kind, shape = replaced(file, key)
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk(shape or (1,))
    creation.set_filter(305, h5z.FLAG_OPTIONAL, (1,))
    h5d.create(parent.id, name, kind, h5s.create_simple(shape or (1,)), creation)


def named_type(file: h5py.File, key: str) -> None:
    values = file[key][()]
    kind = file[key].dtype
    del file[key]
    file["a type"] = kind
    file.create_dataset(key, data=values, dtype=file["a type"])


@pytest.mark.parametrize("kind", ["ours", "foreign"])
@pytest.mark.parametrize("key", [PAIR, UNIVERSAL, MATRIX, NAMES])
@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (external_storage, "external storage"),
        (virtual, "a virtual dataset"),
        (external_link, "an external link"),
        (of_its_group(external_link), "an external link"),
        (soft_link, "a soft link"),
        (of_its_group(soft_link), "a soft link"),
        (unknown_filter, "filter 305"),
        (named_type, "others may share"),
    ],
)
def test_content_from_elsewhere_is_refused(
    path: Path, kind: str, edit: Edit, key: str, found: str
) -> None:
    if (edit, key) == (virtual, NAMES):  # HDF5 has no virtual datasets of texts
        key = MATRIX
    edited(path, kind, edit, key)
    for part in (None, "layer_3", "universal"):
        if part == "universal" and key == PAIR:
            continue
        with refusing(ArtifactError, found, path, key.partition("/")[0]):
            MASKS.read(path, part=part)


@pytest.mark.parametrize(
    "key", [COUNT, "activations/layer_3/If__len", "firing_counts/layer_0/If__len"]
)
@pytest.mark.parametrize(
    "edit", [external_storage, virtual, external_link, soft_link, unknown_filter, named_type]
)
def test_activations_from_elsewhere_are_refused(path: Path, edit: Edit, key: str) -> None:
    if (edit, key) != (virtual, COUNT):  # HDF5 has no virtual datasets of one value
        with pytest.raises(ArtifactError, match=key.partition("/")[0]):
            ACTIVATIONS.read(edited(path, "counts", edit, key))


@pytest.mark.parametrize(
    "edit",
    [
        *(external_storage, virtual, external_link, soft_link, unknown_filter, named_type),
        *(of_its_group(external_link), of_its_group(soft_link)),
    ],
)
def test_layers_from_elsewhere_are_refused(path: Path, edit: Edit) -> None:
    for key in ("activations/layer_2", "firing_counts/layer_0", UNITS):
        if (edit, key) != (virtual, UNITS):  # HDF5 has no virtual datasets of texts
            with pytest.raises(ArtifactError, match=key.partition("/")[0]):
                ACTIVATIONS.read(edited(path, "by layer", edit, key))
    for part in (None, "layer_3"):
        with pytest.raises(ArtifactError, match="pair_masks"):
            MASKS.read(edited(path, "packed", edit, "pair_masks/layer_3"), part=part)


@pytest.mark.parametrize("edit", [virtual, external_link, soft_link, unknown_filter, named_type])
def test_matrices_from_elsewhere_are_refused(path: Path, edit: Edit) -> None:
    codec = codec_named("jaccard_matrices")
    path.write_bytes(codec.encode(sample("jaccard_matrices"), provenance("jaccard_matrices")))
    with h5py.File(path, "r+") as file:
        edit(file, "jaccard/layer_1/ast")
    with pytest.raises(ArtifactError, match="/jaccard/layer_1"):
        codec.read(path)


def inflating(file: h5py.File, key: str) -> None:
    """A vector whose only chunk, once deflated, has 1.5 GB in place of a few bytes."""
    parent, name, kind, shape = replaced(file, key)
    options = {"dtype": kind.dtype, "chunks": shape, "compression": "gzip"}
    dataset = parent.create_dataset(name.decode(), shape, **options)
    chunk = zlib.compressobj(1)
    data = [chunk.compress(bytes(1 << 26)) for _ in range(24)]
    try:
        dataset.id.write_direct_chunk((0,), b"".join([*data, chunk.flush()]))
    except OSError as error:
        if "can't be encoded" not in str(error):
            raise
        pytest.skip(f"this HDF5 writes no such chunk; lift with h5py 3.16: {error}")


def in_a_circle(file: h5py.File, key: str) -> None:
    file[key] = file["/"]


@pytest.mark.parametrize(
    ("edit", "key", "found"),
    [(inflating, UNIVERSAL, "filter returned failure"), (in_a_circle, "metrics/x", "of two")],
)
def test_what_the_examining_process_meets_is_not_looked_into(
    path: Path, edit: Edit, key: str, found: str
) -> None:
    with refusing(ArtifactError, found, path):
        MASKS.read(edited(path, "foreign", edit, key), part="universal")


def test_a_link_beside_the_layout_is_not_followed_either(path: Path) -> None:
    def beside(file: h5py.File, key: str) -> None:
        file[key] = h5py.ExternalLink("secret.h5", "/masks")

    with refusing(ArtifactError, "an external link, 'more'", path):
        MASKS.read(edited(path, "foreign", beside, "more"))
    with refusing(ArtifactError, "an external link, 'more'", path.name):
        hdf5_layout(edited(path, "foreign", beside, "metrics/more"))


def attribute_of_a_named_type(file: h5py.File, key: str) -> None:
    file["a type"] = np.dtype("f8")
    file[key].attrs.create("epsilon", 0.5, dtype=file["a type"])


def values_of_zeros(file: h5py.File, key: str) -> None:
    """Deflated, they are a thousandth of their size."""
    del file[key]
    options = {"dtype": "f8", "compression": "gzip", "chunks": (512, 4096)}
    file.create_dataset(key, (4096, 4096), **options)[:1] = 0.0


@pytest.mark.parametrize(
    ("edit", "key", "match"),
    [
        (attribute_of_a_named_type, "metadata", "named type"),
        (values_of_zeros, MATRIX, "more values than it can hold"),
    ],
)
def test_other_deceits_are_refused(path: Path, edit: Edit, key: str, match: str) -> None:
    with pytest.raises(ArtifactError, match=match):
        MASKS.read(edited(path, "foreign", edit, key))


def test_a_record_behind_a_link_is_refused(path: Path) -> None:
    with pytest.raises(ArtifactError, match="leads elsewhere"):
        MASKS.provenance(edited(path, "ours", soft_link, "metadata"))


def declared(shape: tuple[int, ...]) -> Edit:
    """A dataset of that shape without any values."""

    def edit(file: h5py.File, key: str) -> None:
        parent, name, kind, _ = replaced(file, key)
        options = {"compression": "gzip", "dtype": kind.dtype, "chunks": (1024,) * len(shape)}
        parent.create_dataset(name.decode(), shape, **options)

    return edit


def count(value: int) -> Edit:
    def edit(file: h5py.File, name: str) -> None:
        file["metadata"].attrs[name] = value

    return edit


DECLARED = [
    (declared((17_000, 17_000)), MATRIX),
    (declared((1 << 40,)), "universal_masks/layer_0/ast__For"),
    (declared((1 << 40,)), "pair_masks/layer_0/For__len"),
    (declared((1 << 40,)), NAMES),
    (count(10_000_000), "n_layers"),
    (count(1 << 40), "n_layers"),
    (count(1 << 40), "width"),
]


@pytest.mark.parametrize(
    ("kind", "edit", "key"),
    [
        *((kind, *case) for kind in ("ours", "foreign") for case in DECLARED),
        *(("packed", *case) for case in DECLARED[4:]),
        ("packed", declared((1 << 20, 1 << 20)), "pair_masks/layer_0"),
        ("packed", declared((1 << 40,)), UNITS),
    ],
)
def test_declared_sizes_cost_nothing(path: Path, kind: str, edit: Edit, key: str) -> None:
    edited(path, kind, edit, key)
    tracemalloc.start()
    started = time.process_time()
    try:
        with refusing(ArtifactError, path):
            MASKS.read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert time.process_time() - started < 5


def test_well_deflated_files_are_read(path: Path) -> None:
    """Masks in which no neuron is, of a wide model, deflated as the release does."""
    value = objects(layers=2, width=8192)
    for masks in (value.pairs, value.universal):
        masks.bits[:] = False
    write_object_masks(path, value)
    assert equal(MASKS.read(path)[0], value)
