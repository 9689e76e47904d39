"""Several atlases side by side: gathers what `atlas_assets.atlas.agreement` compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from atlas_assets.atlas.agreement import (
    Agreement,
    Numbers,
    agreement,
    circuit_sizes,
    concept_fractions,
    similarities,
)
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.stages.decomposition.decomposition import parse_target_checker
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.report.claims import ClaimResult
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.folder import settings_present
from atlas_assets.storage.store import AtlasStore


@dataclass(frozen=True)
class ClaimAcross:
    """One claim, as each atlas shows it.

    Attributes:
        results: by atlas.
    """

    results: tuple[ClaimResult, ...]

    @property
    def claim(self) -> ClaimResult:
        """What is claimed is the same of each."""
        return self.results[0]

    @property
    def observed(self) -> tuple[str, ...]:
        """As printed, by atlas; empty where it could not be evaluated."""
        return tuple(result.observed for result in self.results)

    @property
    def evaluated(self) -> bool:
        """Whether every atlas shows something."""
        return all(self.observed)

    @property
    def same(self) -> bool:
        """Whether every atlas shows the same, as it is printed."""
        return self.evaluated and len(set(self.observed)) == 1


@dataclass(frozen=True)
class RankAgreement:
    """How far the atlases rank the concepts alike by one number.

    Attributes:
        quantity: the number.
        setting: at which it is.
        found: ``None`` where ranks cannot be compared.
    """

    quantity: str
    setting: Setting
    found: Agreement | None


@dataclass(frozen=True)
class Stability:
    """What several atlases show of the same things.

    Attributes:
        claims: the published claims.
        ranks: per quantity, each common setting.
        not_ranked: quantities whose files not all of them have at any common setting.
    """

    claims: list[ClaimAcross]
    ranks: list[RankAgreement]
    not_ranked: list[str]


def stability(stores: Sequence[AtlasStore]) -> Stability:
    """Compare atlases of different models, or of one model under different settings.

    Args:
        stores: two or more.

    Raises:
        ArtifactError: a file of theirs is damaged.
    """
    results = [evaluate_claims(store) for store in stores]
    claims = [ClaimAcross(of_one) for of_one in zip(*results, strict=True)]
    ranks = [
        RankAgreement(name, setting, agreement([numbers(store, setting) for store in stores]))
        for name, (key, numbers) in QUANTITIES.items()
        for setting in _common(stores, key)
    ]
    ranked = {one.quantity for one in ranks}
    return Stability(claims, ranks, [name for name in QUANTITIES if name not in ranked])


def _common(stores: Sequence[AtlasStore], key: str) -> list[Setting]:
    present = [set(settings_present(store.root, key)) for store in stores]
    return sorted(set.intersection(*present))


def _universal(store: AtlasStore, setting: Setting) -> Masks:
    masks: Masks = store.read("object_masks", setting, part="universal").universal
    return masks


def _fractions(store: AtlasStore, setting: Setting) -> Numbers:
    table = store.read("target_checker", setting)
    return concept_fractions(table["target"].to_list(), parse_target_checker(table))


#: what is ranked → the artifact that it is read from, and how
QUANTITIES: dict[str, tuple[str, Callable[[AtlasStore, Setting], Numbers]]] = {
    "circuit size": ("object_masks", lambda store, at: circuit_sizes(_universal(store, at))),
    "Jaccard of two circuits": (
        "object_masks",
        lambda store, at: similarities(_universal(store, at)),
    ),
    "concept fraction": ("target_checker", _fractions),
}
