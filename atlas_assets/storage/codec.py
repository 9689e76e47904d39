"""What every file format offers; the store and the IO managers know formats only through this."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from upath import UPath

from atlas_assets.errors import ArtifactError, AtlasError
from atlas_assets.files import atomic
from atlas_assets.files.locations import Fetched, Source, content, fetched, label
from atlas_assets.stages.artifact import Kind
from atlas_assets.stages.setting import Setting
from atlas_assets.storage import sidecar
from atlas_assets.storage.provenance import Provenance

Value = TypeVar("Value")


class Codec(ABC, Generic[Value]):
    """A value of one kind as a file.

    Attributes:
        kind: of the file.
        parts: what can be read alone, without the rest of the file.
    """

    kind: ClassVar[Kind]
    parts: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def check(self, value: Value, *, where: str) -> None:
        """Refuses a value that this format does not hold (ArtifactError naming ``where``)."""

    @abstractmethod
    def payload_digest(self, value: Value) -> str:
        """SHA-256 of the content, whatever the file's encoding, hex."""

    def part_digests(self, value: Value, part: str | None = None) -> Mapping[str, str]:  # noqa: ARG002
        """SHA-256 (hex) of every part of ``value`` that can be read alone, by the part's name.

        Args:
            value: a whole value, or what reading ``part`` gives.
            part: which part was read; ``None`` = all of it.
        """
        return {}

    @abstractmethod
    def describe(self, value: Value) -> dict[str, int | float | str]:
        """Counts and sizes for the materialisation's metadata."""

    @abstractmethod
    def encode(self, value: Value, provenance: Provenance) -> bytes:
        """The file's bytes; equal arguments give equal bytes."""

    @abstractmethod
    def decode(self, source: Source, *, part: str | None = None) -> Value:
        """The value in a file, validated; with ``part``, that part of it only."""

    @abstractmethod
    def provenance(self, source: Source) -> Provenance | None:
        """What the file says about its making; ``None`` for a file of the release."""

    def setting_of(self, value: Value) -> Setting | None:
        """The (ε, C) that the value itself carries, where it does."""
        found = getattr(value, "setting", None)
        return found if isinstance(found, Setting) else None

    def has_part(self, part: str) -> bool:
        """Whether files of this format may have that part."""
        return part in self.parts

    def files(self, path: UPath | Path) -> tuple[UPath | Path, ...]:
        """The paths of all files that a value written at ``path`` lies in."""
        return (path,)

    def write(self, path: UPath | Path, value: Value, provenance: Provenance) -> int:
        """Puts the value at ``path`` in one step; returns the file's size in bytes.

        Raises:
            ArtifactError: the value is not sound; nothing is written.
            ArtifactWriteError: the disk refused; an earlier file is intact.
        """
        self.check(value, where=provenance.artifact)
        data = self.encode(value, provenance)
        atomic.write_bytes(path, data, what=provenance.artifact)
        return len(data)

    def read(
        self,
        source: Source,
        *,
        part: str | None = None,
        setting: Setting | None = None,
        accept: Callable[[Provenance | None], None] = lambda _: None,
    ) -> tuple[Value, Provenance | None]:
        """The value in a file, with its provenance.

        The content is checked against the digest in the provenance, a part against the part's own.
        Records of format version 1 have no digests of parts (`Provenance.parts_verified`).

        Args:
            source: path or bytes.
            part: one of `parts`, or ``None`` for everything.
            setting: what the content must be about, where it carries a setting.
            accept: is shown the provenance before the content is read (a wrong model explains a
                wrong width better than the width does) and may refuse it.

        Raises:
            MissingArtifactError: there is no such file.
            ArtifactError: it is damaged, does not follow its schema, or is about another setting.
        """
        if part is not None and not self.has_part(part):
            raise ArtifactError(
                "the file has no such part",
                where=label(source),
                expected=" or ".join(map(repr, self.parts)) or "no part: this format is read whole",
                found=repr(part),
                remedy="correct `part`",
            )
        source = fetched(source)
        provenance = self.provenance(source)
        accept(provenance)
        value = self.decode(source, part=part)
        found = self.setting_of(value)
        if setting is not None and found is not None and found != setting:
            raise ArtifactError(
                "the file is about another setting than its name says",
                where=label(source),
                expected=str(setting),
                found=str(found),
                remedy="materialise the partition again, or rename the file to what it holds",
            )
        if provenance is not None:
            self._verify(value, part, provenance, label(source))
        return value, provenance

    def _verify(self, value: Value, part: str | None, provenance: Provenance, where: str) -> None:
        """Compares the digests of what was read with those in the record."""
        if part is None:
            found = self.payload_digest(value)
            _require_digest(found, provenance.payload_sha256, where, provenance)
        elif provenance.parts_verified:
            for name, found in self.part_digests(value, part).items():
                recorded = provenance.parts.get(name)
                _require_digest(found, recorded, f"{where}, {name}", provenance)


class SidecarCodec(Codec[Value]):
    """A format without room for a provenance record, which lies in a sidecar beside the file."""

    def write(self, path: UPath | Path, value: Value, provenance: Provenance) -> int:
        """As `Codec.write`; file and sidecar fit each other whenever the writer is killed."""
        self.check(value, where=provenance.artifact)
        data = self.encode(value, provenance)
        sidecar.write_with(path, data, provenance)
        return len(data)

    def provenance(self, source: Source) -> Provenance | None:
        """The record in the sidecar of a file; ``None`` for bytes, which have none."""
        if isinstance(source, bytes):
            return None
        path = source.path if isinstance(source, Fetched) else source
        return sidecar.read(path, content(source))


def _require_digest(found: str, recorded: str | None, where: str, provenance: Provenance) -> None:
    """Refuses content whose digest is not the recorded one (ArtifactError naming ``where``)."""
    if found != recorded:
        raise ArtifactError(
            "the file's content is not what was written",
            where=where,
            expected=f"content of SHA-256 {recorded}" if recorded else "a digest in its record",
            found=found,
            remedy=f"materialise {provenance.artifact} again",
        )


@contextmanager
def within(where: str) -> Iterator[None]:
    """Adds to errors about content the file or asset ``where`` that the content belongs to."""
    try:
        yield
    except AtlasError as error:
        if isinstance(error, ArtifactError) and where in (error.where or ""):
            raise
        raise ArtifactError(
            error.what,
            where=f"{where}, {error.where}" if error.where else where,
            expected=error.expected,
            found=error.found,
            remedy=error.remedy,
        ) from error


def instance_of(value: Any, kind: type, *, where: str) -> None:
    """Refuses a value of another type (ArtifactError naming ``where``)."""
    if not isinstance(value, kind):
        raise ArtifactError(
            "an asset returned something its file format does not hold",
            where=where,
            expected=f"{kind.__module__}.{kind.__qualname__}",
            found=f"{type(value).__module__}.{type(value).__qualname__}",
            remedy="return the declared type",
        )
