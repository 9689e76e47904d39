"""What claims are computed from: the files of an atlas, or what those that are there amount to.

A table that is missing or out of date is computed from what it is made of, where that is there
(the release has no ``compositionality.csv``, but the masks it follows from). Nothing that is out
of date itself is ever used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar, cast

import polars as pl

from atlas_assets.errors import ArtifactError, AtlasError, MissingArtifactError
from atlas_assets.soundness.subject import Cell, name_of
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks import masks
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.report.claims import Claim, Observed
from atlas_assets.stages.setting import REFERENCE, STANDALONE, Definition, Partition, Setting
from atlas_assets.storage.store import AtlasStore

#: what is asked for: an artifact with its partition, or something told of it
Request = tuple[str | Partition | None, ...]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Recomputation:
    """What `Artifact.compute` is given where nothing is made, only compared or observed.

    It is the part of `atlas_assets.stages.making.Making` that is needed by artifacts which follow
    from their inputs alone.

    Attributes:
        sweep: the settings of the atlas.
        definitions: the definitions of circuits that it has.
        partition: the partition that is computed, where the artifact has one file for each.
        read: reads an input, given its key and, where they matter, partition and part.
        universal: gives the universal masks at a setting.
        any_universal: gives the universal masks at whatever setting there is.
        is_fresh: tells whether an artifact is there and up to date.
    """

    sweep: Sequence[Setting]
    definitions: Sequence[Definition]
    partition: Partition | None
    read: Callable[..., Any]
    universal: Callable[[Setting], Masks]
    any_universal: Callable[[], Masks]
    is_fresh: Callable[[str], bool] = lambda _: False

    def require_in_sweep(self, setting: Setting) -> None:
        """Accept any setting: what is on disk decides."""

    def warn(self, sentence: str) -> None:
        """Tell nobody: what is left out was told when the artifact was made."""

    def note(self, **values: Any) -> None:
        """Keep no numbers: a computation that only compares has no run to show them in."""

    def remark(self, text: str) -> None:
        """Put nothing into a record: there is none."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ArtifactError(
            f"the artifact cannot be computed again: it needs `Making.{name}`",
            expected="an artifact that follows from its inputs alone",
            remedy="materialise it",
        )

    def compute(self, artifact: Artifact) -> Any:
        """Return the value of an artifact; ArtifactError where it needs more than its inputs."""
        return artifact.compute(cast(Making, self))


@dataclass
class _Found:
    """A value with the files it came from, or why it could not be had."""

    value: Any = None
    error: AtlasError | None = None
    sources: frozenset[Cell] = frozenset()


