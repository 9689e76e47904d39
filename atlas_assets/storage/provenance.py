"""What an artifact was made from: kept in every file, compared with the settings on every read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from atlas_assets.errors import ForeignArtifactError, ProvenanceError, SettingsError, unsound
from atlas_assets.files.json_text import read_json, sealed, unsealed
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.stages.setting import Definition, Partition, Setting

#: version 2 added `Provenance.parts`, and the digest of the record itself
FORMAT_VERSION = 2
#: ``unknown``: of a file without a record, which nothing says the release has
Origin = Literal["atlas", "release", "unknown"]
Contradiction = tuple[str, object, object]

#: leaves whose ``None`` is a value (all of them, the published ones), not ignorance
_NONE_MEANS_ALL = ("mlp", "grid.ast_nodes", "grid.builtins", "grid.stimuli")


#: what the paper reads in each block, the output of its MLP; records do not name it
PAPER_SITE = "mlp_out"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def _is_no_own(name: str, value: object) -> bool:
    return name.startswith("stimuli") and value is None


class Grid(_Record):
    """How the prompt grid was cut: to which AST nodes and builtins (``None`` = all of them).

    Attributes:
        stimuli: the name of the file of own prompts; ``None``: the published inventory.
        stimuli_sha256: the digest of own prompts.
        variations: the number of prompts per pair.
        loss_threshold: the mean loss (nats) above which a pair was dropped.
    """

    ast_nodes: tuple[str, ...] | None = None
    builtins: tuple[str, ...] | None = None
    variations: int = 50
    loss_threshold: float | None = None
    stimuli: str | None = None
    stimuli_sha256: str | None = None

    @model_serializer(mode="wrap")
    def _without_own(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave own prompts out where there are none: records are as they were before these."""
        fields: dict[str, Any] = serialise(self)
        return {name: value for name, value in fields.items() if not _is_no_own(name, value)}

    @property
    def cut(self) -> str:
        """What is left of the published grid, in words; empty for all of it and own prompts."""
        parts = []
        if self.ast_nodes is not None:
            parts.append(f"{len(self.ast_nodes)} AST nodes")
        if self.builtins is not None:
            parts.append(f"{len(self.builtins)} builtins")
        if self.variations != Grid.model_fields["variations"].default:
            parts.append(f"{self.variations} prompts per pair")
        return ", ".join(parts)


