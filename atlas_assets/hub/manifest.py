"""``atlas.json``: what a published repository holds, file by file, and where each came from.

Bytes depend on nothing but what is published: equal files give an equal manifest, and an equal
name of the version.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.hub_client.repository import is_place_inside
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.storage.provenance import Contradiction, Lineage, Provenance, contradictions

NAME = "atlas.json"
FORMAT = "atlas.manifest/1"
_DIGITS = 8
_FROZEN = "frozen"
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
_Partition = Annotated[str, Field(pattern=rf"^{_NUMBER}\|{_NUMBER}$")]
_Column = Annotated[str, Field(pattern=r"^[A-Za-z0-9_ .,:+=%()/-]+$")]
_Dtype = Annotated[str, Field(pattern=r"^[a-z0-9]+(<[a-z0-9]+>)?$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnRecord(_Record):
    """A column of a table that the viewer shows.

    Attributes:
        name: as published.
        dtype: as ``datasets`` calls it: ``string``, ``int64``, ``float64``, ``bool``, or
            ``list<int32>``.
    """

    name: _Column
    dtype: _Dtype


class TableRecord(_Record):
    """A file as (part of) a table that the viewer shows.

    Attributes:
        config: the configuration that it belongs to; an artifact with one file per setting has
            one configuration.
        rows: of the file.
        num_bytes: of the file's content in memory, as Arrow keeps it.
        columns: in order.
    """

    config: _Name
    rows: int
    num_bytes: int
    columns: tuple[ColumnRecord, ...]


class FileRecord(_Record):
    """A published file.

    Attributes:
        path: inside the repository.
        sha256: of its bytes, hex.
        size: bytes.
        blob_id: git's id (SHA-1) of its bytes, by which the Hub knows small files.
        asset: the artifact that it is, or is made from.
        partition: ``C|ε`` of a file per setting.
        provenance: what the artifact's own file says of its making; ``None`` for files of the
            paper's release and for those made for the viewer.
        made_from: the published file that a file for the viewer repeats.
        table: what the viewer shows of it.
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


class ClaimRecord(_Record):
    """A claim of the paper, as evaluated on published files (`checks.evaluate.ClaimResult`)."""

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
    """Everything a repository holds of an atlas.

    Attributes:
        format: name and version of this document's layout.
        facts: (name, value) about model, readout, grid and extent.
        files: sorted by path.
        claims: in the order of the paper.
    """

    format: str = FORMAT
    facts: tuple[tuple[str, str], ...] = ()
    files: tuple[FileRecord, ...] = ()
    claims: tuple[ClaimRecord, ...] = ()

    @property
    def version(self) -> str:
        """Name of this version of the atlas: ``atlas-<model>-<content>``, a valid tag."""
        content = hashlib.sha256(_dump(self.model_dump(mode="json")).encode()).hexdigest()
        return f"atlas-{_model_digits(self.files)}-{content[:_DIGITS]}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Of the files, sorted."""
        return tuple(file.path for file in self.files)

    def file(self, path: str) -> FileRecord | None:
        """The record of a path."""
        return next((file for file in self.files if file.path == path), None)

    def to_bytes(self) -> bytes:
        """The document; equal manifests give equal bytes."""
        document = {"version": self.version, **self.model_dump(mode="json")}
        return (_dump(document) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Manifest:
        """The manifest in a document.

        Raises:
            ArtifactError: it is none, or one of a newer format.
        """
        try:
            fields = json.loads(data)
            if not isinstance(fields, dict) or fields.get("format") != FORMAT:
                raise _unknown(where, fields)
            fields.pop("version", None)
            return cls.model_validate(fields)
        except (ValueError, ValidationError, RecursionError) as error:
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
    """A manifest, its files sorted by path."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return Manifest(files=ordered, facts=tuple(facts), claims=tuple(claims))


def merged(
    new: Manifest, earlier: Manifest | None, is_there: Callable[[FileRecord], bool]
) -> Manifest:
    """What the repository holds once ``new`` is published beside what is there of an earlier one.

    An earlier file that is not published now stays; so does what it showed of a claim that cannot
    be evaluated now, as long as the files that it was seen in are the same.

    Args:
        new: to be published.
        earlier: of the head; ``None`` where nothing was published.
        is_there: whether the head still holds a file as it is recorded; one that somebody removed
            or replaced since is ours no more.

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
    facts = {**dict(new.facts), **dict(earlier.facts), **dict(new.facts)}
    return manifest_of(files, tuple(facts.items()), _claims(new, earlier, files))


def _claims(new: Manifest, earlier: Manifest, files: Iterable[FileRecord]) -> list[ClaimRecord]:
    """The new claims; the earlier ones where only those are evaluated, on files still the same."""
    before = {claim.id: claim for claim in earlier.claims}
    same = {(file.path, file.sha256) for file in earlier.files} & {
        (file.path, file.sha256) for file in files
    }
    unchanged = {path for path, _ in same}

    def best(claim: ClaimRecord) -> ClaimRecord:
        known = before.get(claim.id)
        if claim.observed or known is None or not known.sources:
            return claim
        return known if unchanged.issuperset(known.sources) else claim

    return [best(claim) for claim in new.claims]


def _require_same_atlas(new: Manifest, kept: Sequence[FileRecord]) -> None:
    lineages = _lineages(new.files)
    foreign: list[str] = []
    found: list[Contradiction] = []
    for file in kept:
        for lineage in _lineages([file]):
            differences = [d for other in lineages for d in contradictions(lineage, other)]
            if differences:
                foreign.append(file.path)
                found = found or differences
    if not foreign:
        return
    listed = ", ".join(foreign[:_LISTED]) + (", …" if len(foreign) > _LISTED else "")
    raise ProvenanceError(
        "the repository holds files of another atlas, which this one does not replace",
        where=listed,
        expected="; ".join(f"{field} = {wanted}" for field, _, wanted in found),
        found="; ".join(f"{field} = {was}" for field, was, _ in found),
        remedy="materialise what those files are, so that they are replaced; or remove them from "
        "the head with `atlas publish --replace` (earlier commits and tags keep them); or publish "
        "to another repository",
    )


def _lineages(files: Iterable[FileRecord]) -> list[Lineage]:
    """The different lineages of files, in order."""
    found: dict[str, Lineage] = {}
    for file in files:
        if file.provenance is not None and file.provenance.lineage is not None:
            lineage = file.provenance.lineage
            found.setdefault(lineage.model_dump_json(), lineage)
    return list(found.values())


def _model_digits(files: Sequence[FileRecord]) -> str:
    """Digits that tell the model: of its weights' digest, else of its revision."""
    order = {key: number for number, key in enumerate(ARTIFACTS)}
    for file in sorted(files, key=lambda file: (order.get(file.asset, len(order)), file.path)):
        for lineage in _lineages([file]):
            model = lineage.model
            digest = model and (model.weights_sha256 or model.revision)
            if digest and not _HEX.fullmatch(digest):
                # a revision of another form may not be what a tag is named
                digest = hashlib.sha256(digest.encode()).hexdigest()
            if digest:
                return digest[:_DIGITS]
    return _FROZEN


def _dump(document: Any) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)


def _unknown(where: str, fields: object) -> ArtifactError:
    found = fields.get("format") if isinstance(fields, dict) else type(fields).__name__
    return ArtifactError(
        "the repository's manifest is not one that this version of atlas-assets knows",
        where=where,
        expected=f"format {FORMAT}",
        found=f"format {found!r}",
        remedy="upgrade atlas-assets; if the file is none of an atlas, rename it",
    )
