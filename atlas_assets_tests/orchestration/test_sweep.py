"""``masks`` completes the sweep: what is missing or stale, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import h5py
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_assets.definitions import build_resources
from atlas_assets.orchestration.partitions import partition_key
from atlas_assets.orchestration.sweep import blocks
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets.stages.masks.masks import checker_masks
from atlas_assets.stages.masks.packed import PackedMasks
from atlas_assets.stages.setting import Setting, grid
from atlas_assets_tests.orchestration.tiny_atlas import (
    activations,
    failure_text,
    files_of,
    materialize,
    tiny_settings,
)

PAIRS = ("For__list", "For__str", "Pass___isolated_", "While__list")
CONCEPTS = ("ast__For", "builtin__list")


@pytest.fixture
def settings(tmp_path: Path) -> AtlasSettings:
    settings = tiny_settings(tmp_path, epsilons="0.1,0.5", consistencies="0.5,0.8")
    store = build_resources(settings)["store"]
    store.write("object_activations", activations(PAIRS, seed=0), inputs={})
    store.write("checker_activations", activations(CONCEPTS, seed=1), inputs={})
    return settings


def folder_of(settings: AtlasSettings) -> Path:
    return Path(settings.data_dir) / "tiny"


def complete(settings: AtlasSettings, instance: dg.DagsterInstance) -> list[set[str]]:
    """Materialise ``masks``; for each partition run it started, what that run made."""
    before = {run.run_id for run in instance.get_runs()}
    result = materialize(settings, instance, ["masks"])
    assert result.success, failure_text(result)
    started = [
        run
        for run in instance.get_runs()
        if run.run_id not in before and run.run_id != result.run_id
    ]
    return [
        {
            f"{event.asset_key.to_user_string()} {event.partition}"
            for record in instance.all_logs(run.run_id)
            if (event := record.dagster_event) and event.is_step_materialization
        }
        for run in started
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("0.1 0.5", ["0.1,0.2 0.5,0.8"]),
        ("0.001 0.1 0.5", ["0.001,0.2 0.5,0.8"]),
        ("0.001 0.5", ["0.001,0.2 0.001,0.8", "0.5,0.2 0.5,0.8"]),
    ],
)
def test_whole_rows_are_as_few_blocks_as_ranges_allow(wanted: str, expected: list[str]) -> None:
    sweep = grid((0.001, 0.1, 0.5), (0.2, 0.5, 0.8))
    partitions = [setting for setting in sweep if str(setting.epsilon) in wanted.split()]
    found = blocks(partitions, sweep)
    shown = [" ".join(f"{end.epsilon},{end.consistency}" for end in block) for block in found]
    assert shown == expected


@given(st.sets(st.sampled_from(grid((0.001, 0.1, 0.5), (0.2, 0.5, 0.8)))))
def test_blocks_hold_exactly_what_is_wanted_once(wanted: set[Setting]) -> None:
    sweep = grid((0.001, 0.1, 0.5), (0.2, 0.5, 0.8))
    held = [
        setting
        for first, last in blocks(wanted, sweep)
        for setting in sweep
        if first.epsilon <= setting.epsilon <= last.epsilon
        and first.consistency <= setting.consistency <= last.consistency
    ]
    assert sorted(held) == sorted(wanted)


def test_activations_in_blocks_give_the_same_masks(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    complete(settings, instance)
    store, path = build_resources(settings)["store"], folder_of(settings)
    found = store.read("object_activations")
    whole = {at: store.provenance("object_masks", at) for at in store.sweep}
    table = (path / "13_universal_masks_sweep.parquet").read_bytes()
    for file in path.glob("13_*"):
        file.unlink()
    kept = StoredActivations(found.names, found.n_prompts, found.sums, found.counts)
    store.write("object_activations", kept, inputs={})
    complete(settings, instance)
    assert {at: store.provenance("object_masks", at) for at in store.sweep} == whole
    assert isinstance(store.read("object_masks", store.sweep[0]).pairs, PackedMasks)
    assert (path / "13_universal_masks_sweep.parquet").read_bytes() == table


def test_all_missing_settings_are_made_as_partitions_of_one_run(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    (made,) = complete(settings, instance)
    assert len(made) == 8
    assert {"object_masks 0.8|0.5", "checker_masks 0.8|0.5"} <= made
    table = pl.read_parquet(folder_of(settings) / "13_universal_masks_sweep.parquet")
    assert table.select("epsilon", "consistency").unique().height == 4
    assert table["concept"].unique().sort().to_list() == [
        "ast__For",
        "ast__Pass",
        "ast__While",
        "builtin___isolated_",
        "builtin__list",
        "builtin__str",
    ]
    for status in (
        instance.get_materialized_partitions(dg.AssetKey("object_masks")),
        instance.get_materialized_partitions(dg.AssetKey("checker_masks")),
    ):
        assert len(status) == 4


def test_an_up_to_date_sweep_is_left_alone(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    complete(settings, instance)
    before = {path: path.stat().st_mtime_ns for path in folder_of(settings).glob("13_*_masks_*.h5")}
    assert complete(settings, instance) == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_only_what_is_missing_is_made(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    complete(settings, instance)
    before = files_of(folder_of(settings))
    (folder_of(settings) / "13_object_masks_eps0.1_cons0.5.h5").unlink()
    assert complete(settings, instance) == [{"object_masks 0.5|0.1"}]
    assert files_of(folder_of(settings)) == before


def test_two_blocks_apart_are_two_runs(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    complete(settings, instance)
    before = files_of(folder_of(settings))
    for cell in ("eps0.1_cons0.5", "eps0.5_cons0.8"):
        (folder_of(settings) / f"13_object_masks_{cell}.h5").unlink()
    runs = complete(settings, instance)
    assert sorted(map(sorted, runs)) == [["object_masks 0.5|0.1"], ["object_masks 0.8|0.5"]]
    assert files_of(folder_of(settings)) == before


def test_a_damaged_cell_is_made_again(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    complete(settings, instance)
    before = files_of(folder_of(settings))
    truncated = folder_of(settings) / "13_object_masks_eps0.1_cons0.5.h5"
    truncated.write_bytes(truncated.read_bytes()[:2000])
    flipped = folder_of(settings) / "13_checker_masks_eps0.5_cons0.8.h5"
    with h5py.File(flipped, "a") as file:
        file["token_checker_masks/layer_3/ast__For"][0] ^= True
    runs = complete(settings, instance)
    assert sorted(map(sorted, runs)) == [["checker_masks 0.8|0.5"], ["object_masks 0.5|0.1"]]
    assert files_of(folder_of(settings)) == before


def test_the_table_of_another_sweep_is_told_to_be_made_again(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    smaller = settings.model_copy(update={"epsilons": (0.1,), "consistencies": (0.5,)})
    complete(smaller, instance)
    result = materialize(settings, instance, ["modularity_scores"])
    assert not result.success
    assert "materialise masks again" in failure_text(result)
    complete(settings, instance)
    assert materialize(settings, instance, ["modularity_scores"]).success


def test_token_checker_masks_at_another_setting_are_refused_unless_released(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    complete(settings, instance)
    store = build_resources(settings)["store"]
    masks = checker_masks(activations(CONCEPTS, seed=3), settings.token_checker)
    store.write("token_checker_masks", masks, inputs={})
    other = settings.model_copy(update={"token_checker_setting": (0.1, 0.8)})
    result = materialize(other, instance, ["token_independence_detail"])
    assert not result.success
    assert "ATLAS_TOKEN_CHECKER_SETTING" in failure_text(result)
    path = store.path("token_checker_masks")
    with h5py.File(path, "a") as released:
        del released["metadata"].attrs["provenance"]
    result = materialize(other, instance, ["token_independence_detail"])
    assert result.success, failure_text(result)


def test_a_concept_that_lost_its_pairs_is_left_out_with_a_warning(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    store = build_resources(settings)["store"]
    more = (*CONCEPTS, "builtin__tuple")
    store.write("checker_activations", activations(more, seed=1), inputs={})
    complete(settings, instance)
    result = materialize(settings, instance, ["target_checker"], partition_key(settings.sweep[0]))
    assert result.success, failure_text(result)
    table = pl.read_csv(folder_of(settings) / "14_target_checker_eps0.1_cons0.5.csv")
    assert table["target"].to_list() == list(CONCEPTS)
    warnings = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any("builtin__tuple: no universal mask" in message for message in warnings)


def test_changed_activations_make_their_masks_stale(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    complete(settings, instance)
    store = build_resources(settings)["store"]
    store.write("checker_activations", activations(CONCEPTS, seed=2), inputs={})
    (made,) = complete(settings, instance)
    assert len(made) == 4
    assert all(name.startswith("checker_masks ") for name in made)


def test_without_activations_the_error_names_the_command_that_makes_them(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    (folder_of(settings) / "12_object_activations.h5").unlink()
    result = materialize(settings, instance, ["masks"])
    assert not result.success
    assert "object_activations" in failure_text(result)
    assert "dagster" in failure_text(result)


def test_masks_from_elsewhere_are_enough_for_everything_after_them(
    settings: AtlasSettings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """No activations, no prompts, and a model that cannot be had."""
    store = build_resources(settings)["store"]
    masks = checker_masks(activations(CONCEPTS, seed=3), settings.token_checker)
    store.write("token_checker_masks", masks, inputs={})
    complete(settings, instance)
    shutil.copytree(folder_of(settings), tmp_path / "fetched")
    for pattern in ("12_*", "13_universal*"):
        for path in (tmp_path / "fetched").glob(pattern):
            path.unlink()
    elsewhere = settings.model_copy(update={"name": "fetched"})
    downstream = [
        "masks",
        "summary",
        "modularity_scores",
        "modularity_detail",
        "token_independence_detail",
        "token_independence_summary",
        "token_independence_no_keyword",
    ]
    for key in elsewhere.sweep:
        result = materialize(elsewhere, instance, ["target_checker"], partition_key(key))
        assert result.success, failure_text(result)
    result = materialize(elsewhere, instance, downstream)
    assert result.success, failure_text(result)
    assert pl.read_csv(tmp_path / "fetched" / "14_summary.csv").height == 4
    assert not list((tmp_path / "fetched").glob("12_*"))


def test_a_run_of_no_partition_is_told_what_to_choose(settings: AtlasSettings) -> None:
    """Dagster's launchpad asks whether a job is to run without a partition, and then runs it."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(settings, instance, ["object_masks"])
    assert not result.success
    told = failure_text(result)
    assert "the run is of no partition, and object_masks has a file for each" in told
    assert "-m atlas_assets.definitions -j sweep" in told
