"""What the IO managers refuse, and what stays on disk when they do."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from atlas_assets.errors import (
    ArtifactError,
    ArtifactWriteError,
    MissingArtifactError,
    ProvenanceError,
)
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.orchestration.io_managers.graphs import (
    SINGLE_RUN,
    materialize,
    metadata_of,
    producer,
    recorder,
    store_at,
)
from atlas_assets_tests.storage.bad_disks import largest_file, open_folder, read_only
from atlas_assets_tests.storage.release_files import note_fetched, write_object_masks
from atlas_assets_tests.storage.samples import LINEAGE, SETTING, equal, objects, sample

OTHER = LINEAGE.model_copy(update={"dtype": "float16"})


def test_a_file_made_under_other_settings_fails_the_run(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    prompts, reader = producer("object_prompts"), recorder([], "object_prompts")
    materialize([prompts], store, instance)
    with pytest.raises(ProvenanceError) as caught:
        materialize([prompts, reader], store_at(store.root, OTHER), instance, selection=[reader])
    message = str(caught.value)
    assert "dtype = float32" in message
    assert "dtype = float16" in message
    assert "materialise object_prompts again" in message
    assert "ATLAS_DTYPE" in message


def test_release_files_are_read_and_what_follows_is_marked(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    path = Path(str(store.path("object_masks", SETTING)))
    path.parent.mkdir()
    write_object_masks(path, objects())
    note_fetched(path.parent)
    store.write("checker_masks", sample("checker_masks"), SETTING, inputs={})
    seen: list[Any] = []
    masks = producer("object_masks")
    reader = recorder(seen, "object_masks", **SINGLE_RUN)
    at = {"partition_key": "0.8|0.5"}
    materialize([masks, reader], store, instance, selection=[reader], **at)
    assert equal(seen[0], objects())
    result = materialize([producer("target_checker")], store, instance, **at)
    assert metadata_of(result, "target_checker")["0.8|0.5"]["origin"] == "release"


def test_a_run_says_which_fetched_files_it_replaces(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    path = Path(str(store.write("object_prompts", sample("object_prompts"), inputs={}).path))
    note_fetched(path.parent)
    told = []
    for _ in range(2):
        other = producer("object_prompts", sample("object_prompts").slice(1))
        result = materialize([other], store, instance)
        messages = [entry.user_message for entry in instance.all_logs(result.run_id)]
        told.append([each for each in messages if "fetched from piotrwilam/" in each])
    assert [len(each) for each in told] == [1, 0]
    assert told[0][0].startswith(f"{path.name} has taken the place of")


def test_a_missing_input_says_how_to_make_it(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    prompts, reader = producer("object_prompts"), recorder([], "object_prompts")
    with pytest.raises(MissingArtifactError, match="--select object_prompts"):
        materialize([prompts, reader], store, instance, selection=[reader])


def test_an_unsound_value_leaves_the_earlier_file(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    materialize([producer("object_prompts")], store, instance)
    before = store.path("object_prompts").read_bytes()
    twice = sample("object_prompts").vstack(sample("object_prompts"))
    for value, message in (
        (twice, "once each"),
        (sample("object_prompts").drop("token_length"), "token_length"),
        ("text", "DataFrame"),
    ):
        with pytest.raises(ArtifactError, match=message):
            materialize([producer("object_prompts", value)], store, instance)
    assert store.path("object_prompts").read_bytes() == before


def test_a_full_disk_fails_the_run_and_leaves_the_earlier_file(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    store.write("object_prompts", sample("object_prompts"))
    before = store.path("object_prompts").read_bytes()
    noise = random.Random(0).randbytes(200_000).hex()
    larger = sample("object_prompts").with_columns(prompt_text=pl.lit(noise))
    with largest_file(100_000), pytest.raises(ArtifactWriteError, match="cannot write"):
        materialize([producer("object_prompts", larger)], store, instance)
    assert store.path("object_prompts").read_bytes() == before
    folder = Path(str(store.root))
    assert [path.name for path in folder.iterdir()] == [store.path("object_prompts").name]


def test_a_read_only_data_dir_fails_the_run(tmp_path: Path) -> None:
    with open_folder() as folder:
        store = store_at(folder / "atlas")
        store.write("object_prompts", sample("object_prompts"))
        before = store.path("object_prompts").read_bytes()
        instance = dg.DagsterInstance.ephemeral()
        with (
            read_only(folder / "atlas"),
            pytest.raises(ArtifactWriteError, match="Permission denied"),
        ):
            materialize([producer("object_prompts")], store, instance)
        assert store.path("object_prompts").read_bytes() == before


def test_assets_outside_the_catalogue_and_of_another_format_are_refused(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    @dg.asset(io_manager_key="csv_io_manager")
    def stranger() -> int:
        return 1

    with pytest.raises(ArtifactError, match="no such artifact"):
        materialize([stranger], store, instance)

    @dg.asset(io_manager_key="csv_io_manager")
    def object_prompts() -> int:
        return 1

    with pytest.raises(ArtifactError, match="parquet_io_manager"):
        materialize([object_prompts], store, instance)
