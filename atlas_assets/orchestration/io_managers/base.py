"""What the IO managers share: published file names, partitions, metadata.

Paths, validation, provenance and atomic writes are the store's; an IO manager only translates
between it and Dagster's contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

import dagster as dg
from upath import UPath

from atlas_assets.errors import ArtifactError, MissingArtifactError
from atlas_assets.orchestration.io_managers.metadata import content_metadata, file_metadata
from atlas_assets.stages.artifact import Artifact, Kind
from atlas_assets.storage.codecs import artifact_named
from atlas_assets.storage.store import AtlasStore, Written


@dataclass(frozen=True)
class Deferred:
    """The value of one partition, made when it is written.

    Attributes:
        make: makes the value.
        tell: adds metadata to the partition's materialisation; an IO manager has no public way to.
    """

    make: Callable[[], Any]
    tell: Callable[[Mapping[str, Any]], None]


class AtlasIOManager(dg.UPathIOManager):
    """Keeps the artifacts of one atlas under their published names.

    An output of several partitions (a single-run backfill) is a mapping from partition key to
    value, or to a `Deferred` that makes it when it is written; an input of several
    partitions is one as well, and so is one of a single partition whose type annotation is a
    mapping. Input metadata ``{"part": "universal"}`` reads only that part of
    each file; ``{"allow_missing_partitions": True}`` leaves out what is not there.

    Attributes:
        kind: of files that this IO manager handles.
        store: reads and writes them.
    """

    def __init__(self, store: AtlasStore, kind: Kind) -> None:
        super().__init__(base_path=UPath(store.root))
        self.store, self.kind = store, kind

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write one value, or one per partition of the run."""
        artifact = self._artifact(context)
        if not artifact.partitioned or not context.has_asset_partitions:
            written = self.store.write(artifact.key, obj)
            context.log.info(f"wrote {written.path} ({written.size_bytes:,} bytes)")
            context.add_output_metadata(self._metadata(context, obj, written))
            return
        # Dagster gives them in no particular order
        keys = sorted(context.asset_partition_keys)
        for key, value in _by_partition(artifact.key, keys, obj).items():
            made = value.make() if isinstance(value, Deferred) else value
            partition = artifact.partition_named(key)
            written = self.store.write(artifact.key, made, partition)
            metadata = self._metadata(context, made, written)
            if isinstance(value, Deferred):
                # each partition's materialisation gets the metadata of its own file
                value.tell(metadata)
            elif len(keys) == 1:
                context.add_output_metadata(metadata)
        # one line for all: an event takes Dagster longer to store than a small file to write
        context.log.info(f"wrote {artifact.key} at {', '.join(keys)}")

    def load_partitions(self, context: dg.InputContext) -> Any:
        """Return the value of the only partition, or {partition key: value} of several."""
        artifact = self._artifact(context)
        part = _part(context)
        keys = sorted(context.asset_partition_keys)
        skip = bool((context.definition_metadata or {}).get("allow_missing_partitions"))
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

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:
        """Write the value of an unpartitioned artifact; ``path`` follows from the artifact."""
        del path
        self.store.write(self._artifact(context).key, obj)

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:
        """Return the value of an unpartitioned artifact; ``path`` follows from the artifact."""
        del path
        return self.store.recall(self._artifact(context).key, part=_part(context))

    def get_asset_relative_path(self, context: dg.InputContext | dg.OutputContext) -> UPath:
        """Return the published file name of the artifact."""
        return UPath(self._artifact(context).filename)

    def get_path_for_partition(
        self,
        context: dg.InputContext | dg.OutputContext,
        path: UPath,
        partition: str,
    ) -> UPath:
        """Return the published file of a partition, whose key Dagster gives as ``0.8/0.5``."""
        del path
        key = partition.replace("/", "|")
        artifact = self._artifact(context)
        return self.store.path(artifact.key, artifact.partition_named(key))

    def get_metadata(self, context: dg.OutputContext, obj: Any) -> dict[str, Any]:
        """Return metadata of the value itself: counts, and the columns of a table."""
        return content_metadata(self._artifact(context), obj)

    def _metadata(self, context: dg.OutputContext, value: Any, written: Written) -> dict[str, Any]:
        # in the order that the UI shows: a figure before the long record of its making
        return {**self.get_metadata(context, value), **file_metadata(written)}

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
    """Return the IO manager of each kind of file, by the name of its resource.

    Args:
        store: reads and writes their files.
    """
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


def _part(context: dg.InputContext) -> str | None:
    part = (context.definition_metadata or {}).get("part")
    return None if part is None else str(part)


def _wants_mapping(context: dg.InputContext) -> bool:
    """Whether the asset annotates the input as a mapping."""
    annotation = context.dagster_type.typing_type
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, Mapping)
