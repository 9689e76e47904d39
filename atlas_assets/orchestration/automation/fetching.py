"""The job ``fetch``: published files become this atlas's, and materialisations of their assets."""

import contextlib
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from atlas_assets.errors import MissingArtifactError, SettingsError, expect
from atlas_assets.hub.fetch import Outcome, choose, fetch
from atlas_assets.hub.source import Source, open_source
from atlas_assets.hub_client.client import HubClient
from atlas_assets.orchestration.data_versions import (
    DATA_VERSION_TAG,
    data_version,
    data_version_of_cells,
)
from atlas_assets.orchestration.partitions import partition_key
from atlas_assets.settings import DEFAULT_SOURCE, AtlasSettings
from atlas_assets.storage.store import AtlasStore

_SHA256 = "source_sha256"


class FetchConfig(dg.Config):
    """Which files, and whether others may be replaced.

    Attributes:
        files: file names, paths in the repository, or asset keys; none: all.
        overwrite: whether a file of another content that was not fetched is replaced.
    """

    files: list[str] = Field(default_factory=list)
    overwrite: bool = False


def fetch_job() -> dg.JobDefinition:
    """Return the job ``fetch``, which brings published files from the source and runs no model."""

    @dg.op(
        out={},
        description="Downloads published files, verifies and validates each, puts it in its place "
        "and reports it as a materialisation of its asset. One that fails leaves the others.",
    )
    def fetch_files(
        context: dg.OpExecutionContext,
        config: FetchConfig,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
        hub: dg.ResourceParam[HubClient],
    ) -> Iterator[dg.AssetMaterialization]:
        source = open_source(hub, _source_of(settings), settings.hub_source_revision)
        context.log.info(f"{source.repo_id} at {source.sha}")
        for note in source.notes:
            context.log.warning(note)
        chosen = choose(source, config.files)
        failed = {}
        for outcome in fetch(hub, source, store, chosen, overwrite=config.overwrite):
            name = outcome.file.name
            context.log.info(f"{outcome.state}: {name}")
            if outcome.error is not None:
                context.log.error(str(outcome.error))
                failed[name] = outcome.error
            elif not _is_known(context.instance, outcome):
                # yielded, not logged: what is logged before a failure is lost
                yield _materialisation(store, source, outcome)
        if failed:
            told = "; ".join(f"{name}: {error.what}" for name, error in failed.items())
            raise dg.Failure(
                f"{len(failed)} of {len(chosen)} files could not be fetched; the others were. "
                f"{told}",
                metadata={name: str(error) for name, error in failed.items()},
                allow_retries=False,
            )

    @dg.job(
        name="fetch",
        description="Published files from ATLAS_HUB_SOURCE, verified and validated, as "
        "materialisations of their assets: what follows from them can be computed with no model. "
        'Some only: ops: {fetch_files: {config: {files: ["object_masks", "14_summary.csv"]}}}.',
    )
    def job() -> None:
        fetch_files()

    return job


def _source_of(settings: AtlasSettings) -> str:
    expect(
        settings.hub_source is not None or settings.name is not None,
        SettingsError,
        "published files would come to lie in the atlas of a model",
        where=f"{settings.data_dir}/{settings.atlas_name}",
        expected="an atlas for what is fetched",
        found="no ATLAS_HUB_SOURCE and no ATLAS_NAME",
        remedy=f"set ATLAS_HUB_SOURCE={DEFAULT_SOURCE} where Dagster runs: the atlas in force is "
        "then the fetched one, in a folder of its own",
    )
    return settings.hub_source or DEFAULT_SOURCE


def _materialisation(
    store: AtlasStore, source: Source, outcome: Outcome
) -> dg.AssetMaterialization:
    file, record, said = outcome.file, outcome.record, outcome.provenance
    assert record is not None
    metadata: dict[str, Any] = {
        "path": dg.MetadataValue.path(str(outcome.path)),
        "size": file.size,
        "source_repository": source.repo_id,
        "source_revision": record.revision,
        "source_path": record.path,
        _SHA256: record.sha256,
        "origin": said.origin if said else record.origin,
        **outcome.described,
    }
    # of a file without a record, its bytes are its version; any other has that of its making
    version = record.sha256
    if said is not None:
        metadata["provenance"] = dg.MetadataValue.json(said.model_dump(mode="json"))
        version = data_version(said)
    if said is not None and file.setting is not None:
        # of a file per setting, what it was made from counts, where that is here
        with contextlib.suppress(MissingArtifactError):
            version = data_version_of_cells(store, [(said, file.setting)])
    return dg.AssetMaterialization(
        asset_key=file.artifact.key,
        partition=partition_key(file.setting) if file.setting else None,
        description=f"fetched from {source}",
        metadata=metadata,
        tags={DATA_VERSION_TAG: version},
    )


def _is_known(instance: dg.DagsterInstance, outcome: Outcome) -> bool:
    """Return whether the asset's last materialisation is of this very file."""
    file = outcome.file
    partitions = [partition_key(file.setting)] if file.setting else None
    where = dg.AssetRecordsFilter(dg.AssetKey(file.artifact.key), asset_partitions=partitions)
    found = instance.fetch_materializations(where, limit=1).records
    last = found[0].asset_materialization if found else None
    said = last.metadata.get(_SHA256) if last else None
    return bool(said and outcome.record and said.value == outcome.record.sha256)
