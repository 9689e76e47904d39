"""Partitions: one, several in one run, all cells downstream, some cells, missing cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from atlas_assets.errors import ArtifactError, MissingArtifactError
from atlas_assets.orchestration.partitions import partition_key
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.orchestration.io_managers.graphs import (
    KEYS,
    SINGLE_RUN,
    SWEEP,
    materialize,
    metadata_of,
    over,
    producer,
    recorder,
)
from atlas_assets_tests.storage.samples import equal, sample


@pytest.fixture
def filled(store: AtlasStore) -> AtlasStore:
    """With all cells of object_masks, and what it is made from."""
    store.write("object_activations", sample("object_activations"), inputs={})
    for setting in SWEEP:
        store.write("object_masks", sample("object_masks", setting), setting)
    return store


def prepare(store: AtlasStore) -> None:
    store.write("object_activations", sample("object_activations"), inputs={})


def test_several_partitions_in_one_run_are_several_files(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    prepare(store)
    result = materialize([producer("object_masks")], store, instance, tags=over(KEYS[0], KEYS[-1]))
    metadata = metadata_of(result, "object_masks")
    assert sorted(map(str, metadata)) == KEYS
    for key in KEYS:
        setting = Setting.of_partition_key(key)
        assert equal(store.read("object_masks", setting), sample("object_masks", setting))
        # each partition's event speaks of its own file
        assert metadata[key]["path"] == str(store.path("object_masks", setting))
        assert metadata[key]["provenance"]["setting"]["epsilon"] == setting.epsilon
        assert metadata[key]["setting"] == str(setting)


def test_a_range_need_not_be_all(store: AtlasStore, instance: dg.DagsterInstance) -> None:
    prepare(store)
    materialize([producer("object_masks")], store, instance, tags=over(KEYS[1], KEYS[3]))
    made = {setting for setting in SWEEP if store.exists("object_masks", setting)}
    assert made == {Setting.of_partition_key(KEYS[1]), Setting.of_partition_key(KEYS[3])}


def test_a_range_of_nothing_is_an_error(store: AtlasStore, instance: dg.DagsterInstance) -> None:
    prepare(store)
    # each dimension is a range of its own, and this one's ε runs backwards
    with pytest.raises(ArtifactError, match="covers no partition"):
        materialize([producer("object_masks")], store, instance, tags=over(KEYS[1], KEYS[2]))


@pytest.mark.parametrize("annotation", [Any, dict, dict[str, Any], Mapping[str, Any]])
def test_an_unpartitioned_asset_reads_all_cells(
    filled: AtlasStore, instance: dg.DagsterInstance, annotation: Any
) -> None:
    seen: list[Any] = []
    masks = producer("object_masks")
    reader = recorder(seen, "object_masks", annotation)
    materialize([masks, reader], filled, instance, selection=[reader])
    assert list(seen[0]) == KEYS
    for key, value in seen[0].items():
        assert equal(value, sample("object_masks", Setting.of_partition_key(key)))


def test_only_a_part_of_each_cell_is_read(filled: AtlasStore, instance: dg.DagsterInstance) -> None:
    seen: list[Any] = []
    masks = producer("object_masks")
    reader = recorder(seen, "object_masks", dict, metadata={"part": "universal"})
    materialize([masks, reader], filled, instance, selection=[reader])
    for key, value in seen[0].items():
        assert value.pairs is None
        assert equal(
            value.universal, sample("object_masks", Setting.of_partition_key(key)).universal
        )


@pytest.mark.parametrize(("annotation", "wrapped"), [(Any, False), (dict[str, Any], True)])
def test_the_annotation_decides_what_a_single_cell_looks_like(
    filled: AtlasStore, instance: dg.DagsterInstance, annotation: Any, wrapped: bool
) -> None:
    seen: list[Any] = []
    masks = producer("object_masks")
    reader = recorder(seen, "object_masks", annotation, **SINGLE_RUN)
    materialize([masks, reader], filled, instance, selection=[reader], partition_key="0.5|0.5")
    value = seen[0]["0.5|0.5"] if wrapped else seen[0]
    assert equal(value, sample("object_masks", Setting(0.5, 0.5)))


def test_a_mapping_to_one_cell_reads_that_cell(
    filled: AtlasStore, instance: dg.DagsterInstance
) -> None:
    seen: list[Any] = []
    masks = producer("object_masks")
    only = dg.SpecificPartitionsPartitionMapping([partition_key(Setting(0.5, 0.8))])

    @dg.asset(ins={"value": dg.AssetIn("object_masks", partition_mapping=only)})
    def reader(value: Any) -> None:
        seen.append(value)

    materialize([masks, reader], filled, instance, selection=[reader])
    assert equal(seen[0], sample("object_masks", Setting(0.5, 0.8)))


def test_a_missing_cell_is_named(filled: AtlasStore, instance: dg.DagsterInstance) -> None:
    filled.path("object_masks", Setting(0.001, 0.8)).unlink()
    masks, reader = producer("object_masks"), recorder([], "object_masks", dict)
    with pytest.raises(MissingArtifactError, match=r"--partition '0\.8\|0\.001'"):
        materialize([masks, reader], filled, instance, selection=[reader])


def test_missing_cells_can_be_allowed(filled: AtlasStore, instance: dg.DagsterInstance) -> None:
    filled.path("object_masks", Setting(0.001, 0.8)).unlink()
    seen: list[Any] = []
    masks = producer("object_masks")
    reader = recorder(seen, "object_masks", dict, metadata={"allow_missing_partitions": True})
    materialize([masks, reader], filled, instance, selection=[reader])
    assert sorted(seen[0]) == ["0.5|0.001", "0.5|0.5", "0.8|0.5"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (sample("object_masks"), "ObjectMasks"),
        ({KEYS[0]: sample("object_masks", Setting.of_partition_key(KEYS[0]))}, KEYS[0]),
        ({"a": 1, "b": 2}, "a, b"),
    ],
)
def test_a_run_over_several_partitions_returns_one_value_for_each(
    store: AtlasStore, instance: dg.DagsterInstance, value: Any, found: str
) -> None:
    prepare(store)
    with pytest.raises(ArtifactError, match="one value for each") as caught:
        materialize([producer("object_masks", value)], store, instance, tags=over(KEYS[0], KEYS[1]))
    assert found in str(caught.value.found)
    assert ", ".join(KEYS[:2]) in str(caught.value.expected)
    assert not any(store.exists("object_masks", setting) for setting in SWEEP)


def test_values_under_each_others_keys_are_refused(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    prepare(store)
    one, two = (sample("object_masks", Setting.of_partition_key(key)) for key in KEYS[:2])
    with pytest.raises(ArtifactError, match="another setting than its partition"):
        materialize(
            [producer("object_masks", {KEYS[0]: two, KEYS[1]: one})],
            store,
            instance,
            tags=over(KEYS[0], KEYS[1]),
        )
