"""What the IO managers share: published file names, partitions, metadata.

Paths, validation, provenance and atomic writes are the store's; an IO manager only translates
between it and Dagster's contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

import dagster as dg

from atlas_assets.errors import ArtifactError, MissingArtifactError
from atlas_assets.orchestration.io_managers.metadata import content_metadata, file_metadata
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets.stages.artifact import Artifact, Kind
from atlas_assets.storage.codecs import artifact_named
from atlas_assets.storage.store import AtlasStore, Written


@dataclass(frozen=True)
class Deferred:
    """The value of one partition, made when it is written.

    Attributes:
        make: makes the value.
        tell: adds metadata to the partition's materialisation; an IO manager has no public way to.
        remark: gives what the record is to say besides, once the value is made.
    """

    make: Callable[[], Any]
    tell: Callable[[Mapping[str, Any]], None]
    remark: Callable[[], str] = str


class AtlasIOManager(dg.IOManager):
    """Keeps the artifacts of one atlas that have one kind of file under their published names.

    An output of several partitions (a single-run backfill) is a mapping from partition key to
    value, or to a `Deferred` that makes it when it is written; an input of several
    partitions is one as well, and so is one of a single partition whose type annotation is a
    mapping. Input metadata ``{"part": "universal"}`` reads only that part of
    each file; ``{"allow_missing_partitions": True}`` leaves out what is not there.
    """

    def __init__(self, store: AtlasStore, kind: Kind) -> None:
        self.store, self.kind = store, kind

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write one value, or one per partition of the run."""
        artifact = self._artifact(context)
        if not artifact.partitioned or not context.has_asset_partitions:
            # sums that lie in unfinished work are gone when they are written
            on_disk = isinstance(obj, StoredActivations)
            content = content_metadata(artifact, obj) if on_disk else {}
            written = self.store.write(artifact.key, obj)
            _warn_of_fetched(context, written)
            context.log.info(f"wrote {written.path} ({written.size_bytes:,} bytes)")
            content = content or content_metadata(artifact, obj)
            context.add_output_metadata({**content, **file_metadata(written)})
            return
        # Dagster gives them in no particular order
        keys = sorted(context.asset_partition_keys)
        for key, value in _by_partition(artifact.key, keys, obj).items():
            made = value.make() if isinstance(value, Deferred) else value
            remark = value.remark() if isinstance(value, Deferred) else ""
            partition = artifact.partition_named(key)
            written = self.store.write(artifact.key, made, partition, remark=remark)
            _warn_of_fetched(context, written)
            metadata = _metadata(artifact, made, written)
            if isinstance(value, Deferred):
                # each partition's materialisation gets the metadata of its own file
                value.tell(metadata)
            elif len(keys) == 1:
                context.add_output_metadata(metadata)
        # one line for all: an event takes Dagster longer to store than a small file to write
        context.log.info(f"wrote {artifact.key} at {', '.join(keys)}")

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the value of the only file, or {partition key: value} of several."""
        artifact, metadata = self._artifact(context), context.definition_metadata or {}
        part, skip = metadata.get("part"), bool(metadata.get("allow_missing_partitions"))
        if not context.has_asset_partitions:
            return self.store.recall(artifact.key, part=part)
        keys = sorted(context.asset_partition_keys)
        values = {}
        for key in keys:
            try:
                values[key] = self.store.recall(artifact.key, artifact.partition_named(key), part)
            except MissingArtifactError:
                if not skip:
                    raise
                context.log.warning(f"{artifact.key} has no partition {key}; it is left out")
        if len(keys) == 1 and not _wants_mapping(context):
            return values.get(keys[0])
        return values

    def _artifact(self, context: dg.InputContext | dg.OutputContext) -> Artifact:
        key = context.asset_key.to_user_string() if context.has_asset_key else context.name
        artifact = artifact_named(key)
        if artifact.kind != self.kind:
            raise ArtifactError(
                "an asset is joined to the IO manager of another format",
                where=key,
                expected=f"io_manager_key={artifact.kind}_io_manager",
                found=f"{self.kind}_io_manager",
                remedy="declare the asset with the IO manager of its format",
            )
        return artifact


def io_managers(store: AtlasStore) -> dict[str, AtlasIOManager]:
    """Return the IO manager of each kind of file, by the name of its resource."""
    return {f"{kind}_io_manager": AtlasIOManager(store, kind) for kind in get_args(Kind)}


def _by_partition(artifact: str, keys: list[str], value: Any) -> Mapping[str, Any]:
    """{partition key: value} in the order of ``keys``; a bare value belongs to the only key."""
    if not keys:
        raise ArtifactError(
            "the run covers no partition",
            where=artifact,
            expected="at least one partition",
            found="none: each dimension of the sweep is a range of its own",
            remedy="name the first partition of the range first: both its consistency and its "
            "epsilon come before those of the last",
        )
    if len(keys) == 1 and not isinstance(value, Mapping):
        return {keys[0]: value}
    given = set(value) if isinstance(value, Mapping) else set()
    if given != set(keys):
        raise ArtifactError(
            "a run over several partitions must return one value for each",
            where=artifact,
            expected=f"a mapping with the keys {', '.join(keys)}",
            found=f"keys {', '.join(sorted(map(str, given)))}" if given else type(value).__name__,
            remedy="return {partition key: value} for all of context.partition_keys",
        )
    return {key: value[key] for key in keys}


def _warn_of_fetched(context: dg.OutputContext, written: Written) -> None:
    if written.replaced is not None:
        context.log.warning(
            f"{written.path.name} has taken the place of the file that was fetched from "
            f"{written.replaced}; to have both, fetch it again under another ATLAS_NAME"
        )


def _metadata(artifact: Artifact, value: Any, written: Written) -> dict[str, Any]:
    # in the order that the UI shows: a figure before the long record of its making
    return {**content_metadata(artifact, value), **file_metadata(written)}


def _wants_mapping(context: dg.InputContext) -> bool:
    """Whether the asset annotates the input as a mapping."""
    annotation = context.dagster_type.typing_type
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, Mapping)
