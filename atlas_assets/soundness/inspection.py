"""The checks of files as they are on disk, read back through the store.

What is checked of each artifact, whoever made it, is its schema, and then what it declares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

from atlas_assets.errors import AtlasError
from atlas_assets.soundness.evidence import Recomputation
from atlas_assets.soundness.subject import cells_of, name_of
from atlas_assets.stages.artifact import Layout
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.check import (
    Check,
    Details,
    Inspected,
    MaskFile,
    NotApplicableError,
    NotComparedError,
)
from atlas_assets.stages.masks.masks import Masks, universal_from_table
from atlas_assets.stages.masks.packed import PackedMasks, pack
from atlas_assets.stages.setting import Partition, Setting
from atlas_assets.storage.codecs import codec_named, codec_of
from atlas_assets.storage.kept import Kept, states_of
from atlas_assets.storage.store import AtlasStore

Value = TypeVar("Value")


def _schema(of: Inspected) -> Details:
    # mask files are so large that they are kept packed while others are compared with them
    if ARTIFACTS[of.key].content in (Layout.OBJECT_MASKS, Layout.CHECKER_MASKS):
        return of.masks.description
    return dict(codec_named(of.key).describe(of.value))


SCHEMA = Check(
    "schema",
    "the file reads back whole: declared types and ranges, counts, keys once, no NaN or missing "
    "value, masks of one width, content as recorded",
    _schema,
)


def checks_of(key: str) -> tuple[Check, ...]:
    """Return everything that is checked of the artifact ``key``."""
    return (SCHEMA, *ARTIFACTS[key].checks)


@dataclass
class MaskReader:
    """A reader of whole mask files that reads each state of a file once.

    A file of pair masks takes some tenths of a second to read, and a sweep compares each with its
    neighbours and its tables: what is kept of one is an eighth of its size.
    """

    _kept: Kept[MaskFile] = field(default_factory=Kept)

    def read(self, store: AtlasStore, key: str, setting: Partition | None) -> MaskFile:
        """Return the masks in a file of masks; raise AtlasError where it cannot be read."""
        path = store.path(key, setting)
        states = states_of([path])
        kept = self._kept.of(str(path), states)
        if kept is not None:
            return kept.value
        found = _read_masks(store, key, setting)
        self._kept.put(str(path), states, found)
        return found

    def universal(self, store: AtlasStore, setting: Setting) -> Masks:
        """Return the universal masks of object masks, alone unless the rest is kept already."""
        path = store.path("object_masks", setting)
        kept = self._kept.of(str(path), states_of([path]))
        if kept is not None:
            return kept.value.universal
        return cast(Masks, store.read("object_masks", setting, part="universal").universal)


def _read_masks(store: AtlasStore, key: str, setting: Partition | None) -> MaskFile:
    artifact = ARTIFACTS[key]
    value = store.read(key, setting)
    stored = store.provenance(key, setting)
    (source,) = artifact.inputs
    units = value.pairs if key == "object_masks" else value.masks
    universal = value.universal if key == "object_masks" else value.masks
    return MaskFile(
        units=units if isinstance(units, PackedMasks) else pack(units),
        universal=universal,
        source=stored.inputs.get(source, "") if stored else "",
        description=dict(codec_of(artifact).describe(value)),
    )


@dataclass
class Inspection:
    """One file of one artifact, under inspection; an `atlas_assets.stages.check.Inspected`.

    Attributes:
        store: the atlas.
        reader: the reader of mask files, shared by the inspections of a run.
        key: the artifact.
        setting: the setting of the file, where there is one file per setting.
        together: the settings that are inspected in the same run.
    """

    store: AtlasStore
    reader: MaskReader
    key: str
    setting: Partition | None = None
    together: tuple[Partition, ...] = ()
    _value: Any = None

    @property
    def sweep(self) -> Sequence[Setting]:
        """The settings of the atlas's sweep."""
        return self.store.sweep

    @property
    def variations(self) -> int | None:
        """Prompts per pair, as the file's own record names them; ``None`` where it has none."""
        stored = self.store.provenance(self.key, self.setting)
        grid = stored.lineage.grid if stored and stored.lineage else None
        return grid.variations if grid else None

    def exists(self, setting: Setting) -> bool:
        """Whether the artifact's file of another partition is there."""
        return self.store.exists(self.key, setting)

    @property
    def value(self) -> Any:
        """The content of the file, read whole, once."""
        if self._value is None:
            self._value = self.store.read(self.key, self.setting)
        return self._value

    @property
    def masks(self) -> MaskFile:
        """The content of a mask file."""
        return self.reader.read(self.store, self.key, self.setting)

    def input(self, key: str, setting: Partition | None = None) -> Any:
        """The content of another artifact; NotComparedError where it cannot be had or changed."""
        return self._other(key, setting, lambda: self.store.read(key, setting))

    def mask_input(self, key: str, setting: Partition | None = None) -> Masks:
        """The masks of another artifact; of ``object_masks``, the universal ones."""

        def read() -> Masks:
            if key == "object_masks" and isinstance(setting, Setting):
                return self.reader.universal(self.store, setting)
            return self.reader.read(self.store, key, setting).universal

        return self._other(key, setting, read)

    def neighbour(self, setting: Setting) -> MaskFile:
        """The same artifact at another setting; NotComparedError if made from other activations."""
        name = name_of(self.key, setting)
        try:
            found = self.reader.read(self.store, self.key, setting)
        except AtlasError as error:
            raise _not_compared(name, error.what) from error
        if found.source != self.masks.source:
            raise _not_compared(name, "it was made from other activations")
        return found

    def recomputed(self) -> Any:
        """What `Artifact.compute` makes of the inputs on disk; NotComparedError as `input`."""
        recomputation = Recomputation(
            sweep=self.sweep,
            definitions=self.store.definitions,
            partition=self.setting,
            read=lambda key, at=None, _part=None: self.input(key, at),
            universal=lambda setting: universal_from_table(self.input("masks"), setting),
            any_universal=lambda: universal_from_table(self.input("masks"), self.sweep[0]),
            is_fresh=lambda key: self.store.stale_reason(key) is None,
        )
        return recomputation.compute(ARTIFACTS[self.key])

    def _other(self, key: str, setting: Partition | None, read: Callable[[], Value]) -> Value:
        name = name_of(key, setting)
        if not self.store.exists(key, setting):
            raise _not_compared(name, "it is not there")
        if key in ARTIFACTS[self.key].inputs:
            reason = self.store.stale_reason(self.key, self.setting)
            if reason is not None:
                raise _not_compared(self.key, reason)
        try:
            return read()
        except AtlasError as error:
            raise _not_compared(name, error.what) from error


