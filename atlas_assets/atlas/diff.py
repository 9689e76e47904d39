"""What differs between two atlases, ``b`` against ``a``.

Of one circuit (concept and layer, at one setting): *gained* are the neurons of ``b`` that ``a``
lacks, ``b ∖ a``; *lost* those of ``a`` that ``b`` lacks, ``a ∖ b``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import Setting

_SETTING = {"epsilon": pl.Float64(), "consistency": pl.Float64()}
NEURONS_SCHEMA = pl.Schema(
    {
        **_SETTING,
        "concept": pl.String(),
        "type": pl.String(),
        "layer": pl.Int64(),
        "size_a": pl.Int64(),
        "size_b": pl.Int64(),
        "gained": pl.Int64(),
        "lost": pl.Int64(),
        "jaccard": pl.Float64(),
        "neurons_gained": pl.List(pl.Int32()),
        "neurons_lost": pl.List(pl.Int32()),
    }
)
CONCEPTS_SCHEMA = pl.Schema({**_SETTING, "concept": pl.String(), "only_in": pl.String()})
CIRCUITS_SCHEMA = pl.Schema(
    {
        **_SETTING,
        "concepts": pl.Int64(),
        "circuits": pl.Int64(),
        "changed": pl.Int64(),
        "gained": pl.Int64(),
        "lost": pl.Int64(),
        "mean_jaccard": pl.Float64(),
    }
)
FIELDS_SCHEMA = pl.Schema({"field": pl.String(), "a": pl.String(), "b": pl.String()})
CLAIMS_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "statement": pl.String(),
        "expected": pl.String(),
        "observed_a": pl.String(),
        "observed_b": pl.String(),
        "holds_a": pl.Boolean(),
        "holds_b": pl.Boolean(),
        "flips": pl.Boolean(),
    }
)


class Claim(Protocol):
    """What a comparison needs of an evaluated claim."""

    @property
    def id(self) -> str:
        """Of the claim, in the table of claims."""

    @property
    def statement(self) -> str:
        """What the paper says."""

    @property
    def expected(self) -> str:
        """The paper's value."""

    @property
    def observed(self) -> str:
        """The value in this atlas."""

    @property
    def holds(self) -> bool | None:
        """Whether the two agree; ``None`` where the atlas cannot tell."""


@dataclass(frozen=True, eq=False)
class MasksDiff:
    """How the universal masks of two atlases differ at one setting.

    Attributes:
        circuits: one row, `CIRCUITS_SCHEMA`: concepts in both, their circuits (concept × layer),
            how many changed, neurons gained and lost in all, and the mean Jaccard of all circuits
            (1 for a circuit that is empty in both: nothing changed).
        neurons: `NEURONS_SCHEMA`: one row per circuit that changed, by concept, then layer.
        concepts: `CONCEPTS_SCHEMA`: the concepts that only ``a`` or only ``b`` has.
    """

    circuits: pl.DataFrame
    neurons: pl.DataFrame
    concepts: pl.DataFrame


def masks(setting: Setting, a: Masks, b: Masks) -> MasksDiff:
    """Compares the universal masks of two atlases at one setting.

    Args:
        setting: both were made at.
        a: universal masks of the first.
        b: universal masks of the second, of the same layers and width.

    Raises:
        ValueError: layers or widths differ: the neurons of different models cannot be matched.
    """
    if (a.n_layers, a.width) != (b.n_layers, b.width):
        raise ValueError(f"{a.n_layers} × {a.width} neurons against {b.n_layers} × {b.width}")
    common = sorted(set(a.names) & set(b.names))
    left, right = a.select(common), b.select(common)
    gained, lost = right.bits & ~left.bits, left.bits & ~right.bits
    shared = np.count_nonzero(left.bits & right.bits, axis=2)
    union = np.count_nonzero(left.bits | right.bits, axis=2)
    similarity = np.divide(shared, union, out=np.ones(shared.shape), where=union > 0)
    changed = shared != union
    at = (setting.epsilon, setting.consistency)
    totals = (int(gained.sum()), int(lost.sum()))
    mean = float(similarity.mean()) if similarity.size else None
    row = (*at, len(common), changed.size, int(changed.sum()), *totals, mean)
    return MasksDiff(
        circuits=pl.DataFrame([row], schema=CIRCUITS_SCHEMA, orient="row"),
        neurons=_changed_rows(setting, left, right, changed, similarity),
        concepts=_concepts(setting, a, b),
    )


def _changed_rows(
    setting: Setting,
    a: Masks,
    b: Masks,
    changed: npt.NDArray[np.bool_],
    similarity: npt.NDArray[np.float64],
) -> pl.DataFrame:
    rows = []
    for unit, layer in np.argwhere(changed).tolist():
        left, right = a.bits[unit, layer], b.bits[unit, layer]
        gained, lost = np.flatnonzero(right & ~left), np.flatnonzero(left & ~right)
        rows.append(
            (
                *(setting.epsilon, setting.consistency),
                *(a.names[unit], split_concept(a.names[unit])[0], layer),
                *(int(left.sum()), int(right.sum()), len(gained), len(lost)),
                float(similarity[unit, layer]),
                *(gained.tolist(), lost.tolist()),
            )
        )
    return pl.DataFrame(rows, schema=NEURONS_SCHEMA, orient="row")


def _concepts(setting: Setting, a: Masks, b: Masks) -> pl.DataFrame:
    rows = [
        (setting.epsilon, setting.consistency, name, "a" if name in a.names else "b")
        for name in sorted(set(a.names) ^ set(b.names))
    ]
    return pl.DataFrame(rows, schema=CONCEPTS_SCHEMA, orient="row")


def fields(a: Mapping[str, str | None], b: Mapping[str, str | None]) -> pl.DataFrame:
    """The fields on which two descriptions differ; absent and ``None`` are the same.

    Returns:
        `FIELDS_SCHEMA`, sorted by field.
    """
    rows = [
        (field, a.get(field), b.get(field))
        for field in sorted(a.keys() | b.keys())
        if a.get(field) != b.get(field)
    ]
    return pl.DataFrame(rows, schema=FIELDS_SCHEMA, orient="row")


def claims(a: Iterable[Claim], b: Iterable[Claim]) -> pl.DataFrame:
    """The claims that come out differently on two atlases.

    A claim *flips* when it holds on one of them and not on the other.

    Returns:
        `CLAIMS_SCHEMA`, one row per claim whose verdict or observed value differs, in the order of
        ``a``, then those that only ``b`` has.
    """
    left, right = {claim.id: claim for claim in a}, {claim.id: claim for claim in b}
    rows = []
    for name in {**left, **right}:
        one, two = left.get(name), right.get(name)
        said = one or two
        verdicts = (one.holds if one else None, two.holds if two else None)
        observed = (one.observed if one else None, two.observed if two else None)
        if said and (verdicts[0] != verdicts[1] or observed[0] != observed[1]):
            flips = None not in verdicts and verdicts[0] != verdicts[1]
            rows.append((name, said.statement, said.expected, *observed, *verdicts, flips))
    return pl.DataFrame(rows, schema=CLAIMS_SCHEMA, orient="row")
