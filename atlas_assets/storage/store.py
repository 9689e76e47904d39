"""The files of one atlas: where they are, what was read to make them, whether they are fresh."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from upath import UPath

from atlas_assets.errors import ArtifactError, DamagedArtifactError, MissingArtifactError
from atlas_assets.files.locations import file_digest, local_path
from atlas_assets.files.scratch import clear
from atlas_assets.files.steady import require_not_written_to
from atlas_assets.stages.activations.stored import AnyActivations
from atlas_assets.stages.artifact import Artifact, Parameters
from atlas_assets.stages.masks.masks import ObjectMasks
from atlas_assets.stages.setting import (
    PUBLISHED_CONSISTENCIES,
    PUBLISHED_EPSILONS,
    SWEEP,
    Definition,
    Partition,
    Setting,
    grid,
)
from atlas_assets.storage import provenance as records
from atlas_assets.storage import source_record
from atlas_assets.storage.codecs import artifact_named, codec_named
from atlas_assets.storage.kept import Kept, States, is_small, read_only, readers_own, states_of
from atlas_assets.storage.libraries import library_versions
from atlas_assets.storage.provenance import Lineage, Origin, Provenance
from atlas_assets.storage.trust import cache_folder

#: stands for the digest of a content that is not known yet
_NO_CONTENT = "0" * 64
#: marks the digest of a file that has no provenance, and so no digest of its content
_FILE = "file:"
#: stands for the part of a file that is its record
_RECORD = "/record"
#: an artifact, its partition, and a part of it
_Name = tuple[str, Partition | None, str | None]


@dataclass(frozen=True)
class Written:
    """What a write left on disk: a file, its size, and the record as it is stored in it.

    Where it took the place of a file that was fetched, ``replaced`` says where that is from.
    """

    path: UPath
    size_bytes: int
    provenance: Provenance
    replaced: source_record.SourceRecord | None = None


@dataclass(frozen=True)
class AtlasStore:
    """Reads and writes the artifacts of one atlas.

    Attributes:
        root: the atlas's folder, on any fsspec filesystem.
        expected: gives what the settings in force say every file must be about; called only when
            it is needed.
        sweep: the settings whose files together are the input of unpartitioned artifacts.
        parameters: the values of the settings that are part of an artifact's version.
        definitions: the definitions of circuits, whose files together are such an input likewise.
        work_dir: the folder on this machine for unfinished work; None: ``.work`` in the atlas's
            own folder or, where that is remote, the user's cache folder.
    """

    root: UPath
    expected: Callable[[], Lineage]
    sweep: Sequence[Setting] = grid(PUBLISHED_EPSILONS, PUBLISHED_CONSISTENCIES)
    parameters: Parameters = field(default_factory=dict)
    definitions: Sequence[Definition] = ()
    work_dir: Path | None = None
    _kept: Kept[Any] = field(default_factory=Kept, init=False, repr=False, compare=False)
    _paths: dict[str, UPath] = field(default_factory=dict, init=False, repr=False, compare=False)

    def path(self, key: str, setting: Partition | None = None) -> UPath:
        """Return the path of the artifact's file, there or not."""
        name = artifact_named(key).file_name(setting)
        if (path := self._paths.get(name)) is None:  # slow to make; commands ask for thousands
            path = self._paths[name] = UPath(self.root) / name
        return path

    def partitions(self, key: str) -> Sequence[Partition | None]:
        """Return the partitions that an artifact has or should have; ``None`` for its only file."""
        space = artifact_named(key).partitions
        if space is None:
            return (None,)
        return self.sweep if space is SWEEP else self.definitions

    def exists(self, key: str, setting: Partition | None = None) -> bool:
        """Whether the file is there (all of them, where there are several)."""
        return codec_named(key).is_whole(self.path(key, setting))

    def write(
        self,
        key: str,
        value: Any,
        setting: Partition | None = None,
        *,
        inputs: Mapping[str, str] | None = None,
        remark: str = "",
    ) -> Written:
        """Check a value and put it in its place, with its provenance, in one step.

        Args:
            key, setting: which artifact, and which partition where it has several.
            value: what the artifact's format holds.
            inputs: artifact → digest of what was read; ``None`` = of what is on disk now, which
                must be there (MissingArtifactError).
            remark: what else the record is to say; activations have their own.

        Raises:
            ArtifactError: the value is not sound, or is about another setting.
            ProvenanceError: inputs contradict each other, or the file there is another atlas's.
            ArtifactWriteError: the disk refused; an earlier file is intact.
            UnreadableArtifactError, BusyArtifactError, ForeignArtifactError: the file there cannot
                be read and is not proven damaged, so it is not replaced.
        """
        artifact, codec, path = artifact_named(key), codec_named(key), self.path(key, setting)
        codec.check(value, where=_name(key, setting))
        about = codec.setting_of(value)
        if setting is not None and about not in (None, setting):
            raise ArtifactError(
                "the value is about another setting than its partition",
                where=_name(key, setting),
                expected=str(setting),
                found=str(about),
                remedy="return for each partition key the value of that setting",
            )
        earlier = None
        with contextlib.suppress(DamagedArtifactError):
            whole = artifact.kind == "hdf5" and self.exists(key, setting)
            earlier = self._stored(key, setting) if whole else codec.replaced(path)
        require_not_written_to(codec.files(path))
        records.require_same_atlas(earlier, self.expected(), artifact=key, path=path)
        record = self._record(artifact, setting, about, inputs)
        digest, parts = codec.payload_digest(value), dict(codec.part_digests(value))
        remark = value.remark if isinstance(value, AnyActivations) else remark
        record = record.model_copy(
            update={"payload_sha256": digest, "parts": parts, "remark": remark}
        )
        fetched = source_record.source_of(*codec.files(path))
        size = codec.write(path, value, record)
        clear(self.scratch(key))
        if isinstance(value, ObjectMasks):
            self._keep_universal(key, setting, value, record)
        return Written(path, size, record, fetched)

    def read(self, key: str, setting: Partition | None = None, part: str | None = None) -> Any:
        """Return the value of an artifact, or a part of it (`Codec.parts`), validated.

        Raises:
            MissingArtifactError: there is no such file; the remedy is the command that makes it.
            ArtifactError: it is damaged, does not follow its schema, or is about another setting.
            ProvenanceError: it was made under settings that contradict the ones in force, or is
                another artifact's, or of another partition, than its name says.
        """
        self._require_present(key, setting)
        path, about = self.path(key, setting), setting or artifact_named(key).setting

        def accept(stored: Provenance | None) -> None:
            if stored is not None:
                records.require(stored, self.expected(), artifact=key, path=path, partition=about)

        value, _ = codec_named(key).read(path, part=part, setting=setting, accept=accept)
        return value

    def recall(self, key: str, setting: Partition | None = None, part: str | None = None) -> Any:
        """Return the value of an artifact, which is not read again while its files do not change.

        Its arrays are read-only, since several may hold it; large ones are not kept. Checks of
        what is on the disk use `read`, since a change through a memory map shows in a file's times
        only some time after it, and one within milliseconds after a write of this process never.
        """
        name = key, setting, part
        before = self._states(key, setting)
        kept = self._kept.of(name, before)
        if kept is not None:
            return readers_own(kept.value)
        value = self.read(key, setting, part)
        if is_small(value):
            self._keep(name, before, read_only(value))
        return readers_own(value)

    def provenance(self, key: str, setting: Partition | None = None) -> Provenance | None:
        """Return the provenance of the file on disk; ``None`` for a file that has none.

        A file that is not there, is damaged, or is another one than its name says, is an error, as
        for `read`.
        """
        stored, about = self._stored(key, setting), setting or artifact_named(key).setting
        if stored is not None:
            path = self.path(key, setting)
            records.require_own(stored, artifact=key, path=path, partition=about)
        return stored

    def _stored(self, key: str, setting: Partition | None) -> Provenance | None:
        """As `provenance`, whatever artifact and partition the record is about."""
        name, path = (key, setting, _RECORD), self.path(key, setting)
        before = self._states(key, setting)
        kept = self._kept.of(name, before)
        if kept is not None:
            return kept.value  # type: ignore[no-any-return]
        self._require_present(key, setting)
        stored = codec_named(key).provenance(path)
        self._keep(name, before, stored)
        return stored

    def _states(self, key: str, setting: Partition | None) -> States:
        return states_of(codec_named(key).watched(self.path(key, setting)))

    def _keep(self, name: _Name, before: States, value: Any) -> None:
        """Keeps what the files of an artifact hold, if they have not changed since ``before``."""
        if before == self._states(*name[:2]):
            self._kept.put(name, before, value)

    def _keep_universal(
        self, key: str, setting: Partition | None, value: ObjectMasks, record: Provenance
    ) -> None:
        """Keeps the universal masks of what was just written, if that is what the disk holds."""
        before = self._states(key, setting)
        if self.provenance(key, setting) == record:
            small = deepcopy(replace(value, pairs=None))  # whose arrays are the caller's
            written = replace(before, settled=True)
            self._keep((key, setting, "universal"), written, read_only(small))

    def origin(self, key: str, setting: Partition | None = None) -> Origin:
        """Return where the content of the file on disk comes from; errors as for `provenance`.

        A file without a record of its making is one of the release exactly when it is as it was
        fetched from the paper's repository.
        """
        stored = self.provenance(key, setting)
        if stored is not None:
            return stored.origin
        files = codec_named(key).files(self.path(key, setting))
        source = source_record.source_of(*files)
        return source.origin if source else "unknown"

    def stale_reason(self, key: str, setting: Partition | None = None) -> str | None:
        """Say why the artifact should be materialised again; ``None`` when it need not.

        Inputs that are no longer there say nothing about it, and a file without a record is fresh.
        A damaged file or input is an ArtifactError.
        """
        artifact = artifact_named(key)
        if not self.exists(key, setting):
            return "it is missing"
        stored = self.provenance(key, setting)
        if stored is None:
            return None
        if stored.lineage is not None:
            found = records.contradictions(stored.lineage, self.expected())
            changed = [f"{field} = {was}, now {wanted}" for field, was, wanted in found]
            if changed:
                return f"it was made with {'; '.join(changed)}"
        version = artifact.version(self.parameters, setting)
        # of a definition that is not in force, nothing in force tells what it depends on
        own = setting and setting.partition_key in artifact.departures_of
        if stored.code_version != version and not (own and setting not in self.partitions(key)):
            return f"its code version is {stored.code_version}, now {version}"
        at = setting or artifact.setting
        for name in artifact.inputs:
            recorded, there = stored.inputs.get(name), self._has_input(name, at)
            if recorded is not None and there and recorded != self._input_digest(name, at):
                return f"{name} has changed since"
            if recorded is None and there and artifact.inputs_may_be_absent:
                return f"{name} has been added since"
        return None

    def scratch(self, key: str) -> Path | None:
        """Return the local folder for unfinished work on an artifact; a write of it empties it.

        It is ``None`` only where the atlas is remote and the user has no cache folder.
        """
        local = local_path(UPath(self.root))
        if local is not None and self.work_dir is None:
            return local / ".work" / artifact_named(key).key
        cache = cache_folder()
        work = self.work_dir or (cache and cache / "work")
        of_this_atlas = hashlib.sha256(str(self.root).encode()).hexdigest()[:16]
        return work / of_this_atlas / artifact_named(key).key if work else None

    def prospect(self, key: str, setting: Partition | None = None) -> Provenance:
        """Return the record that the artifact would have if made now, less what is in it.

        Inputs that are not there or contradict each other are errors, as for `write`.
        """
        return self._record(artifact_named(key), setting)

    def _record(
        self,
        artifact: Artifact,
        setting: Partition | None,
        about: Setting | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> Provenance:
        at = setting or artifact.setting
        origin, lineage = self._descent(artifact, at)
        if inputs is None:
            inputs = {
                name: self._input_digest(name, at)
                for name in artifact.inputs
                if not artifact.inputs_may_be_absent or self._has_input(name, at)
            }
        return Provenance(
            artifact=artifact.key,
            code_version=artifact.version(self.parameters, setting),
            origin=origin,
            lineage=lineage,
            setting=about or (setting if isinstance(setting, Setting) else artifact.setting),
            definition=str(setting) if isinstance(setting, Definition) else None,
            inputs=dict(inputs),
            payload_sha256=_NO_CONTENT,
            versions=library_versions(artifact.kind, artifact.runs_model),
        )

    def _descent(
        self, artifact: Artifact, setting: Partition | None
    ) -> tuple[Origin, Lineage | None]:
        """Origin and lineage of something computed now from the inputs on disk.

        Who runs the model knows what the content is about; the others inherit it from their
        inputs, and do not know where an input does not.
        """
        there = [
            (name, each)
            for name in artifact.inputs
            for each in self._settings_of(name, setting)
            if self.exists(name, each)
        ]
        stored = [self.provenance(*cell) for cell in there]
        origins = {self.origin(*cell) for cell in there}
        origin: Origin = "atlas"
        if origins & {"release", "unknown"}:
            origin = "unknown" if "unknown" in origins else "release"
        if artifact.runs_model or not stored:
            return origin, self.expected()
        lineages = [record.lineage for record in stored if record and record.lineage]
        if len(lineages) < len(stored):
            return origin, None
        return origin, records.combine(lineages, artifact=artifact.key)

    def _settings_of(self, key: str, setting: Partition | None) -> Sequence[Partition | None]:
        """The partitions of an input that an artifact at ``setting`` reads."""
        space = artifact_named(key).partitions
        has_it = space and isinstance(setting, Setting if space is SWEEP else Definition)
        return (setting,) if has_it else tuple(self.partitions(key))

    def partitions_read(
        self, key: str, source: str, partition: Partition | None
    ) -> Sequence[Partition | None]:
        """Return the partitions of ``source`` that a file of the artifact ``key`` is made from."""
        return self._settings_of(source, partition or artifact_named(key).setting)

    def _has_input(self, key: str, setting: Partition | None) -> bool:
        return all(self.exists(key, each) for each in self._settings_of(key, setting))

    def _input_digest(self, key: str, setting: Partition | None) -> str:
        """The digest of an input's content; of all its partitions where it has several."""
        settings = self._settings_of(key, setting)
        digests = {each: self._content_digest(key, each) for each in settings}
        if settings in ((None,), (setting,)):
            return digests[settings[0]]
        lines = sorted(f"{each.partition_key}={digests[each]}\n" for each in settings if each)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _content_digest(self, key: str, setting: Partition | None) -> str:
        """As recorded in the file; a file without a record stands for its content itself."""
        stored = self.provenance(key, setting)
        return stored.payload_sha256 if stored else _FILE + file_digest(self.path(key, setting))

    def _require_present(self, key: str, setting: Partition | None) -> None:
        if self.exists(key, setting):
            return
        partition = f" --partition '{setting.partition_key}'" if setting else ""
        raise MissingArtifactError(
            f"{_name(key, setting)} is not there",
            where=str(self.path(key, setting)),
            expected="the file of that artifact",
            found="no such file",
            remedy="make it with `dagster asset materialize -m atlas_assets.definitions "
            f"--select {key}{partition}` (the jobs sweep and atlas make what it needs as well), or "
            "point ATLAS_DATA_DIR and ATLAS_NAME at an atlas that has it",
        )


def _name(key: str, setting: Partition | None) -> str:
    return f"{key} at {setting}" if setting else key
