"""Dagster's webserver as its page asks it: over GraphQL, on 127.0.0.1."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: seconds
PATIENCE = 1500
#: the launchpad adds them to every run of a job: over which partitions it goes
TAGS = """
query($selector: PipelineSelector!) {
  pipelineOrError(params: $selector) { ... on Pipeline { runTags { key value } } } }
"""
LAUNCH = """
mutation($selector: JobOrPipelineSelector!, $tags: [ExecutionTag!]) {
  launchRun(executionParams: {mode: "default",
    selector: $selector, executionMetadata: {tags: $tags}}) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on InvalidSubsetError { message } } }
"""
TERMINATE = "mutation($run: String!) { terminateRun(runId: $run) { __typename } }"
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


@dataclass(frozen=True)
class Webserver:
    """Attributes:
    port: of 127.0.0.1.
    location: the name of the code location.
    """

    port: int
    location: str = "atlas_assets"

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        address = f"http://127.0.0.1:{self.port}/graphql"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def launch_atlas(self) -> str:
        """Start the job ``atlas`` as its launchpad does; return the run."""
        selector = {**self._place, "pipelineName": "atlas"}
        tags = until(lambda: self.ask(TAGS, selector=selector)["pipelineOrError"]["runTags"])
        return self._launch(selector, tags)

    def launch_assets(self, *assets: str) -> str:
        """Start what *Materialize* starts for assets without partitions; return the run."""
        chosen = [{"path": [asset]} for asset in assets]
        selector = {**self._place, "pipelineName": "__ASSET_JOB", "assetSelection": chosen}
        return self._launch(selector, [])

    @property
    def _place(self) -> dict[str, str]:
        return {"repositoryName": "__repository__", "repositoryLocationName": self.location}

    def _launch(self, selector: object, tags: object) -> str:
        answer = until(lambda: self.ask(LAUNCH, selector=selector, tags=tags))["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        run: str = answer["run"]["runId"]
        return run

    def terminate(self, run: str) -> str:
        """Press *Terminate*."""
        told: str = self.ask(TERMINATE, run=run)["terminateRun"]["__typename"]
        return told

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(RUNS)["runsOrError"]["results"]
        return found

    def status(self, run: str) -> str:
        return {each["runId"]: each["status"] for each in self.runs()}[run]

    def messages(self, run: str) -> list[tuple[str, str | None, str]]:
        """The log of a run: the kind, step and text of each event."""
        events = self.ask(LOGS, run=run)["logsForRun"]["events"]
        return [(e["__typename"], e.get("stepKey"), e.get("message", "")) for e in events]
