"""``atlas follow``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from atlas_assets.cli.app import atlas
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.orchestration.automation import followed
from atlas_assets_tests.orchestration.automation.followed import NAME, made, settings_in


def test_the_command_tells_the_versions(hub: LocalHub, tmp_path: Path) -> None:
    first = followed.publish(hub, tmp_path / "first", seed=0)
    env = followed.environment(tmp_path / "data")

    def call(*arguments: str) -> Any:
        return CliRunner().invoke(atlas, ["follow", *arguments], env=env, prog_name="atlas")

    assert "no version yet" in call("--offline").stdout
    told = call()
    assert told.exit_code == 1
    assert f"nothing has been built yet: {first} is to be, in {NAME}" in told.stdout
    assert json.loads(call("--json").stdout)["built"] is False
    made(settings_in(tmp_path / "data"), NAME, first)
    told = call()
    assert told.exit_code == 0
    assert f"in force: {first} in {NAME}" in told.stdout
    second = followed.publish(hub, tmp_path / "second", seed=1)
    told = call("--json")
    assert told.exit_code == 1
    document = json.loads(told.stdout)
    assert document["building"] == {"sha": second, "folder": f"{NAME}@{second[:12]}"}
    hub.close()
    assert call("--offline").exit_code == 1
    told = call()
    assert told.exit_code == 3
    assert "cannot look up the model on the Hub" in told.stderr
