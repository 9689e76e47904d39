"""Fetching what somebody asks for and the atlas does not have."""

from __future__ import annotations

import logging

from upath import UPath

from atlas_assets.hub.fetch import fetch
from atlas_assets.hub.source import SAME_REPOSITORY, open_source
from atlas_assets.hub_client.client import HubClient, default_client
from atlas_assets.hub_client.repository import is_full_sha
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.setting import Setting
from atlas_assets.storage import source_record
from atlas_assets.storage.folder import file_names
from atlas_assets.storage.store import AtlasStore

_log = logging.getLogger(__name__)


def fetch_missing(
    settings: AtlasSettings,
    store: AtlasStore,
    key: str,
    setting: Setting | None = None,
    client: HubClient | None = None,
) -> None:
    """Fetches an artifact from the source in force, if it is not there and the source has it.

    The commit is the one that the atlas's other files were fetched at, so that they belong
    together; ``atlas fetch`` moves all of them to a newer one.

    Args:
        settings: name the source; without one, nothing happens.
        store: the atlas in force.
        key: which artifact.
        setting: which partition, where there is one file per setting.
        client: the Hub; by default one that gives up within seconds.

    Raises:
        HubError: the Hub refuses, or does not answer, and nothing was downloaded before.
        ArtifactError: the published file is not sound.
        ProvenanceError: it contradicts the settings in force, or would mix with a computed atlas.
    """
    if settings.hub_source is None or store.exists(key, setting):
        return
    client = client or default_client().interactive()
    revision = settings.hub_source_revision
    if not is_full_sha(revision):
        revision = _fetched_at(UPath(store.root), settings.hub_source) or revision
    source = open_source(client, settings.hub_source, revision)
    wanted = [f for f in source.published if (f.artifact.key, f.setting) == (key, setting)]
    if not wanted:
        _log.warning("%s has no %s", source, store.path(key, setting).name)
    for outcome in fetch(client, source, store, wanted):
        if outcome.error is not None:
            raise outcome.error


def _fetched_at(root: UPath, repo_id: str) -> str | None:
    """The commit that the files here were fetched at, if it is one and the same."""
    names = SAME_REPOSITORY if repo_id in SAME_REPOSITORY else (repo_id,)
    records = [source_record.noted(root / name) for name in file_names(root)]
    shas = {record.revision for record in records if record and record.repository in names}
    return shas.pop() if len(shas) == 1 else None
