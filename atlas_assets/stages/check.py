"""What must hold of an artifact before anything is computed from it, as part of its declaration.

The functions at the end compare a table with the masks and tables that it is computed from; each
raises ArtifactError at the first cell or row that does not follow from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import polars as pl

from atlas_assets.errors import AtlasError, unsound
from atlas_assets.stages.masks.masks import Masks, require_same_layers
from atlas_assets.stages.masks.packed import PackedMasks
from atlas_assets.stages.rounding import Counts
from atlas_assets.stages.setting import Partition, Setting

#: what a decomposition must satisfy
ADDS_UP = "A∖B ∪ A∩B = A; co, sh and to are the sizes of A∖B, A∩B and B∖A of the masks on disk"

#: the error of a table that is not what its inputs say
contradicts = partial(unsound, "the table contradicts what it is computed from")

Details = dict[str, int | float | str]


class NotComparedError(AtlasError):
    """What an artifact is to be compared with is not there, or is not what it was made from."""


class NotApplicableError(AtlasError):
    """What is checked is true of the paper's prompts alone, and the atlas is of a user's own."""


@dataclass(frozen=True, eq=False)
class MaskFile:
    """One mask file, as it was read.

    Attributes:
        units: The packed masks of the pairs, or of the checked concepts.
        universal: The masks of the concepts; for checker masks, those of the file itself.
        source: The digest of the activations they were made from; empty for a release file.
        description: The counts and sizes that describe the file.
    """

    units: PackedMasks
    universal: Masks
    source: str
    description: Details


class Inspected(Protocol):
    """One file of an artifact under inspection, and what it is to agree with.

    What reads another file raises NotComparedError where that file is missing, cannot be read, or
    is not what this one was made from.
    """

    @property
    def key(self) -> str:
        """The key of the artifact whose file is inspected, such as ``object_masks``."""

    @property
    def setting(self) -> Partition | None:
        """The partition of the file, where the artifact has one file for each."""

    @property
    def together(self) -> Sequence[Partition]:
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
        """The prompts per pair that the file's own record names, or ``None`` without one."""

    def exists(self, setting: Setting) -> bool:
        """Return whether the artifact's file of another setting is there."""

    def input(self, key: str, setting: Partition | None = None) -> Any:
        """Return the content of an artifact that this one is to agree with."""

    def mask_input(self, key: str, setting: Partition | None = None) -> Masks:
        """Return the masks of another artifact; of ``object_masks``, the universal ones."""

    def neighbour(self, setting: Setting) -> MaskFile:
        """Return the same artifact at another setting, made from the same activations."""

    def recomputed(self) -> Any:
        """Return what `Artifact.compute` makes of the inputs on disk."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold of an artifact.

    Attributes:
        name: The name of the asset check.
        statement: What holds.
        verify: Raises AtlasError where it does not hold and `NotComparedError` where that cannot be
            known, `NotApplicableError` where there is nothing to hold; returns what was looked at.
        beside: Keys of the artifacts, other than inputs, that it compares with: where the same run
            makes them, the check waits for them.
    """

    name: str
    statement: str
    verify: Callable[[Inspected], Details]
    beside: tuple[str, ...] = ()


def agrees_with_inputs(
    statement: str, key: Sequence[str], one_decimal: Sequence[str] = ()
) -> Check:
    """Return a check that a table, computed again, has the same rows, told apart by ``key``.

    Numbers may differ by one unit of the last decimal that they print: of the first in the columns
    ``one_decimal``, of the fourth in the others.
    """

    def verify(of: Inspected) -> Details:
        stated: pl.DataFrame = of.value
        recomputed: pl.DataFrame = of.recomputed()
        columns = recomputed.columns
        if stated.columns != columns or stated.height != recomputed.height:
            expected = f"{recomputed.height} rows of {', '.join(columns)}"
            found = f"{stated.height} rows of {', '.join(stated.columns)}"
            raise contradicts("the table", expected, found)
        left, right = stated.sort(key), recomputed.sort(key)
        for column in columns:
            # a tie may be rounded either way
            slack = 0.101 if column in one_decimal else 1.01e-4
            for row, (one, other) in enumerate(zip(left[column], right[column], strict=True)):
                if not _agree(one, other, slack):
                    where = ", ".join(f"{name}={left[name][row]}" for name in key)
                    expected = f"{other}, as its inputs have it"
                    raise contradicts(f"{where}, column {column}", expected, f"{one}")
        return {"rows": stated.height}

    return Check("agrees_with_inputs", statement, verify)


def _agree(one: object, other: object, slack: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= slack
    return one == other


def circuits_add_up(cells: Counts, names: Sequence[str], universal: Masks, checker: Masks) -> int:
    """Check that co, sh, to are the sizes of A∖B, A∩B, B∖A; return the number of cells.

    The cells of a table's rows are int64 ``[names, layers, 3]``; ``universal`` (A) and ``checker``
    (B) may be of further concepts that the other lacks.
    """
    require_same_layers(universal, checker, "universal masks", "checker masks")
    # a concept that lost all its pairs to the loss filter has a checker mask and no universal one
    wanted = sorted(set(checker.names) & set(universal.names))
    if sorted(names) != wanted:
        found = ", ".join(sorted(set(names) ^ set(wanted))) or "some of them twice"
        raise contradicts("concepts", "those with a universal and a checker mask, once each", found)
    a = universal.bits[[universal.index(name) for name in names]]
    b = checker.bits[[checker.index(name) for name in names]]
    expected = np.stack(
        [np.count_nonzero(part, axis=-1) for part in (a & ~b, a & b, b & ~a)], axis=-1
    )
    if cells.shape != expected.shape:
        raise contradicts("layers", f"{expected.shape[1]} layers", f"{cells.shape[1]}")
    for row, layer in np.argwhere((cells != expected).any(axis=-1))[:1]:
        co, sh, to = expected[row, layer]
        found = " / ".join(map(str, cells[row, layer].tolist()))
        counts = f"{co} / {sh} / {to}, as the masks have it, of |A| = {co + sh}"
        raise contradicts(f"{names[row]}, layer {layer}", counts, found)
    return int(cells.shape[0] * cells.shape[1])


def rows_cover(table: pl.DataFrame, axes: Mapping[str, Sequence[object]]) -> int:
    """Check that a table has a row for each combination of columns' values; return how many."""
    wanted = 1
    for column, values in axes.items():
        wanted *= len(set(values))
        differing = set(table[column].to_list()) ^ set(values)
        if differing:
            value = min(map(str, differing))
            raise contradicts(
                f"column {column}", f"{len(set(values))} values, each once", f"but for {value}"
            )
    rows = table.select(list(axes)).unique().height
    if table.height != wanted or rows != wanted:
        raise contradicts("rows", f"{wanted}, all different", f"{table.height}, {rows} different")
    return wanted
