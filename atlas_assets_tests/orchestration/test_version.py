"""The end of the graph: which version may be put in force."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from atlas_assets.atlas import versions
from atlas_assets_tests.hub.conftest import hub
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.orchestration.automation import followed
from atlas_assets_tests.orchestration.automation.followed import NAME, made, settings_in
from atlas_assets_tests.orchestration.tiny_atlas import failure_text, materialize

__all__ = ["hub"]


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