@dataclass
class StoreEvidence:
    """The evidence that the atlas in ``store`` offers; everything is read once."""

    store: AtlasStore
    _found: dict[Request, _Found] = field(default_factory=dict)
    _using: set[Cell] = field(default_factory=set)
    _damage: list[ArtifactError] = field(default_factory=list)

    def observe(self, claim: Claim) -> tuple[Observed, frozenset[Cell]]:
        """What the atlas shows of a claim, and the files that it was seen in.

        Raises:
            AtlasError: the evidence is missing, out of date or damaged, or is not about what the
                claim speaks of.
        """
        self._using = set()
        observed = claim.observe(self)
        return observed, self.used

    @property
    def used(self) -> frozenset[Cell]:
        """The files that the last claim was looked for in, as far as they could be read."""
        return frozenset(self._using)

    def table(self, key: str, setting: Partition | None = None) -> pl.DataFrame:
        """The table of an artifact, read or computed."""
        return self._once((key, setting), lambda: self._table(key, setting))

    def universal(self, setting: Setting) -> Masks:
        """The universal masks at ``setting``: of the sweep's table, or of that setting's file."""
        return self._once(("universal", setting), lambda: self._universal(setting))

    def any_universal(self) -> Masks:
        """The universal masks at the reference setting, or at the first other one that is there."""
        for setting in (REFERENCE, *self.store.sweep, STANDALONE):
            if self._holder_of_universal(setting) is not None:
                return self.universal(setting)
        return self.universal(REFERENCE)

    def concepts(self) -> tuple[str, ...]:
        """All concepts that have a universal mask, sorted."""
        return self.any_universal().names

    def is_recorded(self, key: str) -> bool:
        """Whether a table is as this program wrote it, which its record tells."""
        record = self.store.provenance(key) if self.store.exists(key) else None
        return record is not None and record.lineage is not None

    def is_damage(self, error: AtlasError) -> bool:
        """Whether ``error``, raised by `observe`, comes from a file that cannot be read."""
        return any(found in (error, error.__cause__) for found in self._damage)

    def _once(self, request: Request, make: Callable[[], Value]) -> Value:
        """What ``make`` gives, made once; the files it used count as used by every claim."""
        found = self._found.get(request)
        if found is None:
            outer, self._using = self._using, set()
            try:
                found = _Found(value=make(), sources=frozenset(self._using))
            except AtlasError as error:
                found = _Found(error=error)
            finally:
                self._using = outer
            self._found[request] = found
        if found.error is not None:
            raise found.error
        self._using |= found.sources
        return cast(Value, found.value)

    def _table(self, key: str, setting: Partition | None) -> pl.DataFrame:
        reason = self._stale_reason(key, setting)
        if reason is None or not _follows_from_inputs(ARTIFACTS[key]):
            table: pl.DataFrame = self._read(key, setting)
            return table
        recomputation = Recomputation(
            sweep=self.store.sweep,
            definitions=self.store.definitions,
            partition=setting,
            read=lambda key, at=None, _part=None: self._input(key, at),
            universal=self.universal,
            any_universal=self.any_universal,
            is_fresh=lambda key: self._stale_reason(key, None) is None,
        )
        try:
            computed: pl.DataFrame = recomputation.compute(ARTIFACTS[key])
        except AtlasError as error:
            raise ArtifactError(
                f"{name_of(key, setting)} cannot be used: {reason}; "
                f"nor what it is computed from: {error.what}",
                where=error.where,
                expected=error.expected,
                found=error.found,
                remedy=f"materialise {key} again",
            ) from error
        return computed

    def _input(self, key: str, setting: Partition | None) -> Any:
        """A table, which may have to be computed itself, or masks."""
        if ARTIFACTS[key].schema is not None:
            return self.table(key, setting)
        return self._once((key, setting), lambda: self._read(key, setting))

    def _read(self, key: str, setting: Partition | None, part: str | None = None) -> Any:
        if self.store.exists(key, setting):
            reason, name = self._stale_reason(key, setting), name_of(key, setting)
            if reason is not None:
                raise ArtifactError(
                    f"{name} is out of date: {reason}",
                    where=name,
                    expected="a file that follows from those it is computed from",
                    found=reason,
                    remedy="materialise it again",
                )
        with self._noting_damage():
            value = self.store.read(key, setting, part)
        self._using.add((key, setting))
        return value

    def _stale_reason(self, key: str, setting: Partition | None) -> str | None:
        def reason() -> str | None:
            with self._noting_damage():
                return self.store.stale_reason(key, setting)

        return self._once(("stale", key, setting), reason)

    @contextmanager
    def _noting_damage(self) -> Iterator[None]:
        try:
            yield
        except MissingArtifactError:
            raise
        except ArtifactError as error:
            self._damage.append(error)
            raise

    def _universal(self, setting: Setting) -> Masks:
        holder = self._holder_of_universal(setting)
        if holder == "masks":
            return masks.universal_from_table(self.table("masks"), setting)
        if holder == "object_masks":
            return cast(Masks, self._read("object_masks", setting, "universal").universal)
        if holder == "universal_masks":
            return cast(Masks, self._read("universal_masks", None))
        raise MissingArtifactError(
            f"there are no universal masks at {setting}",
            where=str(setting),
            expected="the setting among those of the sweep",
            found="neither a row of masks nor a file of object_masks",
            remedy="add it to ATLAS_EPSILONS and ATLAS_CONSISTENCIES, then materialise masks",
        )

    def _holder_of_universal(self, setting: Setting) -> str | None:
        """The artifact to read the universal masks at ``setting`` from."""
        return self._once(("holder", setting), lambda: self._found_holder(setting))

    def _found_holder(self, setting: Setting) -> str | None:
        if self.store.exists("masks") and self._stale_reason("masks", None) is None:
            here = {"epsilon": setting.epsilon, "consistency": setting.consistency}
            if not self.table("masks").filter(**here).is_empty():
                return "masks"
        if self.store.exists("object_masks", setting):
            return "object_masks"
        if setting == STANDALONE and self.store.exists("universal_masks"):
            return "universal_masks"
        return None


def _follows_from_inputs(artifact: Artifact) -> bool:
    """Whether a table can be computed from its inputs; that of the sweep is its files' sum."""
    return not artifact.runs_model and not artifact.completes and artifact.schema is not None
