"""``deploy/``: a run in PostgreSQL whose process is killed ends by itself, making nothing twice."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from atlas_assets_tests.deploy.conftest import free_port, process
from atlas_assets_tests.orchestration.tiny_atlas import environment

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BIN = Path(sys.executable).parent
#: seconds
PATIENCE = 1500
SELECTOR = """
{repositoryName: "__repository__", repositoryLocationName: "atlas_assets", pipelineName: "atlas"}
"""
#: the launchpad adds them to every run of the job: over which partitions it goes
TAGS = (
    f"{{ pipelineOrError(params: {SELECTOR}) {{ ... on Pipeline {{ runTags {{ key value }} }} }} }}"
)
LAUNCH = f"""
mutation($tags: [ExecutionTag!]) {{ launchRun(executionParams: {{mode: "default",
    selector: {SELECTOR}, executionMetadata: {{tags: $tags}}}}) {{
  __typename ... on LaunchRunSuccess {{ run {{ runId }} }} ... on PythonError {{ message }} }} }}
"""
RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"
LOGS = """
query($run: ID!) { logsForRun(runId: $run, limit: 1000) { ... on EventConnection {
  events { __typename ... on MessageEvent { message stepKey } } } } }
"""


def until(what: Callable[[], Any]) -> Any:
    """What is found at last that is not empty."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except (urllib.error.URLError, ConnectionError, KeyError):
            pass  # the webserver is not up yet, or knows no run yet
        time.sleep(0.5)
    raise TimeoutError(what)


@pytest.mark.slow
def test_a_killed_run_ends_by_itself_and_makes_nothing_twice(
    postgres: dict[str, str], tmp_path: Path
) -> None:
    home, data, log = tmp_path / "home", tmp_path / "data", tmp_path / "log"
    home.mkdir()
    port = postgres.pop("port")
    instance = (DEPLOY / "dagster.yaml").read_text().replace("port: 5432", f"port: {port}")
    (home / "dagster.yaml").write_text(instance)
    code, web = free_port(), free_port()
    workspace = (DEPLOY / "workspace.yaml").read_text().replace("port: 4000", f"port: {code}")
    (home / "workspace.yaml").write_text(workspace)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
    env = {
        **kept,
        **postgres,
        **environment(data, epsilons="0.5", consistencies="0.8"),
        "ATLAS_CODE_HOST": "127.0.0.1",
        "DAGSTER_HOME": str(home),
    }
    address = f"http://127.0.0.1:{web}/graphql"

    def ask(query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def runs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ask(RUNS)["runsOrError"]["results"]
        return found

    def messages(run: str) -> list[tuple[str, str | None, str]]:
        events = ask(LOGS, run=run)["logsForRun"]["events"]
        return [(e["__typename"], e.get("stepKey"), e.get("message", "")) for e in events]

    def started(run: str) -> int | None:
        """The process of the run, once the prompts are written."""
        found = messages(run)
        begun = {step for kind, step, _ in found if kind == "ExecutionStepStartEvent"}
        if "token_checker_prompts" not in begun:
            return None
        told = next(text for *_, text in found if "(pid: " in text)
        return int(told.rpartition("(pid: ")[2].split(")")[0])

    def ended(run: str) -> bool:
        return {r["runId"]: r["status"] for r in runs()}[run] in ("SUCCESS", "FAILURE")

    with ExitStack() as stack:
        for command in (
            f"dagster api grpc -m atlas_assets.definitions -h 127.0.0.1 -p {code}",
            f"dagster-webserver -h 127.0.0.1 -p {web} -w {home}/workspace.yaml",
            f"dagster-daemon run -w {home}/workspace.yaml",
        ):
            program, *arguments = command.split()
            words = [str(BIN / program), *arguments]
            stack.enter_context(process(words, log, env=env, cwd=tmp_path))
        tags = until(lambda: ask(TAGS)["pipelineOrError"]["runTags"])
        first = ask(LAUNCH, tags=tags)["launchRun"]["run"]["runId"]
        pid = until(lambda: started(first))
        os.kill(pid, signal.SIGKILL)
        folder = data / "tiny"
        before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
        # runs that complete a sweep are runs of their own
        parent = {"key": "dagster/parent_run_id", "value": first}
        again = until(lambda: [r for r in runs() if parent in r["tags"]])[0]["runId"]
        until(lambda: ended(again))
        states = {r["runId"]: r["status"] for r in runs()}
        assert (states[first], states[again]) == ("FAILURE", "SUCCESS")
        after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
        assert "11A_object_prompts.parquet" in before
        assert before.items() <= after.items()
        assert any(kind == "MaterializationEvent" for kind, *_ in messages(again))


def test_the_files_of_the_deployment_are_yaml_and_name_the_same_settings() -> None:
    files = {path.name: yaml.safe_load(path.read_text()) for path in DEPLOY.glob("*.yaml")}
    database = files["dagster.yaml"]["storage"]["postgres"]["postgres_db"]
    asked = {told["env"] for told in database.values() if isinstance(told, dict)}
    given = files["compose.yaml"]["services"]["code"]["environment"]
    assert asked <= given.keys()
    assert files["workspace.yaml"]["load_from"][0]["grpc_server"]["host"]["env"] in given
    for service in ("code", "webserver", "daemon"):
        assert files["compose.yaml"]["services"][service]["image"] == "atlas-assets"
