"""What is made again by itself, as Dagster evaluates it, on an atlas that was really made.

One atlas of nine settings is made once; each test changes something and puts nothing back, so that
every one works on an instance of its own, with the events of that one run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dagster as dg
import pytest

from atlas_assets.atlas.open import open_with_model
from atlas_assets.definitions import build_definitions
from atlas_assets.orchestration.automation.follow import OneRunSensor
from atlas_assets.orchestration.automation.model_watch import poll
from atlas_assets.orchestration.partitions import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages import catalog
from atlas_assets_tests.orchestration.tiny_atlas import (
    ASSET_KEYS,
    failure_text,
    materialize,
    run_job,
    tiny_settings,
)

pytestmark = pytest.mark.filterwarnings(
    # Dagster's own evaluate_automation_conditions selects with a parameter in beta
    "ignore:Parameter .include_sources.:dagster_shared.utils.warnings.BetaWarning"
)

#: no setting that figures and further analyses speak of: the sweep skips those, and a run is short
SWEEP = {"epsilons": "0.01,0.1,0.2", "consistencies": "0.2,0.5,0.7"}
CHANGES = {
    "ast_nodes": "For,Pass",
    "builtins": "list,_isolated_",
    "variations": 2,
    "token_checker_setting": "0.1,0.5",
    **SWEEP,
}
PARTITIONED = ("object_masks", "checker_masks", "target_checker")
AFTER_MASKS = {
    "masks",
    "token_independence_no_keyword",
    "token_independence_detail",
    "token_independence_summary",
    "atlas_report",
    "claims_report",
    "atlas_version",
}
ROOTS = {"object_prompts", "checker_prompts", "token_checker_prompts"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The data dir of an atlas, and the home of the instance that made it."""
    data, home = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        result = run_job(tiny_settings(data, **CHANGES), instance)
    assert result.success, failure_text(result)
    return data, home


@pytest.fixture
def settings(made: tuple[Path, Path], tmp_path: Path) -> AtlasSettings:
    shutil.copytree(made[0], tmp_path / "data")
    return tiny_settings(tmp_path / "data", **CHANGES)


@pytest.fixture
def instance(made: tuple[Path, Path], tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    shutil.copytree(made[1], tmp_path / "home")
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        yield instance


def requested(settings: AtlasSettings, instance: dg.DagsterInstance) -> dict[str, set[str | None]]:
    """Asset → partitions that Dagster would make now."""
    found = dg.evaluate_automation_conditions(build_definitions(settings), instance)
    keys = (result.key for result in found.results)
    wanted = {key: found.get_requested_partitions(key) for key in keys}
    return {key.to_user_string(): set(parts) for key, parts in wanted.items() if parts}


def request_of(settings: AtlasSettings, instance: dg.DagsterInstance) -> dg.RunRequest | None:
    """What the sensor asks the daemon to run."""
    definitions = build_definitions(settings)
    repository = definitions.get_repository_def()
    (sensor,) = (s for s in repository.sensor_defs if isinstance(s, OneRunSensor))
    context = dg.build_sensor_context(instance=instance, repository_def=repository)
    requests = sensor.evaluate_tick(context).run_requests
    assert len(requests) <= 1
    return requests[0] if requests else None


def change_model(instance: dg.DagsterInstance, version: str) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization("model", tags={"dagster/data_version": version})
    )


def everything() -> set[str]:
    """What this sweep makes."""
    settings = AtlasSettings.build(**CHANGES)
    from atlas_assets.stages.catalog import skipped_under

    return (ASSET_KEYS | {"atlas_version"}) - skipped_under(settings)


