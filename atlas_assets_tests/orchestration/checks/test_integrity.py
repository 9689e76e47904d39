"""Every integrity check: passes on a sound atlas, fails on an unsound file, and blocks."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from atlas_assets.definitions import build_definitions, build_resources
from atlas_assets.orchestration.checks.integrity import integrity_checks
from atlas_assets.orchestration.partitions import partition_key, partitions_of
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.inspection import Inspection, MaskReader, checks_of, judge
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import DEFINITIONS, SWEEP, Definition, Partition
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.orchestration.checks.unsound import (
    TIGHTEST,
    UNSOUND,
    Edit,
    full_checker_mask,
    neuron_in_a_pair_mask,
)
from atlas_assets_tests.soundness import sound_atlas

#: the artifacts that declare checks besides their schema
CHECKS = {key: artifact.checks for key, artifact in ARTIFACTS.items() if artifact.checks}


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> AtlasStore:
    shutil.copytree(sound, tmp_path / "data")
    found: AtlasStore = build_resources(sound_atlas.settings_in(tmp_path / "data"))["store"]
    return found


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
    store: AtlasStore, key: str, instance: dg.DagsterInstance, at: Partition | None = None
) -> Inspected:
    """The artifact's own checks between an asset that does nothing and one that depends on it."""
    partitions = partitions_of(store.sweep, store.definitions)
    space = ARTIFACTS[key].partitions
    own = partitions[space.name] if space else None

    @dg.asset(key=key, partitions_def=own)
    def upstream() -> None:
        """Its file lies on disk already."""

    @dg.asset(deps=[key], partitions_def=own)
    def downstream() -> None:
        """Runs only when the checks passed."""

    (checks,) = [
        found
        for found in integrity_checks(AtlasSettings(), partitions)
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


def cell_of(key: str) -> Partition | None:
    spaces = {None: None, SWEEP: TIGHTEST, DEFINITIONS: Definition("contrastive")}
    return spaces[ARTIFACTS[key].partitions]


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


@pytest.mark.parametrize(
    ("key", "edit", "noticed_by"),
    UNSOUND,
    ids=[f"{key}-{number}" for number, (key, _, _) in enumerate(UNSOUND)],
)
def test_an_unsound_value_is_noticed(
    key: str, edit: Edit, noticed_by: set[str], store: AtlasStore
) -> None:
    at = cell_of(key)
    store.write(key, edit(store.read(key, at)), at)
    inspection = Inspection(store, MaskReader(), key, at)
    verdicts = {check.name: judge(check, inspection) for check in checks_of(key)}
    assert {name for name, found in verdicts.items() if found.state == "failed"} == noticed_by


@pytest.mark.parametrize(
    ("key", "edit", "noticed_by"),
    [case for case in UNSOUND if case[0] in ("object_masks", "summary")],
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
