"""Checks that every table loads with ``datasets``, full and streaming, as it was published.

The staged folder is checked before anything is uploaded, and the repository at the new commit. The
tables are loaded by this module run as a program: caches, credentials and the Hub's address are
then its own, and nothing of ``datasets`` stays behind in the process that publishes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas_assets.errors import ArtifactError, HubPermanentError, HubUnavailableError, expect
from atlas_assets.files import atomic
from atlas_assets.hub import card, viewer
from atlas_assets.hub.manifest import Manifest
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.transport import install

if TYPE_CHECKING:
    from atlas_assets.hub.staging import Stage

#: seconds for all tables together
_LIMIT = 900.0
#: rows that are taken out of a table at once
_BATCH = 1000
#: faults that a message lists
_SHOWN = 5
_IN_ORDER = "every configuration with its rows, columns and types"
_NOT_TAGGED = "until it loads, the commit is not tagged as a version of the atlas"
#: variables of the user that the check does not get: credentials, caches, offline modes
_NOT_PASSED_ON = re.compile(
    r"(HF|HUGGING_FACE_HUB)_TOKEN|HF_(HUB|ASSETS)_CACHE|(HF_HUB|HF_DATASETS|TRANSFORMERS)_OFFLINE"
)


class DatasetsVerifier:
    """Loads every configuration with ``datasets``, in a process of its own with its own caches."""

    def require(self) -> None:
        """Raise an `ArtifactError` where ``datasets`` is not installed."""
        expect(
            importlib.util.find_spec("datasets") is not None,
            ArtifactError,
            "publishing needs the package datasets, to check that every table loads",
            where="this Python environment",
            expected="datasets, which the extra `publish` brings",
            found="no such package",
            remedy="pip install 'atlas-assets[publish]' (in a checkout: pip install -c "
            "constraints.txt -e '.[publish]')",
        )

    def folder(self, stage: Stage, repo_id: str) -> None:
        """Check the staged files, offline; there is nothing to check where none is a table.

        Raises:
            ArtifactError: a table does not load, or loads with other values.
            HubUnavailableError: the check did not end.
        """
        if not viewer.tables(stage.manifest):
            return
        front = stage.file(card.NAME)
        front.write_text(card.render("", stage.manifest, repo_id), encoding="utf-8")
        try:
            report = _report(str(stage.folder))
        finally:
            front.unlink()
        faults = failures_of(report) or faults_of(report, stage.manifest, stage)
        if faults:
            raise ArtifactError(
                "a table would not load with datasets.load_dataset",
                where=str(stage.folder),
                expected=_IN_ORDER,
                found="; ".join(faults[:_SHOWN]),
                remedy="nothing was uploaded; report it together with this message, as the tables "
                "that an atlas publishes are made to load",
            )

    def repository(
        self, client: HubClient, repo_id: str, sha: str, manifest: Manifest, stage: Stage
    ) -> None:
        """Check the tables at the commit ``sha`` through the Hub, if there are any.

        Raises:
            HubPermanentError: a table is not what was published.
            HubUnavailableError: a table could not be loaded, or the check did not end.
        """
        if not viewer.tables(manifest):
            return
        report = _report(repo_id, sha, client)
        where = f"{repo_id}@{sha[:12]}"
        failures, faults = failures_of(report), faults_of(report, manifest, stage)
        found = client.redact("; ".join((failures or faults)[:_SHOWN]))
        if failures:
            # the same files did load before they were uploaded
            raise HubUnavailableError(
                "a published table could not be loaded to be checked",
                where=where,
                expected="every configuration to load with datasets.load_dataset",
                found=found,
                remedy=f"publish again: nothing is committed twice; {_NOT_TAGGED}",
            )
        if faults:
            raise HubPermanentError(
                "a published table does not load as it is with datasets.load_dataset",
                where=where,
                expected=_IN_ORDER,
                found=found,
                remedy="correct what is in its way (a configuration file of another tool in the "
                f"repository?) and publish again; {_NOT_TAGGED}",
            )


def failures_of(report: Mapping[str, Any]) -> list[str]:
    """Return the tables that could not be loaded at all, and the reasons."""
    return [
        f"{config}, {how}: {' '.join(str(found['error']).split())[:300]}"
        for config, table in report["tables"].items()
        for how, found in table.items()
        if "error" in found
    ]


def faults_of(report: Mapping[str, Any], manifest: Manifest, stage: Stage) -> list[str]:
    """Return the differences between a manifest and the report of `load_all` on its tables.

    The digests of rows are compared for staged tables alone, as others are not known.
    """
    shown, staged = viewer.tables(manifest), viewer.tables(stage.manifest)
    loaded, default = report["tables"], viewer.default_of(manifest)
    faults = []
    if loaded.keys() != shown.keys():
        faults.append(f"configurations {list(loaded)}, not {list(shown)}")
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
        for how, found in loaded.get(config, {}).items():
            faults += [
                f"{config}, {how}: {name} {found.get(name)}, not {value}"
                for name, value in expected.items()
                if found.get(name) != value
            ]
    return faults


def _report(
    source: str, revision: str | None = None, client: HubClient | None = None
) -> dict[str, Any]:
    """Run the check in a process of its own, offline without a ``client``; return its report."""
    with atomic.temporary_folder("atlas-verify-") as home:
        report = home / "report.json"
        try:
            finished = subprocess.run(
                [sys.executable, "-m", "atlas_assets.hub.verify"],
                input=json.dumps([str(report), source, revision]),
                env=_environment(home, client),
                cwd=home,
                capture_output=True,
                text=True,
                timeout=_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            said = f"no end after {_LIMIT:.0f} seconds"
        else:
            if finished.returncode == 0 and report.exists():
                found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
                return found
            said = " ".join(finished.stderr.split())[-300:]
    raise HubUnavailableError(
        "the check that every table loads did not come to an end",
        where=source,
        expected="a report on every table",
        found=(client.redact(said) if client else said) or "no report",
        remedy="publish again; if it stays so, run `python -m pip check` for the package datasets",
    )


def _environment(home: Path, client: HubClient | None) -> dict[str, str]:
    """Return the environment of the check: own caches, and with a client its address and token."""
    kept = {key: value for key, value in os.environ.items() if not _NOT_PASSED_ON.fullmatch(key)}
    own: dict[str, str | None] = {
        "PYTHONWARNINGS": "ignore",
        "HF_HOME": str(home / "hub"),
        "HF_DATASETS_CACHE": str(home / "datasets"),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": None if client else "1",
        "HF_ENDPOINT": client.endpoint if client else None,
        "HF_TOKEN": client.user_token() if client else None,
    }
    return kept | {name: value for name, value in own.items() if value}


def load_all(report: str, source: str, revision: str | None) -> None:
    """Write what ``datasets`` makes of a repository or folder to the JSON file ``report``.

    ``{"default": name, "tables": {name: {"full": …, "streaming": …}}}``, each of the two with
    splits, rows, columns and digest, or with an error. It ends the process.
    """
    import datasets

    # no request without a timeout
    install()
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()
    names = datasets.get_dataset_config_names(source, revision=revision)
    ways = {"full": False, "streaming": True}
    tables = {
        name: {how: _loaded(source, name, revision, streaming) for how, streaming in ways.items()}
        for name in names
    }
    default = datasets.get_dataset_default_config_name(source, revision=revision)
    found = json.dumps({"default": default, "tables": tables})
    Path(report).write_text(found, encoding="utf-8")
    # Past Python's own end of the process: a thread of Arrow's that still reads ahead in a stream
    # (of a damaged table, say) would abort it there, report or no report.
    os._exit(0)


def _loaded(source: str, name: str, revision: str | None, streaming: bool) -> dict[str, Any]:
    import datasets

    rows = viewer.RowsDigest()
    try:
        found = datasets.load_dataset(source, name, revision=revision, streaming=streaming)
        table = found[viewer.SPLIT]
        columns = {column: _dtype(feature) for column, feature in table.features.items()}
        for batch in table.iter(batch_size=_BATCH):
            rows.add(zip(*(batch[column] for column in columns), strict=True))
    except Exception as error:  # the report says whatever went wrong, in any library
        return {"error": f"{type(error).__name__}: {error}"}
    splits = sorted(map(str, found))
    return {"splits": splits, "rows": rows.count, "columns": columns, "digest": rows.hex}


def _dtype(feature: Any) -> str:
    """``Value("int64")`` → ``int64``; ``List(Value("int32"))`` → ``list<int32>``."""
    inner = getattr(feature, "feature", None)
    return f"list<{_dtype(inner)}>" if inner else str(getattr(feature, "dtype", feature))


if __name__ == "__main__":
    load_all(*json.load(sys.stdin))
