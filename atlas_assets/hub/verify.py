"""Whether every table loads with ``datasets``, full and streaming, as it was published.

Asked of the staged folder before anything is uploaded, and of the repository at the new commit.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from atlas_assets.errors import ArtifactError, HubPermanentError, HubUnavailableError
from atlas_assets.hub import card, viewer
from atlas_assets.hub.manifest import Manifest
from atlas_assets.hub.staging import Stage
from atlas_assets.hub_client.client import HubClient

#: seconds for all tables together
_LIMIT = 900.0
#: faults that a message lists
_SHOWN = 5
_NOT_TAGGED = "until it loads, the commit is not tagged as a version of the atlas"
#: of the user's environment, not of the check's: credentials, caches, and whether to ask the Hub
_NOT_PASSED_ON = frozenset(
    {
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_HUB_CACHE",
        "HF_ASSETS_CACHE",
        "HF_HUB_OFFLINE",
        "HF_DATASETS_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    }
)
_REMEDY = (
    "nothing was uploaded; report it together with this message, as the tables that an atlas "
    "publishes are made to load"
)


class Verifier(Protocol):
    """Says whether what is published loads."""

    def require(self) -> None:
        """Refuses to go on where it cannot work."""

    def folder(self, stage: Stage, repo_id: str) -> None:
        """Checks the staged files."""

    def repository(
        self, client: HubClient, repo_id: str, sha: str, manifest: Manifest, stage: Stage
    ) -> None:
        """Checks a commit."""


class DatasetsVerifier:
    """Loads every configuration with ``datasets``, in a process of its own with its own caches."""

    def require(self) -> None:
        """Refuses to go on without ``datasets``.

        Raises:
            ArtifactError: it is not installed.
        """
        if importlib.util.find_spec("datasets") is None:
            raise ArtifactError(
                "publishing needs the package datasets, to check that every table loads",
                where="this Python environment",
                expected="datasets, which the extra `publish` brings",
                found="no such package",
                remedy="pip install 'atlas-assets[publish]' (in a checkout: pip install -c "
                "constraints.txt -e '.[publish]')",
            )

    def folder(self, stage: Stage, repo_id: str) -> None:
        """Checks the staged files, offline; there is nothing to check where none is a table.

        Raises:
            ArtifactError: a table does not load, or not as it is.
        """
        if not viewer.tables(stage.manifest):
            return
        front = stage.file(card.NAME)
        front.write_text(card.render("", stage.manifest, repo_id), encoding="utf-8")
        try:
            report = _run(str(stage.folder), None, {"HF_HUB_OFFLINE": "1"})
        finally:
            front.unlink()
        faults = failures_of(report) or faults_of(report, stage.manifest, stage)
        if faults:
            raise ArtifactError(
                "a table would not load with datasets.load_dataset",
                where=str(stage.folder),
                expected="every configuration with its rows, columns and types",
                found="; ".join(faults[:_SHOWN]),
                remedy=_REMEDY,
            )

    def repository(
        self, client: HubClient, repo_id: str, sha: str, manifest: Manifest, stage: Stage
    ) -> None:
        """Checks the commit ``sha`` through the Hub; nothing where it holds no table.

        Raises:
            HubPermanentError: a table is not what was published.
            HubUnavailableError: a table could not be loaded, or the check did not end.
        """
        if not viewer.tables(manifest):
            return
        report = _run(repo_id, sha, _credentials(client), client=client)
        where = f"{repo_id}@{sha[:12]}"
        failures = [client.redact(failure) for failure in failures_of(report)]
        if failures:
            # the same files did load before they were uploaded
            raise HubUnavailableError(
                "a published table could not be loaded to be checked",
                where=where,
                expected="every configuration to load with datasets.load_dataset",
                found="; ".join(failures[:_SHOWN]),
                remedy=f"publish again: nothing is committed twice; {_NOT_TAGGED}",
            )
        faults = [client.redact(fault) for fault in faults_of(report, manifest, stage)]
        if faults:
            raise HubPermanentError(
                "a published table does not load as it is with datasets.load_dataset",
                where=where,
                expected="every configuration with its rows, columns and types",
                found="; ".join(faults[:_SHOWN]),
                remedy="correct what is in its way (a configuration file of another tool in the "
                f"repository?) and publish again; {_NOT_TAGGED}",
            )


def failures_of(report: Mapping[str, Any]) -> list[str]:
    """What could not be loaded at all, and why."""
    return [
        f"{config}, {how}: {' '.join(str(found['error']).split())[:300]}"
        for config, table in report["tables"].items()
        for how, found in table.items()
        if "error" in found
    ]


def faults_of(report: Mapping[str, Any], manifest: Manifest, stage: Stage) -> list[str]:
    """What a report of `atlas_assets.hub.viewer_check` says against what was published.

    Args:
        report: of the check.
        manifest: of what was loaded.
        stage: knows the rows of what was published just now.
    """
    shown, staged = viewer.tables(manifest), viewer.tables(stage.manifest)
    faults = []
    if sorted(report["configs"]) != sorted(shown):
        faults.append(f"configurations {report['configs']}, not {list(shown)}")
    default = viewer.default_of(manifest)
    if report["default"] != default:
        faults.append(f"the default is {report['default']!r}, not {default!r}")
    for config, files in shown.items():
        expected: dict[str, Any] = {
            "splits": [viewer.SPLIT],
            "rows": sum(table.rows for _, table in files),
            "columns": {column.name: column.dtype for column in files[0][1].columns},
        }
        if files == staged.get(config):
            expected["digest"] = stage.rows[config]
        found = report["tables"].get(config, {})
        for how in ("full", "streaming"):
            faults += _differences(f"{config}, {how}", expected, found.get(how, {}))
    return faults


def _differences(what: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{what}: {name} {found.get(name)}, not {value}"
        for name, value in expected.items()
        if found.get(name) != value
    ]


def _run(
    source: str,
    revision: str | None,
    environment: Mapping[str, str],
    *,
    client: HubClient | None = None,
) -> dict[str, Any]:
    """The report of a check in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="atlas-verify-") as name:
        home, report = Path(name), Path(name) / "report.json"
        request = {"source": source, "revision": revision, "report": str(report)}
        try:
            finished = subprocess.run(
                [sys.executable, "-m", "atlas_assets.hub.viewer_check"],
                input=json.dumps(request),
                env={**_environment(home), **environment},
                cwd=home,
                capture_output=True,
                text=True,
                timeout=_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _unfinished(source, f"no end after {_LIMIT:.0f} seconds") from None
        if finished.returncode == 0 and report.exists():
            found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
            return found
    said = " ".join(finished.stderr.split())[-300:]
    raise _unfinished(source, client.redact(said) if client else said)


def _environment(home: Path) -> dict[str, str]:
    """Of the check: caches of its own, none of the user's credentials."""
    kept = {key: value for key, value in os.environ.items() if key not in _NOT_PASSED_ON}
    return {
        **kept,
        "PYTHONWARNINGS": "ignore",
        "HF_HOME": str(home / "hub"),
        "HF_DATASETS_CACHE": str(home / "datasets"),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def _credentials(client: HubClient) -> dict[str, str]:
    """The Hub and the token, which goes to the other process in its environment alone."""
    from huggingface_hub import get_token

    token = client.token or get_token()
    endpoint = {"HF_ENDPOINT": client.endpoint} if client.endpoint else {}
    return {**endpoint, **({"HF_TOKEN": token} if token else {})}


def _unfinished(source: str, found: str) -> HubUnavailableError:
    return HubUnavailableError(
        "the check that every table loads did not come to an end",
        where=source,
        expected="a report on every table",
        found=found or "no report",
        remedy="publish again; if it stays so, run `python -m pip check` for the package datasets",
    )
