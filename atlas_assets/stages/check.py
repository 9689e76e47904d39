"""What must hold of an artifact before anything is computed from it, as part of its declaration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from atlas_assets.errors import AtlasError
from atlas_assets.stages.masks.integrity import PackedMasks
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import Setting
from atlas_assets.stages.table_integrity import tables_agree

#: what a decomposition must satisfy
ADDS_UP = "A∖B ∪ A∩B = A; co, sh and to are the sizes of A∖B, A∩B and B∖A of the masks on disk"

Details = dict[str, int | float | str]


class NotComparedError(AtlasError):
    """What an artifact is to be compared with is not there, or is not what it was made from."""


@dataclass(frozen=True, eq=False)
class MaskFile:
    """One mask file, as it was read.

    Attributes:
        units: packed masks of the pairs, or of the checked concepts.
        universal: masks of the concepts; those of the file itself for checker masks.
        source: digest of the activations they were made from; empty for a file of the release.
        description: counts and sizes.
    """

    units: PackedMasks
    universal: Masks
    source: str
    description: Details


class Inspected(Protocol):
    """One file of an artifact under inspection, and what it is to agree with."""

    @property
    def key(self) -> str:
        """The artifact."""

    @property
    def setting(self) -> Setting | None:
        """The partition of the file, where there is one file for each."""

    @property
    def together(self) -> Sequence[Setting]:
        """The partitions that are inspected in the same run."""

    @property
    def sweep(self) -> Sequence[Setting]:
        """The settings of the sweep."""

    @property
    def value(self) -> Any:
        """The content of the file, read whole, once."""

    @property
    def masks(self) -> MaskFile:
        """The content of a mask file."""

    @property
    def variations(self) -> int | None:
        """Prompts per pair, as the file's own record names them; ``None`` where it has none."""

    def exists(self, setting: Setting) -> bool:
        """Whether the artifact's file of another partition is there."""

    def input(self, key: str, setting: Setting | None = None) -> Any:
        """The content of an artifact that this one is to agree with.

        Raises:
            NotComparedError: it is not there, cannot be read, or has changed since.
        """

    def mask_input(self, key: str, setting: Setting | None = None) -> Masks:
        """The masks of another artifact; of ``object_masks``, the universal ones.

        Raises:
            NotComparedError: as for `input`.
        """

    def neighbour(self, setting: Setting) -> MaskFile:
        """The same artifact at another setting, made from the same activations.

        Raises:
            NotComparedError: it cannot be read, or is made from others.
        """

    def recomputed(self) -> Any:
        """What `Artifact.compute` makes of the inputs that lie on disk.

        Raises:
            NotComparedError: an input is not there, cannot be read, or has changed since.
        """


@dataclass(frozen=True)
class Check:
    """One thing that must hold of an artifact.

    Attributes:
        name: of the asset check.
        statement: what holds.
        verify: raises AtlasError where it does not, `NotComparedError` where it cannot be known;
            returns what was looked at.
    """

    name: str
    statement: str
    verify: Callable[[Inspected], Details]


def agrees_with_inputs(
    statement: str, key: Sequence[str], one_decimal: Sequence[str] = ()
) -> Check:
    """A check that computes a table again and compares it, row by row.

    Args:
        statement: what holds.
        key: columns that name a row.
        one_decimal: columns that are rounded to one decimal; the others are to four.
    """

    def verify(of: Inspected) -> Details:
        recomputed: pl.DataFrame = of.recomputed()
        return {"rows": tables_agree(of.value, recomputed, key, one_decimal=one_decimal)}

    return Check("agrees_with_inputs", statement, verify)