class Lineage(_Record):
    """What a computation is about; ``None`` = not known.

    These are the model that was run, its readout (``last_token`` or ``published``), the precision
    of its weights, the grid of prompts, and the seeds of random generators, by purpose; whether
    prompts begin with a beginning-of-sequence token (``auto``, ``always``, ``never``; ``None`` for
    circuitgpt, which has none); the names of the modules that make up a block's MLP, ``None`` where
    they were found by name; and the site that is read in each block (`models.sites`).
    """

    model: ModelIdentity | None = None
    readout: str | None = None
    dtype: str | None = None
    grid: Grid | None = None
    seeds: dict[str, int] = {}
    bos: str | None = None
    mlp: tuple[str, ...] | None = None
    site: str = PAPER_SITE

    @property
    def read_at(self) -> str | None:
        """The readout, and the site where it is not the paper's."""
        return self.readout if self.site == PAPER_SITE else f"{self.readout} at {self.site}"

    @model_serializer(mode="wrap")
    def _without_unset(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not chosen: records are as they were before it could be."""
        fields: dict[str, Any] = serialise(self)
        unset = {name for name in ("bos", "mlp") if fields[name] is None}
        unset |= {"site"} if self.site == PAPER_SITE else set()
        return {name: value for name, value in fields.items() if name not in unset}


class Provenance(_Record):
    """What a file says about its making.

    Attributes:
        format_version: the version of the on-disk formats.
        artifact: the asset key.
        code_version: the version of the code that computed the content.
        origin: ``unknown`` when any input came from who knows where, without a record; else
            ``release`` when any came from the paper's release; else ``atlas``.
        lineage: the model, readout and grid; ``None`` when an input's is unknown.
        setting: the (ε, C) of the content, where it has one.
        definition: the definition of the circuits that are the content, as `Definition` spells its
            partition key; records of other files do not hold it, nor do older ones of circuits.
        inputs: asset key → digest of the input that was read.
        payload_sha256: the digest of the content, independent of the file's encoding.
        parts: part of the content that can be read alone → digest of that part; empty for formats
            that are read whole.
        versions: the libraries that took part, with their versions.
        remark: what else is to be known of the making, such as why prompts did not run on their
            prefix tree; where it is empty, records do not hold it.
    """

    format_version: int = FORMAT_VERSION
    artifact: str
    code_version: str
    origin: Origin
    lineage: Lineage | None = None
    setting: Setting | None = None
    definition: str | None = None
    inputs: dict[str, str] = {}
    payload_sha256: str
    parts: dict[str, str] = {}
    versions: dict[str, str] = {}
    remark: str = ""

    @model_serializer(mode="wrap")
    def _without_unsaid(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what there is not of most files: records are as they were before there was."""
        fields: dict[str, Any] = serialize(self)
        unsaid = {name for name in ("definition", "remark") if not fields[name]}
        return {name: value for name, value in fields.items() if name not in unsaid}

    @property
    def parts_verified(self) -> bool:
        """Whether a read of a part is checked; records of format version 1 have no digest of it."""
        return self.format_version > 1 or bool(self.parts)

    def to_json(self) -> str:
        """Return canonical JSON with a digest of itself; equal records give equal text."""
        fields = sealed(self.model_dump(mode="json"))
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str) -> Provenance:
        """Read the record in ``text``, which stands in the file or beside the file ``where``.

        Any other text, or an edited one, is damaged; a record of a newer format version is foreign.
        """
        try:
            fields = read_json(text)
            version = fields["format_version"] if isinstance(fields, dict) else None
            if isinstance(version, int) and version > FORMAT_VERSION:
                raise ForeignArtifactError(
                    "the file was written by a newer version of this package",
                    where=where,
                    expected=f"format version {FORMAT_VERSION} or older",
                    found=f"format version {version}",
                    remedy="upgrade atlas-assets, or choose another ATLAS_NAME",
                )
            return cls.model_validate(unsealed(fields, since=FORMAT_VERSION))
        except (ValueError, KeyError, SettingsError) as error:
            expected = f"a JSON record of format version {FORMAT_VERSION}"
            found = str(error).splitlines()[0]
            raise unsound("the provenance record is damaged", where, expected, found) from error


def contradictions(stored: Lineage, expected: Lineage) -> list[Contradiction]:
    """Return the fields on which two lineages disagree, as (field, stored value, expected value).

    ``None`` on either side means "not known" and contradicts nothing, except for the cuts of the
    grid, where it means "all", and for the revision of a model whose weights are known, where it
    means "not from the Hub".
    """
    left, right = _leaves(stored), _leaves(expected)
    return [
        (field, left[field], right[field])
        for field in sorted(left.keys() & right.keys())
        if left[field] != right[field]
    ]


def require(
    stored: Provenance | None,
    expected: Lineage,
    *,
    artifact: str,
    path: object,
    partition: Partition | None = None,
) -> None:
    """Refuse a file made under settings that contradict the ones in force.

    A file without a record (``stored`` is ``None``), as those of the paper's release, is accepted.

    Raises:
        ProvenanceError: names each contradicting field, both values and the remedy; or the file is
            another one, as `require_own` says it.
    """
    if stored is None:
        return
    require_own(stored, artifact=artifact, path=path, partition=partition)
    found = contradictions(stored.lineage, expected) if stored.lineage else []
    if found:
        remove = "remove it and " if is_of_another_atlas(found) else ""
        what = f"{artifact} was made under other settings than the ones in force"
        raise _contradicted(what, path, found, f"{remove}materialise {artifact} again")


def require_own(
    stored: Provenance, *, artifact: str, path: object, partition: Partition | None = None
) -> None:
    """Refuse a file that its record says is another artifact's, or of another partition.

    Args:
        stored: the record.
        artifact, path: which artifact's file that is to be, and where it lies.
        partition: which one's; or the only setting that the artifact speaks of. What a record does
            not name is not compared.

    Raises:
        ProvenanceError: it is another one; both are named.
    """
    found: list[Contradiction] = []
    if isinstance(partition, Setting) and stored.setting not in (None, partition):
        found.append(("setting", stored.setting, partition))
    if isinstance(partition, Definition) and stored.definition not in (None, str(partition)):
        found.append(("definition", stored.definition, partition))
    if stored.artifact != artifact:
        found.append(("artifact", stored.artifact, artifact))
    if found:
        raise ProvenanceError(
            "the file is another one than its name says",
            where=str(path),
            expected="; ".join(f"{field} = {wanted}" for field, _, wanted in found),
            found="; ".join(f"{field} = {was}" for field, was, _ in found),
            remedy=f"materialise {artifact} again, or rename the file to what it holds",
        )


