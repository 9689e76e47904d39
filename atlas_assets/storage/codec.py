"""What every file format offers; the store and the IO managers know formats only through this."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from upath import UPath

from atlas_assets.errors import (
    ArtifactError,
    DamagedArtifactError,
    ForeignArtifactError,
)
from atlas_assets.files import atomic
from atlas_assets.files.locations import Fetched, Source, content, is_there, label, local_path
from atlas_assets.files.steady import read_steadily
from atlas_assets.stages.artifact import Kind
from atlas_assets.stages.setting import Partition, Setting
from atlas_assets.storage import sidecar
from atlas_assets.storage.provenance import Provenance
from atlas_assets.storage.trust import note_written, require_harmless

Value = TypeVar("Value")


class Codec(ABC, Generic[Value]):
    """A format: how a value of one kind is kept in a file.

    Attributes:
        kind: the kind of file, as the artifact's declaration names it.
        holds: the type of the values.
        parts: what can be read alone, without the rest of the file.
    """

    kind: ClassVar[Kind]
    holds: ClassVar[type]
    parts: ClassVar[tuple[str, ...]] = ()

    def check(self, value: Value, *, where: str) -> None:
        """Refuse (ArtifactError naming ``where``) a value that this format does not hold."""
        if not isinstance(value, self.holds):
            raise ArtifactError(
                "an asset returned something its file format does not hold",
                where=where,
                expected=f"{self.holds.__module__}.{self.holds.__qualname__}",
                found=f"{type(value).__module__}.{type(value).__qualname__}",
                remedy="return the declared type",
            )

    @abstractmethod
    def payload_digest(self, value: Value) -> str:
        """Return the SHA-256 (hex) of the content, whatever the file's encoding."""

    def part_digests(self, value: Value, part: str | None = None) -> Mapping[str, str]:  # noqa: ARG002
        """Return the SHA-256 (hex) of every part that can be read alone, by the part's name.

        The value is a whole one, or what reading ``part`` gives.
        """
        return {}

    @abstractmethod
    def describe(self, value: Value) -> dict[str, int | float | str]:
        """Return counts and sizes for the materialisation's metadata."""

    @abstractmethod
    def encode(self, value: Value, provenance: Provenance) -> bytes:
        """Return the file's bytes; equal arguments give equal bytes."""

    @abstractmethod
    def decode(self, source: Source, *, part: str | None = None) -> Value:
        """Return the value in a file, validated; with ``part``, that part of it only."""

    def provenance(self, source: Source) -> Provenance | None:
        """Return what a file says about its making; ``None`` where it says nothing.

        Raises:
            MissingArtifactError: there is no such file.
            ArtifactError: the file or the record in it is damaged.
        """

        def read() -> Provenance | None:
            with _discreet(source):
                taken = self._taken(source)
                require_harmless(taken, self.kind)
                return self.record(taken)

        return read_steadily(self._files(source), read, is_sure=lambda _: self._is_one(source))

    @abstractmethod
    def record(self, source: Source) -> Provenance | None:
        """Return the provenance record of a file that can be read without harm."""

    def setting_of(self, value: Value) -> Setting | None:
        """Return the (ε, C) that the format, or else the value itself, is about, if any."""
        found = getattr(self, "setting", None) or getattr(value, "setting", None)
        return found if isinstance(found, Setting) else None

    def has_part(self, part: str) -> bool:
        """Whether files of this format may have that part."""
        return part in self.parts

    def files(self, path: UPath | Path) -> tuple[UPath | Path, ...]:
        """Return the paths of all files that a value written at ``path`` is kept in."""
        return (path,)

    def is_whole(self, path: UPath | Path) -> bool:
        """Whether all files are there that a value written at ``path`` is kept in."""
        return all(map(is_there, self.files(path)))

    def replaced(self, path: UPath | Path) -> Provenance | None:
        """Return the record of what is there, of which a file may be missing.

        It is ``None`` where nothing is there, or nothing that has a record. Errors are those of
        `provenance`; of any file that cannot be read it is not known whose it is.
        """
        return self.provenance(path) if is_there(path) else None

    def watched(self, path: UPath | Path) -> tuple[UPath | Path, ...]:
        """Return the paths of all files on which it depends what a reader is given."""
        return self.files(path)

    def settle(self, path: UPath | Path) -> None:
        """Finish what a killed writer began, in a copy of the files."""

    def write(self, path: UPath | Path, value: Value, provenance: Provenance) -> int:
        """Put the value at ``path`` in one step; return the file's size in bytes.

        Raises:
            ArtifactError: the value is not sound; nothing is written.
            ArtifactWriteError: the disk refused; an earlier file is intact.
        """
        self.check(value, where=provenance.artifact)
        data = self.encode(value, provenance)
        self._put(path, data, provenance)
        return len(data)

    def _put(self, path: UPath | Path, data: bytes, provenance: Provenance) -> None:
        note_written(data, self.kind)
        atomic.write_bytes(path, data, what=provenance.artifact)

    def read(
        self,
        source: Source,
        *,
        part: str | None = None,
        setting: Partition | None = None,
        accept: Callable[[Provenance | None], None] = lambda _: None,
        quotes_links: bool = False,
    ) -> tuple[Value, Provenance | None]:
        """Return the value in a file, with its provenance.

        The content is checked against the digest in the provenance, a part against the part's own.
        Records of format version 1 have no digests of parts (`Provenance.parts_verified`).

        Args:
            source: a path, or the file's bytes.
            part: the part to read, or ``None`` for everything.
            setting: what the content must be about, where it carries a setting.
            accept: is shown the provenance before the content is read (a wrong model explains a
                wrong width better than the width does) and may refuse it.
            quotes_links: whether errors may quote what a symbolic link leads to.

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

        def once() -> tuple[Value, Provenance | None]:
            with nullcontext() if quotes_links else _discreet(source):
                return self._read(self._taken(source), part, setting, accept)

        # what fits the digest in a record is of one state of the file
        return read_steadily(
            self._files(source), once, is_sure=lambda found: bool(found[1]) and self._is_one(source)
        )

    def _is_one(self, source: Source) -> bool:  # noqa: ARG002
        """Whether what is examined and what is read are the same bytes, taken once."""
        return True

    def _taken(self, source: Source) -> Source:
        """The source with all its bytes, so that record and content are of one state of it."""
        return source if isinstance(source, bytes | Fetched) else Fetched(source, content(source))

    def _files(self, source: Source) -> tuple[UPath | Path, ...]:
        return () if isinstance(source, bytes | Fetched) else self.files(source)

    def _read(
        self,
        source: Source,
        part: str | None,
        setting: Partition | None,
        accept: Callable[[Provenance | None], None],
    ) -> tuple[Value, Provenance | None]:
        """As `read`, of a file that does not change."""
        require_harmless(source, self.kind)
        provenance = self.record(source)
        accept(provenance)
        value = self.decode(source, part=part)
        found = self.setting_of(value)
        if setting is not None and found is not None and found != setting:
            raise DamagedArtifactError(
                "the file is about another setting than its name says",
                where=label(source),
                expected=str(setting),
                found=str(found),
                remedy="materialise the partition again, or rename the file to what it holds",
            )
        if provenance is not None and (part is None or provenance.parts_verified):
            self._verify(value, part, provenance, label(source))
        return value, provenance

    def _verify(self, value: Value, part: str | None, provenance: Provenance, where: str) -> None:
        """Compares the digests of what was read with those in the record."""
        if part is None:
            found, recorded = {"": self.payload_digest(value)}, {"": provenance.payload_sha256}
        else:
            found, recorded = dict(self.part_digests(value, part)), provenance.parts
        for name, digest in found.items():
            if digest != recorded.get(name):
                wanted = f"content of SHA-256 {recorded[name]}" if name in recorded else None
                raise DamagedArtifactError(
                    "the file's content is not what was written",
                    where=f"{where}, {name}" if name else where,
                    expected=wanted or "a digest in its record",
                    found=digest,
                    remedy=f"materialise {provenance.artifact} again",
                )


class SidecarCodec(Codec[Value]):
    """A format without room for a provenance record, which is kept in a sidecar beside the file.

    File and sidecar fit each other whenever a writer is killed.
    """

    def _put(self, path: UPath | Path, data: bytes, provenance: Provenance) -> None:
        note_written(data, self.kind)
        sidecar.put(path, data, provenance, what=provenance.artifact)

    def watched(self, path: UPath | Path) -> tuple[UPath | Path, ...]:
        """Return the paths of the files and of their records."""
        files = self.files(path)
        return (*files, *(record for file in files for record in sidecar.records(file)))

    def record(self, source: Source) -> Provenance | None:
        """Return the record in the sidecar of a file; ``None`` for bytes, which have none."""
        if isinstance(source, bytes):
            return None
        path = source.path if isinstance(source, Fetched) else source
        return sidecar.read(path, content(source))


@contextmanager
def _discreet(source: Source) -> Iterator[None]:
    """Quote nothing of the file that a symbolic link leads to, which may be any file of the user's.

    Somebody else may have put the link there, and may read logs and reports.
    """
    try:
        yield
    except (DamagedArtifactError, ForeignArtifactError) as error:
        local = local_path(source)
        if local is None or not local.is_symlink():
            raise
        raise type(error)(
            error.what,
            where=label(source),
            expected=error.expected,
            found="a symbolic link to a file whose content is not quoted",
            remedy=error.remedy,
        ) from None
