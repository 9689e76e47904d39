"""``deploy/``: a run in PostgreSQL whose process is killed ends by itself, making nothing twice."""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets_tests.deploy.conftest import free_port, process
from atlas_assets_tests.orchestration.tiny_atlas import environment
from atlas_assets_tests.orchestration.webserver import Webserver, until

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BIN = Path(sys.executable).parent


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
    server = Webserver(web)

    def started(run: str) -> int | None:
        """The process of the run, once the prompts are written."""
        found = server.messages(run)
        begun = {step for kind, step, _ in found if kind == "ExecutionStepStartEvent"}
        if "token_checker_prompts" not in begun:
            return None
        told = next(text for *_, text in found if "(pid: " in text)
        return int(told.rpartition("(pid: ")[2].split(")")[0])

    with ExitStack() as stack:
        for command in (
            f"dagster api grpc -m atlas_assets.definitions -h 127.0.0.1 -p {code}",
            f"dagster-webserver -h 127.0.0.1 -p {web} -w {home}/workspace.yaml",
            f"dagster-daemon run -w {home}/workspace.yaml",
        ):
            program, *arguments = command.split()
            words = [str(BIN / program), *arguments]
            stack.enter_context(process(words, log, env=env, cwd=tmp_path))
        first = server.launch_atlas()
        pid = until(lambda: started(first))
        os.kill(pid, signal.SIGKILL)
        folder = data / "tiny"
        before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
        # runs that complete a sweep are runs of their own
        parent = {"key": "dagster/parent_run_id", "value": first}
        again = until(lambda: [r for r in server.runs() if parent in r["tags"]])[0]["runId"]
        until(lambda: server.status(again) in ("SUCCESS", "FAILURE"))
        assert (server.status(first), server.status(again)) == ("FAILURE", "SUCCESS")
        after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
        # a step that was killed between its file and its end makes the file again
        found = server.messages(first)
        ended = {step for kind, step, _ in found if kind == "ExecutionStepSuccessEvent"}
        made = [ARTIFACTS[step].file_name(None) for step in ended & ARTIFACTS.keys()]
        assert "11A_object_prompts.parquet" in made
        assert {name: before[name] for name in made} == {name: after[name] for name in made}
        assert any(kind == "MaterializationEvent" for kind, *_ in server.messages(again))


def test_the_files_of_the_deployment_are_yaml_and_name_the_same_settings() -> None:
    files = {path.name: yaml.safe_load(path.read_text()) for path in DEPLOY.glob("*.yaml")}
    database = files["dagster.yaml"]["storage"]["postgres"]["postgres_db"]
    asked = {told["env"] for told in database.values() if isinstance(told, dict)}
    given = files["compose.yaml"]["services"]["code"]["environment"]
    assert asked <= given.keys()
    assert files["workspace.yaml"]["load_from"][0]["grpc_server"]["host"]["env"] in given
    for service in ("code", "webserver", "daemon"):
        assert files["compose.yaml"]["services"][service]["image"] == "atlas-assets"
    # Dagster's chart has names of its own for the same limits
    chart, instance = files["helm-values.yaml"], files["dagster.yaml"]
    assert chart["concurrency"]["pools"] == {
        "granularity": instance["concurrency"]["pools"]["granularity"],
        "defaultLimit": instance["concurrency"]["pools"]["default_limit"],
    }
    for part, name in (("runMonitoring", "run_monitoring"), ("runRetries", "run_retries")):
        told = {_snake(key): value for key, value in chart["dagsterDaemon"][part].items()}
        assert told == instance[name]


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