def test_an_atlas_just_made_is_left_alone(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    assert requested(settings, instance) == {}
    assert request_of(settings, instance) is None
    assert poll(settings, instance).endswith("nothing has changed")


def test_another_model_makes_everything_again_once_at_all_nine_settings(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    change_model(instance, "another+last_token")
    wanted = requested(settings, instance)
    assert set(wanted) == everything()
    cells = {f"{c}|{e}" for c in ("0.2", "0.5", "0.7") for e in ("0.01", "0.1", "0.2")}
    assert all(wanted[key] == cells for key in PARTITIONED)
    request = request_of(settings, instance)
    assert request is not None
    assert {key.to_user_string() for key in request.asset_selection} == everything()
    assert request.tags[ASSET_PARTITION_RANGE_START_TAG] == "0.2|0.01"
    assert request.tags[ASSET_PARTITION_RANGE_END_TAG] == "0.7|0.2"
    # the same, as long as nothing is made: Dagster launches a run key once
    again = request_of(settings, instance)
    assert again is not None
    assert again.run_key == request.run_key

    # the run reports the model that it ran, and nothing is stale any more
    result = run_job(settings, instance)
    assert result.success, failure_text(result)
    assert requested(settings, instance) == {}


def test_a_model_that_changes_again_is_another_cause(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    keys = set()
    for version in ("one", "other"):
        change_model(instance, version)
        request = request_of(settings, instance)
        assert request is not None
        keys.add(request.run_key)
    assert len(keys) == 2


def test_changed_code_makes_what_it_makes_and_what_follows(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_code(monkeypatch, "token_independence_detail")
    assert set(requested(settings, instance)) == {
        "token_independence_detail",
        "token_independence_summary",
        "atlas_report",
        "atlas_version",
    }
    change_code(monkeypatch, "target_checker")
    wanted = requested(settings, instance)
    assert {"target_checker", "summary", "figure_sweep", "claims_report"} <= set(wanted)
    assert len(wanted["target_checker"]) == 9
    assert not {"object_masks", "masks", *ROOTS} & set(wanted)


def change_code(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A version of the package in which an artifact is made in another way."""
    from atlas_assets.orchestration import assets

    changed: Mapping[str, Any] = {
        **assets.ARTIFACTS,
        key: replace(catalog.ARTIFACTS[key], code_version="changed"),
    }
    monkeypatch.setattr(assets, "ARTIFACTS", MappingProxyType(dict(changed)))


@pytest.mark.parametrize(
    ("change", "first", "untouched"),
    [
        ({"token_checker_setting": "0.2,0.5"}, {"token_checker_masks"}, {"masks", *ROOTS}),
        (
            {"variations": 3},
            {"object_prompts"},
            {"checker_prompts", "token_checker_prompts", "checker_activations", "checker_masks"},
        ),
        ({"ast_nodes": "For,Pass,While"}, ROOTS, set()),
        ({"epsilons": "0.01,0.2"}, {"masks", "summary"}, {"target_checker", *ROOTS}),
    ],
)
def test_a_changed_setting_makes_what_depends_on_it(
    settings: AtlasSettings,
    instance: dg.DagsterInstance,
    change: dict[str, Any],
    first: set[str],
    untouched: set[str],
) -> None:
    changed = AtlasSettings.build(**{**settings.model_dump(), **change})
    wanted = set(requested(changed, instance))
    assert first <= wanted
    assert not untouched & wanted
    assert "atlas_version" in wanted


def test_the_files_say_so_too(settings: AtlasSettings) -> None:
    """`atlas status` goes by the same versions."""
    changed = AtlasSettings.build(**{**settings.model_dump(), "token_checker_setting": "0.2,0.5"})
    assert open_with_model(settings).stale_reason("token_checker_masks") is None
    reason = open_with_model(changed).stale_reason("token_checker_masks")
    assert reason is not None
    assert reason.endswith("+token_checker_setting=0.2,0.5")


def test_new_settings_of_the_sweep_are_made_and_the_others_left(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    wider = AtlasSettings.build(**{**settings.model_dump(), "epsilons": "0.01,0.1,0.2,0.3"})
    wanted = requested(wider, instance)
    new = {"0.2|0.3", "0.5|0.3", "0.7|0.3"}
    assert all(wanted[key] == new for key in PARTITIONED)
    assert set(wanted) >= AFTER_MASKS
    assert not {"object_activations", "token_checker_masks", *ROOTS} & set(wanted)
    request = request_of(wider, instance)
    assert request is not None
    assert request.tags[ASSET_PARTITION_RANGE_START_TAG] == "0.2|0.3"
    assert request.tags[ASSET_PARTITION_RANGE_END_TAG] == "0.7|0.3"


def test_making_the_same_again_by_hand_makes_nothing_else_stale(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    for selection, partition in (
        (["checker_prompts", "token_checker_prompts"], None),
        (["object_masks", "checker_masks", "target_checker"], "0.5|0.1"),
        (["masks"], None),
    ):
        result = materialize(settings, instance, selection, partition)
        assert result.success, failure_text(result)
        assert requested(settings, instance) == {}, selection


def test_what_was_fetched_is_left_as_it_is_and_what_follows_made_from_it(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    for key, partition in (("summary", None), ("target_checker", "0.5|0.1")):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                key, partition=partition, tags={"dagster/data_version": "fetched"}
            )
        )
    wanted = set(requested(settings, instance))
    assert wanted == {"figure_sweep", "claims_report", "atlas_report", "atlas_version"}


def test_an_atlas_that_was_never_made_is_not_begun(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, **CHANGES)
    with dg.instance_for_test() as instance:
        assert "new to Dagster" in poll(settings, instance)
        assert requested(settings, instance) == {}


def test_what_failed_a_blocking_check_is_not_built_upon(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_code(monkeypatch, "token_independence_detail")
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("token_checker_masks"),
            check_name="schema",
            passed=False,
            blocking=True,
            metadata={},
        )
    )
    assert not any(key.startswith("token_independence") for key in requested(settings, instance))