def _not_compared(name: str, reason: str) -> NotComparedError:
    return NotComparedError(
        f"not compared: {name}: {reason}",
        where=name,
        expected="the artifacts that the other was made from",
        found=reason,
        remedy="materialise it, and then what depends on it",
    )


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        state: ``passed``, what is not applicable included; ``failed``; ``not compared``, where
            nothing was there to compare with.
        description: the finding in a sentence, or the text of an error.
        details: the numbers that were looked at, or the parts of the error.
    """

    state: Literal["passed", "failed", "not compared"]
    description: str
    details: Mapping[str, int | float | str]


def judge(check: Check, inspection: Inspection) -> Verdict:
    """Return the verdict of one check on one file; an AtlasError becomes part of it."""
    try:
        details = check.verify(inspection)
    except NotApplicableError as error:
        return Verdict("passed", error.what, {"statement": check.statement})
    except NotComparedError as error:
        return Verdict("not compared", error.what, {"statement": check.statement})
    except AtlasError as error:
        return Verdict("failed", str(error), {"statement": check.statement, **error.said})
    return Verdict("passed", check.statement, details)


def failed_checks(store: AtlasStore) -> list[str]:
    """Return the names of the checks that the atlas fails now, as ``masks 0.8|0.5 schema``."""
    reader = MaskReader()
    failed = []
    for key, setting in cells_of(store):
        inspection = Inspection(store, reader, key, setting)
        cell = (key, setting.partition_key) if setting else (key,)
        failed += [
            " ".join((*cell, check.name))
            for check in checks_of(key)
            if store.exists(key, setting) and judge(check, inspection).state == "failed"
        ]
    return failed
