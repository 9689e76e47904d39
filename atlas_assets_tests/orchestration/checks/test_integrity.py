"""Every integrity check: passes on a sound atlas, fails on an unsound file, and blocks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from atlas_assets.definitions import build_definitions, build_resources
from atlas_assets.orchestration.checks.integrity import integrity_checks
from atlas_assets.orchestration.partitions import partition_key, partitions_of
from atlas_assets.soundness.inspection import checks_of
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, ObjectMasks, with_universals
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.soundness import sound_atlas

#: the artifacts that declare checks besides their schema
CHECKS = {key: artifact.checks for key, artifact in ARTIFACTS.items() if artifact.checks}
#: of the four settings, the ones with the larger ε and C, and with the smaller
TIGHTEST, LOOSEST = REFERENCE, Setting(0.001, 0.5)

Edit = Callable[[Any], Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    sound_atlas.make(folder)
    return folder


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> AtlasStore:
    shutil.copytree(sound, tmp_path / "data")
    found: AtlasStore = build_resources(sound_atlas.settings_in(tmp_path / "data"))["store"]
    return found


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Inspected:
    """What Dagster records when an artifact that lies on disk is checked."""

    def __init__(self, result: dg.ExecuteInProcessResult) -> None:
        self.evaluations = {
            (found.check_name, found.partition): found
            for found in result.get_asset_check_evaluations()
        }
        self.failed = {name for (name, _), found in self.evaluations.items() if not found.passed}
        made = {
            event.asset_key.to_user_string()
            for event in result.get_asset_materialization_events()
            if event.asset_key
        }
        self.downstream_ran = "downstream" in made
        self.success = result.success


def inspect(
    store: AtlasStore, key: str, instance: dg.DagsterInstance, at: Setting | None = None
) -> Inspected:
    """The artifact's own checks between an asset that does nothing and one that depends on it."""
    partitions = partitions_of(store.sweep)
    own = partitions["sweep"] if ARTIFACTS[key].partitioned else None

    @dg.asset(key=key, partitions_def=own)
    def upstream() -> None:
        """Its file lies on disk already."""

    @dg.asset(deps=[key], partitions_def=own)
    def downstream() -> None:
        """Runs only when the checks passed."""

    (checks,) = [
        found
        for found in integrity_checks(partitions)
        if next(iter(found.check_keys)).asset_key == dg.AssetKey(key)
    ]
    result = dg.materialize(
        [upstream, checks, downstream],
        partition_key=partition_key(at) if at else None,
        instance=instance,
        resources={"store": store},
        raise_on_error=False,
    )
    return Inspected(result)


def cell_of(key: str) -> Setting | None:
    return TIGHTEST if ARTIFACTS[key].partitioned else None


