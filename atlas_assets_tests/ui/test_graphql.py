"""What Dagster's webserver tells its UI of the definitions, asked as the UI asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets_tests.orchestration.tiny_atlas import environment
from atlas_assets_tests.ui.server import end, free_port, wait_for

pytestmark = pytest.mark.slow

Ask = Callable[..., Any]
ASSETS = """{ assetNodes {
  assetKey { path } groupName kinds isExecutable tags { key value }
  owners { ... on TeamAssetOwner { team } }
  partitionDefinition { dimensionTypes { name } }
  assetChecksOrError { ... on AssetChecks { checks { name blocking canExecuteIndividually } } }
} }"""
STARTERS = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
  name location { name } jobs { name }
  sensors { name sensorState { status } } schedules { name scheduleState { status } }
} } } }"""
LAUNCHPAD = """query ($selector: PipelineSelector!) { runConfigSchemaOrError(selector: $selector) {
  __typename ... on RunConfigSchema {
    rootDefaultYaml isRunConfigValid(runConfigData: "{}") { __typename }
} } }"""


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Asks a webserver with a new instance and no file of an atlas; gives what it answers."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
    env = {**kept, **environment(home / "data"), "DAGSTER_HOME": str(home)}
    env.pop("DAGSTER_MODULE_NAME", None)
    webserver = str(Path(sys.executable).parent / "dagster-webserver")
    place = ["-m", "atlas_assets.definitions", "-h", "127.0.0.1", "-p", str(port)]
    url, log = f"http://127.0.0.1:{port}", home / "log"

    def asked(query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{url}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    with log.open("wb") as output:
        process = subprocess.Popen(
            [webserver, *place],
            env=env,
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(url, process, log)
            yield asked
        finally:
            end(process)


def test_assets_say_their_stage_owner_and_needs(ask: Ask) -> None:
    nodes = {node["assetKey"]["path"][-1]: node for node in ask(ASSETS)["assetNodes"]}
    for key, artifact in ARTIFACTS.items():
        node = nodes[key]
        assert node["groupName"] == artifact.group.removeprefix("stage_")
        assert node["isExecutable"]
        assert {"team": "csp-atlas"} in node["owners"]
        needs = "model" if artifact.runs_model else "files"
        assert {"key": "needs", "value": needs} in node["tags"]
        assert set(artifact.kinds) <= set(node["kinds"])
    # Dagster sorts dimensions by name (docs/dagster.md)
    dimensions = nodes["object_masks"]["partitionDefinition"]["dimensionTypes"]
    assert [each["name"] for each in dimensions] == ["consistency", "epsilon"]


def test_every_check_can_be_executed_alone(ask: Ask) -> None:
    nodes = {node["assetKey"]["path"][-1]: node for node in ask(ASSETS)["assetNodes"]}
    for key, artifact in ARTIFACTS.items():
        checks = nodes[key]["assetChecksOrError"]["checks"]
        assert {check.name for check in artifact.checks} <= {check["name"] for check in checks}
        for check in checks:
            assert check["canExecuteIndividually"] == "CAN_EXECUTE", check
            assert check["blocking"] != check["name"].startswith("claim_"), check


def test_nothing_starts_by_itself_without_a_target(ask: Ask) -> None:
    (repository,) = ask(STARTERS)["repositoriesOrError"]["nodes"]
    started = [*repository["sensors"], *repository["schedules"]]
    states = {
        each["name"]: (each.get("sensorState") or each["scheduleState"])["status"]
        for each in started
    }
    assert states.pop("default_automation_condition_sensor", "STOPPED") == "STOPPED"
    assert len(states) >= 4
    assert set(states.values()) == {"STOPPED"}


def test_the_launchpad_of_every_job_is_ready(ask: Ask) -> None:
    """No field is required, so that nothing is red before anything is typed."""
    (repository,) = ask(STARTERS)["repositoriesOrError"]["nodes"]
    names = {job["name"] for job in repository["jobs"] if not job["name"].startswith("__")}
    assert {"atlas", "sweep", "analyses", "validate", "publish"} <= names
    for name in sorted(names):
        selector = {
            "pipelineName": name,
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
        }
        schema = ask(LAUNCHPAD, selector=selector)["runConfigSchemaOrError"]
        assert schema["__typename"] == "RunConfigSchema", (name, schema)
        assert schema["isRunConfigValid"]["__typename"] == "PipelineConfigValidationValid", name
