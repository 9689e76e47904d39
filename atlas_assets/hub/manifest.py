"""``atlas.json``: what a published repository holds, file by file, and where each came from.

Bytes depend on nothing but what is published: equal files give an equal manifest, and an equal
name of the version.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from atlas_assets.errors import ArtifactError, ProvenanceError, expect
from atlas_assets.files.json_text import SEAL, read_json, sealed, unsealed
from atlas_assets.hub_client.repository import is_place_inside
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.storage.provenance import Contradiction, Lineage, Provenance, contradictions

NAME = "atlas.json"
FORMAT = "atlas.manifest/1"
_DIGITS = 8
_FROZEN, _UNKNOWN = "frozen", "unknown"
#: how many names a message lists
_LISTED = 6
#: names that stand in the card, in its code sample and in its front matter
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$"
_NUMBER = r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?"
_HEX = re.compile(r"[0-9a-f]+")


def _inside(path: str) -> str:
    if not is_place_inside(path):
        raise ValueError("the path leads out of the repository")
    return path


_Name = Annotated[str, Field(pattern=_NAME)]
_Path = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+/-]+$"), AfterValidator(_inside)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_BlobId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
_DEFINITION = rf"[a-z][a-z0-9_]*(@{_NUMBER},{_NUMBER})?"
_Partition = Annotated[str, Field(pattern=rf"^({_NUMBER}\|{_NUMBER}|{_DEFINITION})$")]
_Column = Annotated[str, Field(pattern=r"^[A-Za-z0-9_ .,:+=%()/-]+$")]
_Dtype = Annotated[str, Field(pattern=r"^[a-z0-9]+(<[a-z0-9]+>)?$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnRecord(_Record):
    """A column of a table that the viewer shows; ``dtype`` is its type's name in ``datasets``."""

    name: _Column
    dtype: _Dtype


class TableRecord(_Record):
    """A file as (part of) a table that the viewer shows.

    Attributes:
        config: the configuration that it belongs to; all files of an artifact have one.
        num_bytes: the size of the content in memory, as Arrow keeps it.
    """

    config: _Name
    rows: int
    num_bytes: int
    columns: tuple[ColumnRecord, ...]