def require_same_atlas(
    stored: Provenance | None, expected: Lineage, *, artifact: str, path: object
) -> None:
    """Refuse to replace a file of another atlas: two never mix in one folder.

    A newer state of the same model (other digests or revision) does replace an older one. The
    error is that of `require`.
    """
    found = contradictions(stored.lineage, expected) if stored and stored.lineage else []
    if is_of_another_atlas(found):
        what = f"{artifact} would replace a file of another atlas, made under other settings"
        raise _contradicted(what, path, found, f"remove it and materialise {artifact} again")


def is_of_another_atlas(found: Sequence[Contradiction]) -> bool:
    """Whether the settings differ, and not just the state of the model."""
    fields = {field for field, _, _ in found}
    if "model.weights_sha256" in fields:
        # the default threshold is the model's own
        fields.discard("grid.loss_threshold")
    return bool(fields & _CHOSEN)


def _contradicted(
    what: str, path: object, found: Sequence[Contradiction], again: str
) -> ProvenanceError:
    variables = sorted({_VARIABLES[field] for field, _, _ in found if field in _VARIABLES})
    put_back = f", or set {' and '.join(variables)} back" if variables else ""
    return ProvenanceError(
        what,
        where=str(path),
        expected="; ".join(f"{field} = {spelled(wanted)}" for field, _, wanted in found),
        found="; ".join(f"{field} = {spelled(was)}" for field, was, _ in found),
        remedy=f"{again}{put_back}, or choose another ATLAS_NAME",
    )


def combine(lineages: Sequence[Lineage], *, artifact: str) -> Lineage:
    """Return the lineage of something computed from inputs of these lineages.

    Two that contradict each other are a ProvenanceError.
    """
    for left, right in combinations(lineages, 2):
        for field, one, two in contradictions(left, right):
            raise ProvenanceError(
                f"the inputs of {artifact} were made under different settings",
                where=field,
                expected=spelled(one),
                found=spelled(two),
                remedy=f"materialise the inputs of {artifact} again under one setting",
            )
    return lineages[0]


_VARIABLES: Mapping[str, str] = {
    "model.model_id": "ATLAS_MODEL",
    "model.revision": "ATLAS_MODEL_REVISION",
    "model.weights_sha256": "ATLAS_MODEL",
    "model.tokenizer_sha256": "ATLAS_MODEL",
    "readout": "ATLAS_READOUT",
    "dtype": "ATLAS_DTYPE",
    "bos": "ATLAS_BOS",
    "mlp": "ATLAS_MLP",
    "site": "ATLAS_SITE",
    "grid.ast_nodes": "ATLAS_AST_NODES",
    "grid.builtins": "ATLAS_BUILTINS",
    "grid.variations": "ATLAS_VARIATIONS",
    "grid.loss_threshold": "ATLAS_LOSS_THRESHOLD",
    "grid.stimuli": "ATLAS_STIMULI",
    "grid.stimuli_sha256": "ATLAS_STIMULI",
}
#: what a user chooses, as opposed to what a model or a file happens to be at the time
_CHOSEN = _VARIABLES.keys() - {
    "model.revision",
    "model.weights_sha256",
    "model.tokenizer_sha256",
    "grid.stimuli_sha256",
}


def variable(field: str) -> str | None:
    """Return the variable that sets a contradicting field; ``None`` if it follows from others."""
    return _VARIABLES.get(field)


def spelled(value: object) -> str:
    """Spell a value of a lineage for a message; ``None`` is spelt ``none``."""
    return "none" if value is None else str(value)


def _leaves(lineage: Lineage) -> dict[str, Any]:
    """The known values of a lineage by dotted field name, such as ``grid.variations``."""
    leaves: dict[str, Any] = {
        name: getattr(lineage, name) for name in ("readout", "site", "dtype", "bos", "mlp")
    }
    for name, record in (("model", lineage.model), ("grid", lineage.grid)):
        if record is not None:
            leaves.update({f"{name}.{key}": value for key, value in record})
    leaves.update({f"seeds.{key}": value for key, value in lineage.seeds.items()})
    values = set(_NONE_MEANS_ALL)
    if lineage.model is not None and lineage.model.weights_sha256 is not None:
        values.add("model.revision")
    return {field: value for field, value in leaves.items() if value is not None or field in values}
