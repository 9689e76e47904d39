"""Fetching into an atlas of one's own, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from atlas_assets.hub.fetch import Outcome, choose, fetch
from atlas_assets.hub.source import open_source
from atlas_assets.hub_client.client import HubClient
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import REPO

SUMMARY = "14_summary.csv"
MASKS = f"13_object_masks_{REFERENCE.file_tag}.h5"


@dataclass(frozen=True)
class Get:
    """``get(names…)`` fetches into ``store``; {file name: outcome}."""

    hub: LocalHub
    store: AtlasStore

    def __call__(
        self, *names: str, client: HubClient | None = None, **options: Any
    ) -> dict[str, Outcome]:
        client = client or self.hub.client()
        source = open_source(client, REPO)
        outcomes = fetch(client, source, self.store, choose(source, names), **options)
        return {outcome.file.name: outcome for outcome in outcomes}


def states(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.state for name, outcome in outcomes.items()}


def failures(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: str(outcome.error) for name, outcome in outcomes.items() if outcome.error}


def files(folder: Path | UPath) -> list[str]:
    return sorted(path.name for path in Path(str(folder)).iterdir() if path.is_file())
