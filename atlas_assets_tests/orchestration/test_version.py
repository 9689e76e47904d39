"""The end of the graph: which version may be put in force."""

from __future__ import annotations

import logging
from pathlib import Path

import dagster as dg

from atlas_assets.atlas import versions
from atlas_assets_tests.hub.conftest import hub
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.orchestration.automation import followed
from atlas_assets_tests.orchestration.automation.followed import NAME, made, settings_in
from atlas_assets_tests.orchestration.tiny_atlas import failure_text, materialize, tiny_settings

__all__ = ["hub"]


def test_an_instance_that_remembers_another_atlas_is_told_of(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        def warnings_of(name: str) -> list[str]:
            run = materialize(tiny_settings(tmp_path, name=name), instance, ["atlas_version"])
            assert run.success
            logged = instance.all_logs(run.run_id)
            return [entry.user_message for entry in logged if entry.level == logging.WARNING]

        assert warnings_of("first") == []
        assert warnings_of("first") == []
        (warning,) = warnings_of("second")
    assert f"remembers another atlas, {tmp_path / 'first'}" in warning
    assert "DAGSTER_HOME" in warning


def test_a_version_that_lacks_files_is_not_put_in_force(hub: LocalHub, tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "data")
    first = followed.publish(hub, tmp_path / "first", seed=0)
    assert versions.look_up(settings).latest.sha == first
    made(settings, NAME, first)
    second = followed.publish(hub, tmp_path / "second", seed=1)
    assert versions.look_up(settings).latest.sha == second
    with dg.DagsterInstance.ephemeral() as instance:
        refused = materialize(settings, instance, ["atlas_version"])
    assert not refused.success
    assert "is not put in force" in failure_text(refused)
    assert "object_prompts: it is missing" in failure_text(refused)
    assert versions.folder_in_force(settings).name == NAME