@pytest.mark.parametrize("key", CHECKS)
def test_a_sound_artifact_passes_all_its_checks(
    key: str, store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    at = cell_of(key)
    inspected = inspect(store, key, instance, at)
    assert inspected.success
    assert inspected.downstream_ran
    assert inspected.failed == set()
    partition = str(partition_key(at)) if at else None
    assert inspected.evaluations.keys() == {(check.name, partition) for check in checks_of(key)}
    for evaluation in inspected.evaluations.values():
        assert evaluation.blocking
        assert evaluation.target_materialization_data is not None
        assert not evaluation.description.startswith("not compared")
        assert evaluation.metadata


@pytest.mark.parametrize("key", CHECKS)
def test_a_damaged_file_blocks(key: str, store: AtlasStore, instance: dg.DagsterInstance) -> None:
    at = cell_of(key)
    path = Path(str(store.path(key, at)))
    path.write_bytes(path.read_bytes()[:-20])
    inspected = inspect(store, key, instance, at)
    assert "schema" in inspected.failed
    assert not inspected.downstream_ran
    assert not inspected.success


def test_a_changed_dataset_blocks(store: AtlasStore, instance: dg.DagsterInstance) -> None:
    """The file is HDF5 still, with the same shapes; only its content is not what was written."""
    import h5py

    with h5py.File(str(store.path("object_masks", TIGHTEST)), "r+") as file:
        vector = file["pair_masks/layer_0/For__len"]
        vector[0] = not vector[0]
    inspected = inspect(store, "object_masks", instance, TIGHTEST)
    assert "schema" in inspected.failed
    assert not inspected.downstream_ran


# what is written in the place of a sound value, and the checks that must notice


def first_row(column: str, value: object) -> Edit:
    def edit(table: pl.DataFrame) -> pl.DataFrame:
        first = pl.int_range(pl.len()) == 0
        return table.with_columns(
            pl.when(first).then(pl.lit(value, table.schema[column])).otherwise(column).alias(column)
        )

    return edit


def without_first_row(table: pl.DataFrame) -> pl.DataFrame:
    return table.slice(1)


def flipped(masks: Masks, unit: int, layer: int, to: bool) -> Masks:
    """With one neuron put in or taken out, that is not so already."""
    bits = masks.bits.copy()
    (neuron, *_) = np.flatnonzero(bits[unit, layer] != to)
    bits[unit, layer, neuron] = to
    return Masks(masks.names, bits)


def neuron_in_a_universal_mask(masks: ObjectMasks) -> ObjectMasks:
    return replace(masks, universal=flipped(masks.universal, 0, 1, to=True))


def neuron_missing_from_a_universal_mask(masks: ObjectMasks) -> ObjectMasks:
    layer = int(np.flatnonzero(masks.universal.sizes()[0])[0])
    return replace(masks, universal=flipped(masks.universal, 0, layer, to=False))


def neuron_in_a_pair_mask(masks: ObjectMasks) -> ObjectMasks:
    """One that no looser setting has, with everything that follows from it."""
    assert masks.pairs is not None
    bits = masks.pairs.bits.copy()
    bits[:, 2] = True
    return with_universals(masks.setting, Masks(masks.pairs.names, bits))


def full_checker_mask(masks: CheckerMasks) -> CheckerMasks:
    bits = masks.masks.bits.copy()
    bits[0, 2] = True
    return replace(masks, masks=Masks(masks.masks.names, bits))


def narrower(masks: CheckerMasks) -> CheckerMasks:
    return replace(masks, masks=Masks(masks.masks.names, masks.masks.bits[..., :-1]))


def without_a_layer(masks: CheckerMasks) -> CheckerMasks:
    return replace(masks, masks=Masks(masks.masks.names, masks.masks.bits[:, :-1]))


def of_fewer_prompts(activations):
    return replace(activations, n_prompts=activations.n_prompts + np.int32(1))


def of_fewer_units(activations):
    kept = slice(1, None)
    return replace(
        activations,
        names=activations.names[kept],
        n_prompts=activations.n_prompts[kept],
        sums=activations.sums[kept],
        counts=activations.counts[kept],
    )


def at_setting(setting: Setting) -> pl.Expr:
    return (pl.col("epsilon") == setting.epsilon) & (pl.col("consistency") == setting.consistency)


def without_a_concept_at_one_setting(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(~(at_setting(TIGHTEST) & (pl.col("concept") == "ast__For")))


def without_a_setting(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(~at_setting(TIGHTEST))


def neurons(setting: Setting, values: list[int]) -> Edit:
    """The first concept's mask at layer 0 of a setting."""

    def edit(table: pl.DataFrame) -> pl.DataFrame:
        here = at_setting(setting) & (pl.col("concept") == "ast__For") & (pl.col("layer") == 0)
        kept = pl.when(here).then(pl.lit(values, pl.List(pl.Int32))).otherwise(pl.col("neurons"))
        return table.with_columns(neurons=kept, size=kept.list.len().cast(pl.Int64))

    return edit


def one_neuron_from_co_to_sh(table: pl.DataFrame) -> pl.DataFrame:
    """|A| stays what it is."""
    for layer in table.columns[1:]:
        co, sh, to = map(int, table[layer][0].split(" / "))
        if co:
            return first_row(layer, f"{co - 1} / {sh + 1} / {to}")(table)
    raise AssertionError("no neuron to move")


def one_neuron_more(table: pl.DataFrame) -> pl.DataFrame:
    co, sh, to = map(int, table["L0"][0].split(" / "))
    return first_row("L0", f"{co + 1} / {sh} / {to}")(table)


def one_neuron_shared_less(table: pl.DataFrame) -> pl.DataFrame:
    """Every rule of the schema holds still."""
    row = table.with_row_index().filter((pl.col("A_and_B") > 0) & (pl.col("A_size") > 1))
    number = row["index"][0]
    here = pl.int_range(pl.len()) == number
    size = row["A_size"][0]
    a_only, both = row["A_only"][0] + 1, row["A_and_B"][0] - 1
    changes = {
        "A_only": a_only,
        "A_and_B": both,
        "B_only": row["B_only"][0] + 1,
        "concept_fraction": round(a_only / size, 4),
        "token_fraction": round(both / size, 4),
    }
    return table.with_columns(
        **{
            name: pl.when(here).then(pl.lit(value, table.schema[name])).otherwise(name)
            for name, value in changes.items()
        }
    )


def flipped_first(masks: Masks) -> Masks:
    return flipped(masks, 0, 0, to=True)


UNSOUND: list[tuple[str, Edit, set[str]]] = [
    ("object_prompts", without_first_row, {"counts"}),
    ("object_prompts", first_row("variation_id", 7), {"counts"}),
    ("object_prompts", lambda t: t.filter(pl.col("variation_id") < 2), {"counts"}),
    ("object_prompts", first_row("prompt_text", "for ("), {"prompts_parse"}),
    ("object_prompts", first_row("prompt_text", "x = 1"), {"prompts_parse"}),
    ("object_prompts", first_row("ast_verified", False), {"prompts_parse"}),
    ("checker_prompts", without_first_row, {"counts"}),
    ("checker_prompts", first_row("prompt_text", "name = 'the loop'"), {"prompts_parse"}),
    ("checker_prompts", first_row("prompt_text", "for x in y: pass"), {"prompts_parse"}),
    ("checker_prompts", first_row("keyword", "while"), {"prompts_parse"}),
    ("token_checker_prompts", without_first_row, {"counts"}),
    ("token_checker_prompts", first_row("prompt_text", "'the for"), {"prompts_parse"}),
    ("object_activations", of_fewer_prompts, {"counts"}),
    ("object_activations", of_fewer_units, {"counts"}),
    ("checker_activations", of_fewer_prompts, {"counts"}),
    ("object_masks", neuron_in_a_universal_mask, {"universal_within_pairs"}),
    ("object_masks", neuron_missing_from_a_universal_mask, {"universal_within_pairs"}),
    ("object_masks", neuron_in_a_pair_mask, {"monotone_sweep"}),
    ("checker_masks", full_checker_mask, {"monotone_sweep"}),
    ("checker_masks", narrower, {"one_width", "monotone_sweep"}),
    ("checker_masks", without_a_layer, {"one_width", "monotone_sweep"}),
    ("token_checker_masks", narrower, {"one_width"}),
    ("masks", without_a_setting, {"counts", "monotone_sweep", "agrees_with_files"}),
    ("masks", without_a_concept_at_one_setting, {"counts", "monotone_sweep", "agrees_with_files"}),
    ("masks", neurons(TIGHTEST, list(range(20))), {"monotone_sweep", "agrees_with_files"}),
    ("masks", neurons(LOOSEST, list(range(20))), {"agrees_with_files"}),
    ("target_checker", one_neuron_more, {"adds_up"}),
    ("target_checker", one_neuron_from_co_to_sh, {"adds_up"}),
    ("target_checker", without_first_row, {"adds_up"}),
    ("summary", first_row("mean_concept_fraction", 0.9999), {"agrees_with_inputs"}),
    ("summary", first_row("mean_B_size", 17.0), {"agrees_with_inputs"}),
    ("summary", without_first_row, {"agrees_with_inputs"}),
    ("modularity_scores", without_first_row, {"counts"}),
    ("modularity_scores", first_row("index", "ast__Lambda"), {"counts"}),
    ("modularity_detail", without_first_row, {"counts"}),
    ("token_independence_detail", one_neuron_shared_less, {"adds_up"}),
    ("token_independence_detail", without_first_row, {"adds_up"}),
    ("token_independence_summary", first_row("A_size", 0.125), {"agrees_with_inputs"}),
    ("token_independence_summary", without_first_row, {"agrees_with_inputs"}),
    ("token_independence_no_keyword", without_first_row, {"counts"}),
    ("universal_masks", flipped_first, {"agrees_with_inputs"}),
]


@pytest.mark.parametrize(
    ("key", "edit", "noticed_by"),
    UNSOUND,
    ids=[f"{key}-{number}" for number, (key, _, _) in enumerate(UNSOUND)],
)
def test_an_unsound_value_blocks(
    key: str, edit: Edit, noticed_by: set[str], store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    at = cell_of(key)
    store.write(key, edit(store.read(key, at)), at)
    inspected = inspect(store, key, instance, at)
    assert inspected.failed == noticed_by
    assert not inspected.downstream_ran
    assert not inspected.success
    for name in noticed_by:
        (found,) = [e for (check, _), e in inspected.evaluations.items() if check == name]
        assert found.severity == dg.AssetCheckSeverity.ERROR
        assert {"expected", "found", "what to do"} <= found.metadata.keys()


def test_every_check_is_seen_to_fail() -> None:
    seen = {(key, check) for key, _, checks in UNSOUND for check in checks}
    assert seen == {(key, check.name) for key, checks in CHECKS.items() for check in checks}


def test_every_artifact_is_read_back(tmp_path: Path) -> None:
    """The graph has a blocking schema check on every asset, partitioned where the asset is."""
    graph = build_definitions(sound_atlas.settings_in(tmp_path)).resolve_asset_graph()
    for key, artifact in ARTIFACTS.items():
        for check in checks_of(key):
            node = graph.get(dg.AssetCheckKey(dg.AssetKey(key), check.name))
            assert node.blocking, (key, check.name)
            assert (node.partitions_def is not None) == artifact.partitioned, (key, check.name)
            assert node.description == check.statement


def test_masks_of_other_activations_are_not_compared(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    """A sweep that is made anew cell by cell must not fail for the cells that are still old."""
    store.write("object_activations", sound_atlas.activations(tuple(pair_names()), seed=9))
    masks = neuron_in_a_pair_mask(store.read("object_masks", TIGHTEST))
    store.write("object_masks", masks, TIGHTEST)
    inspected = inspect(store, "object_masks", instance, TIGHTEST)
    assert inspected.success
    evaluation = inspected.evaluations["monotone_sweep", str(partition_key(TIGHTEST))]
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert "made from other activations" in evaluation.description


def pair_names() -> list[str]:
    return [f"{node}__{name}" for node, name in sound_atlas.PAIRS]


def test_a_table_older_than_its_inputs_is_not_compared(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    store.write("checker_activations", sound_atlas.activations(sound_atlas.CONCEPTS, seed=9))
    changed = full_checker_mask(store.read("checker_masks", TIGHTEST))
    store.write("checker_masks", changed, TIGHTEST)
    inspected = inspect(store, "target_checker", instance, TIGHTEST)
    assert inspected.success
    evaluation = inspected.evaluations["adds_up", str(partition_key(TIGHTEST))]
    assert evaluation.description.startswith("not compared: ")
    assert "checker_masks has changed since" in evaluation.description


def test_what_there_is_to_compare_with_may_be_absent(
    store: AtlasStore, instance: dg.DagsterInstance
) -> None:
    """As when only a table of the release was fetched."""
    for setting in store.sweep:
        Path(str(store.path("object_masks", setting))).unlink()
    for key, at in (("target_checker", TIGHTEST), ("token_checker_masks", None)):
        inspected = inspect(store, key, instance, at)
        assert inspected.success
        told = [found.description for found in inspected.evaluations.values()]
        assert any("not compared: object_masks" in text for text in told)