class FileRecord(_Record):
    """A published file.

    Attributes:
        path: the file's path inside the repository.
        blob_id: git's id (SHA-1) of its bytes, by which the Hub knows small files.
        asset: the key of the artifact that it holds, or that it was made from.
        partition: ``C|ε`` of a file per setting, or the definition of one per definition.
        provenance: the record in the file of the artifact; ``None`` for files without a record,
            such as those of the paper's release, and for files made for the viewer.
        origin: ``unknown`` for a file without a record that is not as the release has it; else
            ``None``, and left out of the document.
        made_from: the published file that a file for the viewer repeats.
        table: the table that the viewer shows, for files that are one.
        layout: groups and datasets of an HDF5 file, a line each.
    """

    path: _Path
    sha256: _Sha256
    size: int
    blob_id: _BlobId
    asset: _Name
    partition: _Partition | None = None
    provenance: Provenance | None = None
    made_from: _Path | None = None
    table: TableRecord | None = None
    layout: tuple[str, ...] = ()
    origin: Literal["unknown"] | None = None

    @model_serializer(mode="wrap")
    def _without_absent_origin(self, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = told(self)
        return {key: value for key, value in document.items() if value or key != "origin"}

    @property
    def is_of_unknown_origin(self) -> bool:
        """Whether the origin of the file, or of one of its inputs, is unknown."""
        return (self.provenance.origin if self.provenance else self.origin) == "unknown"

    @property
    def lineage(self) -> Lineage | None:
        """The lineage in the provenance of the file, or None without one."""
        return self.provenance.lineage if self.provenance else None


class ClaimRecord(_Record):
    """A claim of the paper, as `soundness.evaluate` finds it on published files."""

    id: str
    section: str
    statement: str
    setting: str
    expected: str
    observed: str
    verdict: str
    model: str
    readout: str
    sources: tuple[str, ...] = ()


class Manifest(_Record):
    """A list of everything that a repository holds of an atlas.

    Attributes:
        facts: (name, value) about model, readout, grid and extent.
        files: one record per file, sorted by path.
        claims: one record per claim, in the order of the paper.
    """

    format: str = FORMAT
    facts: tuple[tuple[str, str], ...] = ()
    files: tuple[FileRecord, ...] = ()
    claims: tuple[ClaimRecord, ...] = ()

    @property
    def version(self) -> str:
        """The name of this version of the atlas: ``atlas-<model>-<content>``, a valid tag."""
        return f"atlas-{_model_digits(self.files)}-{_content_digits(self.model_dump(mode='json'))}"

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the files, sorted."""
        return tuple(file.path for file in self.files)

    def file(self, path: str) -> FileRecord | None:
        """Return the record of a path."""
        return next((file for file in self.files if file.path == path), None)

    def to_bytes(self) -> bytes:
        """Return the document; equal manifests give equal bytes."""
        document = sealed({"version": self.version, **self.model_dump(mode="json")})
        return (_dump(document) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Manifest:
        """Read the manifest in a document; ArtifactError if it is damaged or of another format."""
        try:
            fields = read_json(data)
            found = fields.get("format") if isinstance(fields, dict) else type(fields).__name__
            expect(
                found == FORMAT,
                ArtifactError,
                "the repository's manifest is not one that this version of atlas-assets knows",
                where=where,
                expected=f"format {FORMAT}",
                found=f"format {found!r}",
                remedy="upgrade atlas-assets; if the file does not belong to an atlas, rename it",
            )
            return cls.model_validate(_content(fields))
        except ValueError as error:
            raise ArtifactError(
                "the manifest is damaged",
                where=where,
                expected=f"a JSON document of format {FORMAT}",
                found=str(error).splitlines()[0],
                remedy="put back the one of an earlier commit; or remove it, and publish with "
                "--overwrite: then the repository counts as one that nothing was published to",
            ) from error


def manifest_of(
    files: Iterable[FileRecord],
    facts: Sequence[tuple[str, str]] = (),
    claims: Iterable[ClaimRecord] = (),
) -> Manifest:
    """Return a manifest, its files sorted by path."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return Manifest(files=ordered, facts=tuple(facts), claims=tuple(claims))


def merged(
    new: Manifest, earlier: Manifest | None, is_there: Callable[[FileRecord], bool]
) -> Manifest:
    """Return the manifest of the repository after ``new`` is published on an earlier manifest.

    An earlier file that is not published now stays. So does the result of a claim that cannot be
    evaluated now, as long as the files that it was evaluated on are the same.

    ``is_there`` says whether the head still holds a file as it was recorded: a file that somebody
    removed or replaced since is no longer listed.

    Raises:
        ProvenanceError: an earlier file is of another atlas: two never mix in one repository.
    """
    if earlier is None:
        return new
    ours = set(new.paths)
    kept = [file for file in earlier.files if file.path not in ours and is_there(file)]
    there = {file.path for file in kept}
    kept = [file for file in kept if file.made_from is None or file.made_from in there]
    if not kept:
        return new
    _require_same_atlas(new, kept)
    files = [*new.files, *kept]
    # a fact of both keeps its place among the new ones, and its new value
    facts = {**dict(new.facts), **dict(earlier.facts), **dict(new.facts)}
    return manifest_of(files, tuple(facts.items()), _claims(new, earlier, files))


def _claims(new: Manifest, earlier: Manifest, files: Iterable[FileRecord]) -> Iterator[ClaimRecord]:
    """Yield the new claims, or the earlier one where only that is evaluated on the same files."""
    before = {claim.id: claim for claim in earlier.claims}
    now = {file.path: file.sha256 for file in files}
    unchanged = {file.path for file in earlier.files if now.get(file.path) == file.sha256}
    for claim in new.claims:
        known = before.get(claim.id)
        is_kept = known and known.sources and unchanged.issuperset(known.sources)
        yield known if known and is_kept and not claim.observed else claim


def _require_same_atlas(new: Manifest, kept: Iterable[FileRecord]) -> None:
    ours = [file.lineage for file in new.files if file.lineage]
    foreign: dict[str, list[Contradiction]] = {}
    for file in kept:
        lineage = file.lineage
        if lineage and (found := [d for one in ours for d in contradictions(lineage, one)]):
            foreign[file.path] = list(dict.fromkeys(found))
    if not foreign:
        return
    found = next(iter(foreign.values()))
    raise ProvenanceError(
        "the repository holds files of another atlas, which this one does not replace",
        where=listed(foreign),
        expected="; ".join(f"{field} = {wanted}" for field, _, wanted in found),
        found="; ".join(f"{field} = {was}" for field, was, _ in found),
        remedy="materialise what those files are, so that they are replaced; or remove them from "
        "the head with `atlas publish --replace` (earlier commits and tags keep them); or publish "
        "to another repository",
    )


def listed(names: Collection[str]) -> str:
    """Return the first few names for a message, and whether there are more."""
    return ", ".join([*list(names)[:_LISTED], *(["…"] if len(names) > _LISTED else [])])


def _content(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a document less what was made of them; ValueError where that does not fit."""
    is_sealed = SEAL in fields
    fields = unsealed(fields, since=1) if is_sealed else dict(fields)
    version = fields.pop("version", None)
    # earlier manifests have no other digest of themselves than in the version's name
    if not is_sealed and not str(version).endswith(f"-{_content_digits(fields)}"):
        raise ValueError("it was edited after it was written: its version does not fit")
    return fields


def _content_digits(fields: dict[str, Any]) -> str:
    return hashlib.sha256(_dump(fields).encode()).hexdigest()[:_DIGITS]


def _model_digits(files: Iterable[FileRecord]) -> str:
    """Return digits that tell the model: of its weights' digest, else of its revision."""
    order = {key: number for number, key in enumerate(ARTIFACTS)}
    for file in sorted(files, key=lambda file: (order.get(file.asset, len(order)), file.path)):
        model = file.lineage.model if file.lineage else None
        digest = model and (model.weights_sha256 or model.revision)
        if digest and not _HEX.fullmatch(digest):
            # a revision of another form may not be what a tag is named
            digest = hashlib.sha256(digest.encode()).hexdigest()
        if digest:
            return digest[:_DIGITS]
    return _UNKNOWN if any(file.is_of_unknown_origin for file in files) else _FROZEN


def _dump(document: Any) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
