"""Every artifact through Dagster and back; what its materialisation says."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest
from upath import UPath

from atlas_assets.orchestration.io_managers.base import io_managers
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.orchestration.io_managers.graphs import (
    KEYS,
    materialize,
    metadata_of,
    over,
    producer,
    recorder,
    store_at,
)
from atlas_assets_tests.storage.samples import LINEAGE, equal, sample

UNPARTITIONED = ["object_prompts", "summary", "token_checker_masks"]  # one per IO manager


def write_inputs(store: AtlasStore, key: str) -> None:
    """So that digests of inputs can be recorded."""
    for name in ARTIFACTS[key].inputs:
        for setting in store.partitions(name):
            value = sample(name, setting) if setting else sample(name)
            store.write(name, value, setting, inputs={})


@pytest.mark.parametrize("key", UNPARTITIONED)
@pytest.mark.parametrize("remote", [False, True])
def test_an_asset_is_written_and_read_by_the_next(
    store: AtlasStore, instance: dg.DagsterInstance, key: str, remote: bool
) -> None:
    if remote:
        store = store_at(UPath(f"memory://{key}"))
    write_inputs(store, key)
    seen: list[Any] = []
    result = materialize([producer(key), recorder(seen, key)], store, instance)
    assert result.success
    assert equal(seen[0], sample(key))
    assert store.path(key).name == ARTIFACTS[key].filename
    metadata = metadata_of(result, key)[None]
    assert metadata["path"] == str(store.path(key))
    assert metadata["size"] == store.path(key).stat().st_size
    assert metadata["origin"] == "atlas"
    assert metadata["provenance"]["lineage"] == LINEAGE.model_dump(mode="json")
    assert metadata["payload_sha256"] == metadata["provenance"]["payload_sha256"]


@pytest.mark.parametrize(
    "key", [key for key, artifact in ARTIFACTS.items() if artifact.schema is not None]
)
def test_tables_say_their_rows_and_columns(
    store: AtlasStore, instance: dg.DagsterInstance, key: str
) -> None:
    write_inputs(store, key)
    space = ARTIFACTS[key].partitions
    at = space and {"sweep": "0.8|0.5", "definition": "published"}[space.name]
    result = materialize([producer(key)], store, instance, partition_key=at)
    metadata = metadata_of(result, key)[at]
    assert metadata["dagster/row_count"] == sample(key).height
    schema = metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == sample(key).columns
    assert all(column.description for column in schema.columns)
    assert all(column.type for column in schema.columns)
    assert "is unique" in schema.constraints.other[0]


def test_hdf5_files_say_what_they_hold(store: AtlasStore, instance: dg.DagsterInstance) -> None:
    write_inputs(store, "object_activations")
    activations = materialize([producer("object_activations")], store, instance)
    described = metadata_of(activations, "object_activations")[None]
    assert (described["pairs"], described["layers"], described["width"]) == (5, 6, 16)
    masks = materialize([producer("object_masks")], store, instance, partition_key="0.8|0.5")
    described = metadata_of(masks, "object_masks")["0.8|0.5"]
    assert (described["pairs"], described["concepts"]) == (5, 6)
    assert described["mean_pair_size"] > described["mean_concept_size"]


def test_metadata_is_in_the_event_log(
    store: AtlasStore, instance_on_disk: dg.DagsterInstance
) -> None:
    store.write("object_activations", sample("object_activations"), inputs={})
    assets = [producer("object_prompts"), producer("object_masks")]
    materialize(assets[:1], store, instance_on_disk)
    materialize(assets[1:], store, instance_on_disk, tags=over("0.5|0.001", "0.8|0.5"))
    event = instance_on_disk.get_latest_materialization_event(dg.AssetKey("object_prompts"))
    assert event is not None
    assert event.asset_materialization is not None
    stored = event.asset_materialization.metadata["provenance"].value
    assert json.loads(json.dumps(stored))["artifact"] == "object_prompts"
    records = instance_on_disk.fetch_materializations(dg.AssetKey("object_masks"), limit=9).records
    for record in records:
        assert record.asset_materialization is not None
        path = record.asset_materialization.metadata["path"].value
        assert path == str(
            store.path("object_masks", Setting.of_partition_key(str(record.partition_key)))
        )
    assert {record.partition_key for record in records} == set(KEYS)
    assert instance_on_disk.get_materialized_partitions(dg.AssetKey("object_masks")) == set(KEYS)


def test_values_can_be_loaded_outside_a_run(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    definitions = dg.Definitions(
        [producer("object_prompts"), producer("object_masks")], resources=io_managers(store)
    )
    store.write("object_prompts", sample("object_prompts"))
    store.write("object_masks", sample("object_masks"), store.sweep[-1], inputs={})
    prompts = definitions.load_asset_value("object_prompts", instance=instance)
    assert equal(prompts, sample("object_prompts"))
    masks = definitions.load_asset_value("object_masks", instance=instance, partition_key="0.8|0.5")
    assert equal(masks, sample("object_masks"))
